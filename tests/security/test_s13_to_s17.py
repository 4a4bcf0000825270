"""S01, S02, S13 to S17: what a caller may reach, share, teach and spend; what we are made of."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest

from service.domain.errors import PlanInvalid
from service.plan.reading import load
from tests.conftest import KEY, ROOT, Service, plan_text
from tests.service.api.test_auth import make_key

pytestmark = pytest.mark.slow
AUTH = {"Authorization": f"Bearer {KEY}"}


def ask(http: httpx.Client, key: str = KEY, **more: Any) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **more}
    return http.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("field", ["base_url", "api_base", "url", "proxy", "api_key", "headers"])
def test_S01_S02_no_field_of_a_request_leads_elsewhere(http: httpx.Client, field: str) -> None:
    """A host that a caller names is never called, so no provider's key goes there."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.05)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/v1"
        assert ask(http, headgate={field: url}).status_code == 400, "an unknown option is refused"
        ask(http, **{field: url})
        assert ask(http, model=url).status_code == 404
        http.post("/v1/chat/completions", json={"model": "auto", "messages": []},
                  headers={**AUTH, "X-Forwarded-Host": url, "X-Base-Url": url})  # fmt: skip
        with pytest.raises(TimeoutError):
            canary.accept()


def test_S13_nothing_is_kept_where_the_plan_does_not_say_so(http: httpx.Client) -> None:
    """Every answer is a call. Where answers are kept, tenants and keys are strangers:
    tests/service/caching/test_desk.py and test_canonical.py.
    """
    assert ask(http, headgate={"cache": True}).status_code == 400
    first, second = ask(http), ask(http)
    assert first.headers["x-headgate-cache"] == second.headers["x-headgate-cache"] == "bypass"
    assert first.headers["x-headgate-decision-id"] != second.headers["x-headgate-decision-id"]


def test_S14_who_rates_much_weighs_no_more(http: httpx.Client, service: Service) -> None:
    decision = ask(http).headers["x-headgate-decision-id"]

    def rate(value: Any, key: str = KEY, **more: Any) -> httpx.Response:
        body = {"id": decision, "value": value, **more}
        return http.post("/v1/feedback", json=body, headers={"Authorization": f"Bearer {key}"})

    for number in range(30):
        assert rate(number % 2).status_code == 202
    service.runtime.kept.log.flush().result(10)
    row = service.runtime.kept.database.cursor().execute(
        "SELECT count(*) FILTER (revises IS NULL), count(*) FROM feedback WHERE decision_id = ?",
        [decision],
    ).fetchone()  # fmt: skip
    assert row == (1, 30), "each but the first revises the one before"
    for value in (1e9, -1e9, "NaN", 2):
        assert rate(value).status_code == 422
    stranger = make_key(service, "caller", "umbrella")
    assert rate(1, stranger).status_code == 404
    body = {"id": "0198c0de-0000-7000-8000-000000000000", "value": 1}
    guessed = http.post("/v1/feedback", headers=AUTH, json=body)
    assert guessed.status_code == 404


@pytest.mark.parametrize("section", [
    "budgets: {usd_per_day: 5}", "budgets: {tenants: {acme: 5}}", "keys: {shop: {usd: 5}}",
    "budgets: {named: [{name: a, scope: tenant, of: acme, period: day}]}",
    "budgets: {named: [{name: a, scope: tenant, of: acme, period: week, hard_usd: 5}]}",
])  # fmt: skip
def test_S15_a_budget_that_nothing_keeps_is_refused(tmp_path: Any, section: str) -> None:
    """A plan that asks for a budget in words that are not read does not start."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(plan_text("http://127.0.0.1:9100") + f"\n{section}\n")
    with pytest.raises(PlanInvalid):
        load(plan)


def test_S15_what_a_tenant_may_spend_is_bounded(tmp_path: Any) -> None:
    """Kept before real traffic: tests/service/faults/test_budget_caps.py."""
    plan = tmp_path / "plan.yaml"
    section = "budgets: {named: [{name: a, scope: tenant, of: acme, period: day, hard_usd: 5}]}"
    plan.write_text(plan_text("http://127.0.0.1:9100") + f"\n{section}\n")
    (budget,) = load(plan)[0].budgets.named
    assert budget.budget().hard_micro_usd == 5_000_000


def test_S15_what_a_key_may_ask_in_a_minute_is_bounded(tmp_path: Any) -> None:
    plan = tmp_path / "plan.yaml"
    text = plan_text("http://127.0.0.1:9100")
    plan.write_text(text.replace("\nservice:", "\nservice:\n  key_requests_per_minute: 5", 1))
    assert load(plan)[0].service.key_requests_per_minute == 5


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_S16_a_compressed_body_is_not_unpacked(http: httpx.Client, coding: str) -> None:
    answer = http.post("/admin/overrides", content=b"\x1f\x8b" + b"0" * 100,
                       headers={**AUTH, "Content-Encoding": coding})  # fmt: skip
    assert answer.status_code == 415


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_S17_every_part_is_pinned_by_hash_and_told(lock: str) -> None:
    told = subprocess.run([sys.executable, str(ROOT / ".ci" / "sbom.py"), str(ROOT / lock)],
                          capture_output=True, text=True, check=True).stdout  # fmt: skip
    made = json.loads(told)
    assert made["bomFormat"] == "CycloneDX" and made["specVersion"] == "1.6"
    pins = [line for line in (ROOT / lock).read_text("utf-8").splitlines() if "==" in line]
    assert len(made["components"]) == len(pins) > 20
    for part in made["components"]:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["hashes"] and all(
            each["alg"] == "SHA-256" and len(each["content"]) == 64 for each in part["hashes"]
        )
    again = subprocess.run([sys.executable, str(ROOT / ".ci" / "sbom.py"), str(ROOT / lock)],
                           capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert again == told, "the same lock gives the same bill"


def test_S17_a_line_without_a_hash_is_refused(tmp_path: Any) -> None:
    for text in ("left==1.0\n", "left>=1.0 \\\n    --hash=sha256:" + "a" * 64 + "\n", ""):
        lock = tmp_path / "x.lock"
        lock.write_text(text)
        found = subprocess.run([sys.executable, str(ROOT / ".ci" / "sbom.py"), str(lock)],
                               capture_output=True, text=True, check=False)  # fmt: skip
        assert found.returncode == 1 and not found.stdout
