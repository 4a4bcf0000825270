"""Budgets and costs over HTTP and the command line: what each key may see, and what it is told."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.conftest import KEY, Service
from tests.service.api.test_auth import make_key
from tests.service.cli.test_commands import run

pytestmark = pytest.mark.slow
AUTH = {"Authorization": f"Bearer {KEY}"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def ask(service: Service, secret: str, **more: object) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]} | more
    url = service.url + "/v1/chat/completions"
    return httpx.post(url, json=body, headers=bearer(secret), timeout=30.0)


def test_costs_add_up_and_a_tenant_sees_its_own(service: Service) -> None:
    for tenant in ("acme", "umbrella"):
        assert ask(service, make_key(service, "caller", tenant)).status_code == 200
    url = service.url + "/admin/costs"
    found = httpx.get(url, params={"by": "tenant,deployment"}, headers=AUTH).json()
    assert {row["tenant"] for row in found["rows"]} >= {"acme", "umbrella"}
    whole = sum(row["cost_micro_usd"] for row in found["rows"])
    assert whole == found["total"]["cost_micro_usd"] > 0
    acme = bearer(make_key(service, "analyst", "acme"))
    mine = httpx.get(url, params={"by": "tenant"}, headers=acme).json()
    assert [row["tenant"] for row in mine["rows"]] == ["acme"] and mine["tenant"] == "acme"
    assert mine["total"]["cost_micro_usd"] < whole
    for params, said in (({"by": "planet"}, "no dimension"), ({"since": "2090-01-01"}, "since"),
                         ({"until": "soon"}, "until")):  # fmt: skip
        refused = httpx.get(url, params=params, headers=AUTH)
        assert refused.status_code == 422 and said in refused.text
    code, out, err = run("cost", "by", "tenant", "--url", service.url, "--json")
    assert code == 0 and json.loads(out)["total"]["cost_micro_usd"] >= whole, err


def test_budgets_are_listed_and_a_tenant_sees_its_own(service: Service) -> None:
    acme, other = make_key(service, "caller", "acme"), make_key(service, "caller", "umbrella")
    for secret in (acme, other):
        key = service.runtime.kept.keys.find(secret)
        assert key is not None
        put = httpx.post(f"{service.url}/admin/keys/{key.id}/budget", headers=AUTH,
                         json={"period": "month", "hard_usd": 1})  # fmt: skip
        assert put.status_code == 200, put.text
        assert ask(service, secret).status_code == 200
    rows = httpx.get(service.url + "/admin/budgets", headers=AUTH).json()["budgets"]
    assert len(rows) == 2 and all(row["spent_usd"] > 0.0 for row in rows)
    assert all(row["left_usd"] == round(1.0 - row["spent_usd"], 6) for row in rows)
    mine = httpx.get(service.url + "/admin/budgets",
                     headers=bearer(make_key(service, "analyst", "acme"))).json()  # fmt: skip
    key = service.runtime.kept.keys.find(acme)
    assert key is not None and [row["of"] for row in mine["budgets"]] == [key.id]
    foreign = bearer(make_key(service, "administrator", "umbrella"))
    for path in ("budget", "budget/end"):
        refused = httpx.post(
            f"{service.url}/admin/keys/{key.id}/{path}",
            headers=foreign,
            json={"period": "day", "hard_usd": 9} if path == "budget" else {},
        )
        assert refused.status_code == 404
    code, out, err = run("budget", "list", "--url", service.url)
    assert code == 0 and f"key/{key.id}"[:12] in out and "…" not in out, err
    code, out, _ = run("budget", "show", f"key/{key.id}", "--url", service.url, "--json")
    assert code == 0 and len(json.loads(out)["budgets"]) == 1
    code, out, _ = run("budget", "show", f"key/{key.id}", "--url", service.url)
    assert code == 0 and "reserved $" in out and "at the cap: " in out and "…" not in out
    assert run("budget", "show", "nobody", "--url", service.url)[0] == 2


def test_a_key_is_given_a_budget_by_the_command_line(service: Service) -> None:
    code, out, err = run("keys", "create", "--name", "cli-budget", "--budget", "0/day", "--url",
                         service.url, "--json")  # fmt: skip
    assert code == 0, err
    refused = ask(service, json.loads(out)["key"])
    assert refused.status_code == 429 and refused.json()["error"]["code"] == "budget_exceeded"
    code, out, err = run("keys", "budget", "cli-budget", "none", "--url", service.url)
    assert code == 0 and "may spend none" in out, err
    assert run("keys", "budget", "cli-budget", "much", "--url", service.url)[0] == 2
    assert run("keys", "budget", "cli-budget", "5/week", "--url", service.url)[0] == 2


def test_the_ledger_of_a_running_service_is_held_against_an_export(
    service: Service, tmp_path: Path
) -> None:
    assert ask(service, make_key(service, "caller", "acme")).status_code == 200
    found = httpx.get(service.url + "/admin/costs", params={"by": "day,deployment"}, headers=AUTH)
    lines = [
        json.dumps({"date": row["day"], "model": row["deployment"], "requests": row["calls"],
                    "input_tokens": row["tokens_in"], "cost": row["cost_micro_usd"] / 1e6})
        for row in found.json()["rows"]
    ]  # fmt: skip
    file = tmp_path / "export.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    code, out, err = run("ledger", "reconcile", str(file), "--url", service.url)
    assert code == 0 and "within 0.1 %" in out, out + err
    file.write_text("\n".join(lines[:-1]) + '\n{"date": "2001-01-01", "model": "x", "cost": 9}\n')
    code, out, _ = run("ledger", "reconcile", str(file), "--url", service.url)
    assert code == 1 and "missing here" in out
