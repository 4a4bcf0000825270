"""Every route needs a key of its role; a caller sees only what is its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from service.api.auth import authenticate
from service.domain.clock import new_id
from service.domain.errors import AuthenticationFailed, PermissionDenied
from service.domain.records import Key
from service.storage.keys import ROLES, digest
from tests.conftest import KEY, Service

ROUTES = [
    ("GET", "/v1/models", "caller"), ("POST", "/v1/route", "caller"),
    ("POST", "/v1/classify", "caller"),
    ("POST", "/v1/messages", "caller"), ("POST", "/v1/messages/count_tokens", "caller"),
    ("POST", "/v1/responses", "caller"), ("POST", "/v1/images/generations", "caller"),
    ("POST", "/v1/audio/speech", "caller"), ("POST", "/v1/embeddings", "caller"),
    ("POST", "/v1/feedback", "caller"), ("GET", "/v1/decisions/x", "caller"),
    ("GET", "/admin/status", "analyst"), ("GET", "/admin/weights", "analyst"),
    ("GET", "/admin/overrides", "analyst"), ("GET", "/admin/overrides/x", "analyst"),
    ("GET", "/v1/files", "caller"), ("POST", "/v1/files", "caller"),
    ("GET", "/v1/files/f", "caller"), ("GET", "/v1/files/f/content", "caller"),
    ("DELETE", "/v1/files/f", "caller"), ("GET", "/v1/batches", "caller"),
    ("POST", "/v1/batches", "caller"), ("GET", "/v1/batches/b", "caller"),
    ("POST", "/v1/batches/b/cancel", "caller"), ("GET", "/admin/batches", "analyst"),
    ("GET", "/admin/batches/savings", "analyst"), ("GET", "/admin/batches/b", "analyst"),
    ("POST", "/admin/batches/b/cancel", "operator"),
    ("GET", "/v1/workflows", "caller"), ("GET", "/v1/workflows/n", "caller"),
    ("POST", "/v1/workflows/n/estimate", "caller"), ("POST", "/v1/workflows/n/runs", "caller"),
    ("GET", "/v1/workflows/runs", "caller"), ("GET", "/v1/workflows/runs/x", "caller"),
    ("GET", "/v1/workflows/runs/x/events", "caller"),
    ("POST", "/v1/workflows/runs/x/cancel", "caller"),
    ("POST", "/v1/workflows/runs/x/replay", "caller"),
    ("DELETE", "/v1/workflows/runs/x", "caller"),
    ("GET", "/v1/tickets/x", "caller"), ("DELETE", "/v1/tickets/x", "caller"),
    ("GET", "/v1/tickets/signing-secret", "caller"), ("GET", "/admin/queue", "analyst"),
    ("GET", "/admin/queue/x", "analyst"), ("POST", "/admin/queue/x/retry", "operator"),
    ("POST", "/admin/queue/x/drop", "operator"),
    ("POST", "/admin/overrides", "operator"), ("POST", "/admin/overrides/x/lift", "operator"),
    ("POST", "/admin/overrides/x/renew", "operator"),
    ("POST", "/admin/overrides/dry-run", "operator"),
    ("POST", "/admin/deployments/x/reset", "operator"),
    ("GET", "/admin/review", "analyst"), ("GET", "/admin/review/x", "analyst"),
    ("POST", "/admin/review/x/decide", "operator"),
    ("POST", "/admin/review/x/claim", "operator"), ("POST", "/admin/review/x/release", "operator"),
    ("GET", "/admin/review/stats", "analyst"), ("GET", "/admin/review/quality", "analyst"),
    ("GET", "/admin/judge", "analyst"), ("GET", "/admin/judge/quality", "analyst"),
    ("POST", "/admin/judge/score", "operator"), ("POST", "/admin/judge/check", "operator"),
    ("GET", "/admin/shadows", "analyst"), ("GET", "/admin/shadows/x", "analyst"),
    ("POST", "/admin/shadows", "operator"), ("POST", "/admin/shadows/x/stop", "operator"),
    ("GET", "/admin/decisions/x/replay", "analyst"),
    ("POST", "/admin/propensities/acknowledge", "operator"),
    ("GET", "/admin/experiments", "analyst"), ("POST", "/admin/experiments", "operator"),
    ("GET", "/admin/experiments/x", "analyst"), ("GET", "/admin/discoveries", "analyst"),
    ("GET", "/admin/experiments/x/report", "analyst"),
    ("POST", "/admin/experiments/x/start", "operator"),
    ("GET", "/admin/policies", "analyst"), ("POST", "/admin/policies", "operator"),
    ("GET", "/admin/policies/x", "analyst"), ("GET", "/admin/policies/x/diff/y", "analyst"),
    ("POST", "/admin/policies/x/promote", "operator"),
    ("POST", "/admin/policies/x/evaluate", "operator"),
    ("POST", "/admin/policies/rollback", "operator"),
    ("GET", "/admin/evidence", "analyst"), ("POST", "/admin/evidence", "operator"),
    ("GET", "/admin/knowledge", "analyst"), ("GET", "/admin/knowledge/x", "analyst"),
    ("POST", "/admin/knowledge", "operator"), ("GET", "/admin/trends", "analyst"),
    ("GET", "/admin/capabilities", "analyst"),
    ("GET", "/admin/reports", "analyst"), ("GET", "/admin/reports/x", "analyst"),
    ("GET", "/admin/keys", "administrator"), ("POST", "/admin/keys", "administrator"),
    ("POST", "/admin/keys/x/revoke", "administrator"),
    ("POST", "/admin/keys/x/rotate", "administrator"),
    ("GET", "/admin/approvals", "analyst"), ("GET", "/admin/approvals/x", "analyst"),
    ("POST", "/admin/approvals/x/approve", "operator"),
    ("POST", "/admin/approvals/x/reject", "operator"),
    ("POST", "/admin/approvals/x/acknowledge", "operator"),
    ("GET", "/admin/audit", "analyst"), ("GET", "/admin/audit/verify", "analyst"),
    ("GET", "/admin/audit/export", "analyst"),
    ("GET", "/admin/alerts", "analyst"), ("GET", "/admin/alerts/x", "analyst"),
    ("GET", "/admin/alerts/rules", "analyst"), ("POST", "/admin/alerts/test", "operator"),
    ("POST", "/admin/alerts/x/acknowledge", "operator"),
    ("POST", "/admin/alerts/x/resolve", "operator"),
    ("POST", "/admin/alerts/silences", "operator"),
    ("POST", "/admin/alerts/silences/x/end", "operator"),
    ("GET", "/admin/escalation", "analyst"),
    ("GET", "/admin/ensembles", "analyst"), ("POST", "/admin/ensembles/switch", "operator"),
    ("GET", "/admin/prediction", "analyst"), ("POST", "/admin/prediction/switch", "operator"),
    ("GET", "/admin/ratings", "analyst"), ("GET", "/admin/classifier", "analyst"),
    ("POST", "/admin/classifier/rollback", "operator"),
    ("GET", "/admin/budgets", "analyst"), ("GET", "/admin/costs", "analyst"),
    ("GET", "/admin/costs/opportunities", "analyst"), ("GET", "/admin/costs/saved", "analyst"),
    ("GET", "/admin/prompt-caches", "analyst"),
    ("GET", "/v1/conversations/x", "caller"), ("DELETE", "/v1/conversations/x", "caller"),
    ("DELETE", "/v1/users/x/conversations", "caller"),
    ("DELETE", "/admin/users/x/conversations", "operator"),
    ("GET", "/v1/responses/x", "caller"), ("DELETE", "/v1/responses/x", "caller"),
    ("POST", "/admin/keys/x/budget", "administrator"),
    ("POST", "/admin/keys/x/budget/end", "administrator"),
    ("GET", "/admin/cache", "analyst"), ("POST", "/admin/cache/invalidate", "operator"),
    ("POST", "/admin/cache/semantic/switch", "operator"),
    ("GET", "/admin/plan", "analyst"), ("POST", "/admin/plan/reload", "operator"),
    ("GET", "/admin/benchmarks", "analyst"), ("GET", "/admin/benchmarks/setting", "analyst"),
    ("GET", "/admin/benchmarks/x", "analyst"), ("POST", "/admin/benchmarks", "operator"),
]  # fmt: skip
OVERRIDE = {"action": "exclude", "deployment": "nobody", "reason": "a long reason", "author": "me"}
LIFT = {"reason": "a long reason", "author": "me"}
RULING = {"verdict": "allow", "note": "a long reason", "reviewer": "me"}


def make_key(service: Service, role: str, tenant: str = "") -> str:
    secret = f"hg-{role}-{tenant}-{new_id()}"
    key = Key(new_id(), 0, role, role, tenant, "", digest(secret))
    service.runtime.kept.keys._put(key)
    return secret


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60.0) as client:
        yield client


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path", "least"), ROUTES)
def test_every_route_and_every_role(
    service: Service, http: httpx.Client, role: str, method: str, path: str, least: str
) -> None:
    headers = {"Authorization": f"Bearer {make_key(service, role)}"}
    bodies = {"decide": RULING, "claim": {"reviewer": "me"}, "release": {"reviewer": "me"},
              "overrides": OVERRIDE, "dry-run": OVERRIDE,
              "shadows": LIFT | {"version_id": "x"}, "keys": {"name": "made"},
              "knowledge": {"title": "tried", "why": "a long reason", "author": "me"},
              "score": {"messages": [{"role": "user", "content": "x"}], "answer": "y"}, "check": {},
              "budget": LIFT | {"period": "day", "hard_usd": 1},
              "silences": LIFT | {"rule": "none"},
              "benchmarks": {"run_id": "r", "version": "v", "cells": [
                  {"deployment": "nobody", "task": "x", "n": 1, "cost_mean_micro_usd": 0,
                   "error_rate": 0}]},
              "experiments": {**LIFT, "design": {}}, "switch": LIFT | {"on": True}}  # fmt: skip
    body = bodies.get(path.split("/")[-1], LIFT)
    if "semantic" in path:
        body = body | {"task": "writing"}
    response = http.request(method, path, headers=headers, json=body if method == "POST" else None)
    allowed = ROLES.index(role) >= ROLES.index(least)
    assert (response.status_code == 403) == (not allowed), response.text
    assert response.status_code not in (401, 500)


@pytest.mark.parametrize("variant", ["/ADMIN/status", "//admin/status", "/admin/status/",
                                     "/admin/%2e/status", "/v1/../admin/status"])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_spelling_of_a_path_opens_it(service: Service, variant: str, method: str) -> None:
    response = httpx.request(method, service.url + variant)
    assert response.status_code >= 300 and "cost_usd" not in response.text


def test_all_routes_are_listed_here(service: Service) -> None:
    document = httpx.get(service.url + "/openapi.json").json()
    keyed = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if path.startswith(("/v1/", "/admin/")) and "completions" not in path
    }
    here = {(m, p.replace("decisions/x", "decisions/{decision_id}")
             .replace("overrides/x", "overrides/{override_id}")
             .replace("deployments/x", "deployments/{name}")
             .replace("experiments/x/start", "experiments/{experiment}/{step}")
             .replace("experiments/x", "experiments/{experiment}")
             .replace("policies/x/diff/y", "policies/{version}/diff/{other}")
             .replace("policies/x", "policies/{version}")
             .replace("keys/x", "keys/{key_id}")
             .replace("approvals/x", "approvals/{approval_id}")
             .replace("knowledge/x", "knowledge/{entry_id}")
             .replace("reports/x", "reports/{name}")
             .replace("alerts/x", "alerts/{alert_id}")
             .replace("silences/x", "silences/{silence_id}")
             .replace("review/x", "review/{review_id}")
             .replace("shadows/x", "shadows/{version_id}")
             .replace("workflows/n", "workflows/{name}")
             .replace("workflows/runs/x", "workflows/runs/{run_id}")
             .replace("files/f", "files/{file_id}").replace("batches/b", "batches/{batch_id}")
             .replace("tickets/x", "tickets/{ticket_id}")
             .replace("benchmarks/x", "benchmarks/{run_id}")
             .replace("conversations/x", "conversations/{name}")
             .replace("users/x", "users/{user}").replace("responses/x", "responses/{response}")
             .replace("queue/x", "queue/{ticket_id}")) for m, p, _ in ROUTES}  # fmt: skip
    assert keyed == here


def test_another_tenants_decision_does_not_exist(service: Service) -> None:
    owner, other = make_key(service, "caller", "acme"), make_key(service, "caller", "umbrella")
    mate, analyst = make_key(service, "caller", "acme"), make_key(service, "analyst")
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}],
            "metadata": {"tenant": "umbrella"}}  # fmt: skip
    answer = httpx.post(service.url + "/v1/chat/completions", json=body,
                        headers={"Authorization": f"Bearer {owner}"}).json()  # fmt: skip
    path = f"/v1/decisions/{answer['id']}"
    seen = {
        name: httpx.get(service.url + path, headers={"Authorization": f"Bearer {key}"}).status_code
        for name, key in (("owner", owner), ("mate", mate), ("other", other), ("all", analyst))
    }
    assert seen == {"owner": 200, "mate": 200, "other": 404, "all": 200}
    rated = httpx.post(service.url + "/v1/feedback", json={"id": answer["id"], "value": 1},
                       headers={"Authorization": f"Bearer {other}"})  # fmt: skip
    assert rated.status_code == 404


def test_authenticate_itself(service: Service) -> None:
    keys = service.runtime.kept.keys

    def scope(value: str) -> dict[str, object]:
        return {"headers": [(b"authorization", value.encode())]}

    assert authenticate(scope(f"bearer  {KEY} "), keys).role == "administrator"
    with pytest.raises(AuthenticationFailed):
        authenticate(scope("Bearer x"), keys)
    low = make_key(service, "caller")
    with pytest.raises(PermissionDenied, match="needs the role operator"):
        authenticate(scope(f"Bearer {low}"), keys, "operator")
