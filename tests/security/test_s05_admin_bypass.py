"""S05: no route opens to who may not, however it is asked; every route, taken from the app."""

from __future__ import annotations

import inspect
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from service.storage.keys import ROLES
from tests.conftest import KEY
from tests.security.bodies import NAMES, ROUTES, path_of, smallest

pytestmark = pytest.mark.slow
SCOPED = (  # /admin paths that show and touch only the tenant of a key that has one
    "/admin/approvals", "/admin/batches", "/admin/budgets", "/admin/cache/invalidate",
    "/admin/costs", "/admin/decisions/{decision_id}/replay", "/admin/keys", "/admin/overrides",
    "/admin/prompt-caches", "/admin/review",
)  # fmt: skip
CASES = pytest.mark.parametrize(("method", "route"), ROUTES, ids=[f"S05-{n}" for n in NAMES])


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@CASES
def test_without_a_key_or_with_a_wrong_one_nothing_opens(
    http: httpx.Client, document: dict[str, Any], method: str, route: APIRoute
) -> None:
    path, body = path_of(route), smallest(document, method, route.path)
    for headers in (
        {}, bearer("wrong"), bearer(KEY[:-1]), bearer(KEY + "x"), bearer("null"),
        {"Authorization": KEY}, {"Authorization": f"Basic {KEY}"}, {"X-Api-Key": KEY},
        {"Cookie": f"key={KEY}"},
    ):  # fmt: skip
        answer = http.request(method, path, headers=headers, json=body)
        assert answer.status_code == 401, (headers, answer.text)
    assert http.request(method, path, params={"key": KEY}, json=body).status_code == 401


@CASES
def test_a_role_below_does_not_open_it(
    http: httpx.Client, document: dict[str, Any], secrets: dict[str, str], method: str,
    route: APIRoute,
) -> None:  # fmt: skip
    """Callers none of /admin, analysts nothing that changes anything; roles only ever add."""
    path, body = path_of(route), smallest(document, method, route.path)
    seen = []
    for role in ROLES:
        answer = http.request(method, path, headers=bearer(secrets[role]), json=body)
        assert answer.status_code != 401, answer.text
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        seen.append(answer.status_code == 403 and "this needs the role" in answer.text)
    assert seen == sorted(seen, reverse=True) and not seen[-1], "roles only ever add"
    if route.path.startswith("/admin"):
        assert seen[0], "a caller is kept out"
        assert seen[1] or method == "GET", "an analyst changes nothing"


@CASES
def test_a_tenants_key_opens_no_route_that_is_about_all_tenants(
    http: httpx.Client, document: dict[str, Any], foreign: dict[str, str], method: str,
    route: APIRoute,
) -> None:  # fmt: skip
    """Whatever its role; a new route under /admin is about all until it is named in SCOPED."""
    path, body = path_of(route), smallest(document, method, route.path)
    if isinstance(body, dict) and route.path.startswith("/admin/overrides"):
        body |= {"tenant": "umbrella"} if "action" in body else {}
    answer = http.request(method, path, headers=bearer(foreign["administrator"]), json=body)
    refused = answer.status_code == 403 and answer.json()["error"]["code"] == "tenant_key"
    about_all = route.path.startswith("/admin") and not route.path.startswith(SCOPED)
    assert refused == about_all, answer.text
    assert not refused or "use a key without a tenant" in answer.text
    if about_all:
        low = http.request(method, path, headers=bearer(foreign["caller"]), json=body)
        assert "this needs the role" in low.text, "the role is looked at first"


@CASES
def test_no_other_spelling_or_method_opens_it(
    http: httpx.Client, secrets: dict[str, str], method: str, route: APIRoute
) -> None:
    path, caller = path_of(route), bearer(secrets["caller"])
    if not route.path.startswith("/admin"):
        caller = {}
    for spelled in (
        f"{path}/", f"/{path}", path.replace("/admin", "/ADMIN"), f"/.{path}", f"{path}/.",
        path.replace("/", "/%2e/", 1), path.replace("/admin/", "/admin%2f"), f"/v1/..{path}",
        f"{path};x=1", f"{path}%00",
    ):  # fmt: skip
        answer = http.request(method, spelled, headers=caller, follow_redirects=True)
        assert answer.status_code >= 400, spelled
    for other in ("HEAD", "OPTIONS", "TRACE", "PATCH", "PUT", "PROPFIND"):
        answer = http.request(other, path, headers=caller)
        assert answer.status_code >= 400, other
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"):
        answer = http.post("/v1/feedback", headers={**caller, name: path}, json={})
        assert answer.status_code in (401, 422), name


@CASES
def test_every_route_asks_for_a_role_before_anything_else(method: str, route: APIRoute) -> None:
    body = inspect.getsource(route.endpoint).split('"""', 2)[-1]
    first = next(line.strip() for line in body.splitlines() if line.strip())
    asks = ("allowed(request", "_reader(request")
    assert any(each in first for each in asks), first


def test_another_tenant_sees_nothing_of_a_request(
    http: httpx.Client, secrets: dict[str, str], foreign: dict[str, str]
) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}],
            "metadata": {"tenant": "acme-and-nobody-else"}}  # fmt: skip
    answer = http.post("/v1/chat/completions", json=body, headers=bearer(secrets["caller"]))
    decision = answer.headers["x-headgate-decision-id"]
    for role, secret in foreign.items():
        for path in (f"/v1/decisions/{decision}", f"/admin/decisions/{decision}/replay"):
            assert http.get(path, headers=bearer(secret)).status_code in (403, 404), role
        rated = http.post("/v1/feedback", json={"id": decision, "value": 1}, headers=bearer(secret))
        assert rated.status_code == 404
        for method, route in ROUTES:
            if method == "GET" and "{" not in route.path:
                seen = http.get(route.path, headers=bearer(secret)).text
                assert decision not in seen, route.path
                assert "acme-and-nobody-else" not in seen, route.path
