"""Keys made, listed, revoked and rotated; each as it is said, durable, and seen in the audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.cli import keys
from service.domain.errors import StorageUnavailable
from tests.conftest import KEY, Server, Service, plan_text
from tests.service.api.test_auth import make_key
from tests.service.cli.test_commands import run
from tests.service.processes import Process

pytestmark = pytest.mark.slow


def call(service: Service, method: str, path: str, body: Any = None, key: str = KEY) -> Any:
    return httpx.request(method, service.url + path, json=body,
                         headers={"Authorization": f"Bearer {key}"})  # fmt: skip


def made(service: Service, name: str, role: str = "caller", **more: Any) -> dict[str, Any]:
    answer = call(service, "POST", "/admin/keys", {"name": name, "role": role, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    content: dict[str, Any] = answer.json()
    return content


def test_a_key_is_shown_once_and_does_what_its_role_may(service: Service) -> None:
    one = made(service, "reader", "analyst", expires_in_s=3_600, reason="for the dashboards")
    assert one["key"].startswith("hg-") and one["state"] == "active" and one["expires_at"]
    assert call(service, "GET", "/admin/status", key=one["key"]).status_code == 200
    assert call(service, "POST", "/admin/plan/reload", {}, one["key"]).status_code == 403
    assert call(service, "GET", "/admin/keys", key=one["key"]).status_code == 403
    listed = call(service, "GET", "/admin/keys")
    assert one["key"] not in listed.text and "digest" not in listed.text
    (mine,) = [each for each in listed.json()["keys"] if each["name"] == "reader"]
    assert mine["last_used_at"] and mine["last_used_at"].endswith(":00.000Z")
    (act,) = call(service, "GET", f"/admin/audit?subject={one['id']}").json()["acts"]
    assert act["act"] == "key.created" and act["actor"] == "bootstrap" and act["before"] is None
    assert act["after"]["role"] == "analyst" and act["reason"] == "for the dashboards"
    assert act["ip"] == "127.0.0.1" and act["role"] == "administrator" and act["request_id"]
    assert one["key"] not in json.dumps(act)


@pytest.mark.parametrize(("body", "status"), [
    ({"name": "x", "role": "god"}, 422), ({"name": "", "role": "caller"}, 422),
    ({"name": "headgate", "role": "caller"}, 422), ({"name": "a\nb"}, 422),
    ({"name": "=cmd"}, 422), ({"name": "bootstrap"}, 409), ({"name": "BOOTSTRAP"}, 409),
    ({"name": "x", "tier": "nowhere"}, 422), ({"name": "x", "expires_in_s": 0}, 422),
    ({"name": "x", "secret": "mine"}, 422), ({"name": "x", "author": "Headgate"}, 422),
], ids=lambda value: json.dumps(value) if isinstance(value, dict) else "")  # fmt: skip
def test_what_is_no_key_is_refused(service: Service, body: dict[str, Any], status: int) -> None:
    assert call(service, "POST", "/admin/keys", body).status_code == status


def test_a_revoked_key_opens_nothing_on_the_next_request(service: Service) -> None:
    one = made(service, "leaked")
    assert call(service, "GET", "/v1/models", key=one["key"]).status_code == 200
    ended = call(service, "POST", f"/admin/keys/{one['id']}/revoke", {"reason": "it was in a log"})
    assert ended.json()["state"] == "revoked"
    assert call(service, "GET", "/v1/models", key=one["key"]).status_code == 401
    again = call(service, "POST", f"/admin/keys/{one['id']}/revoke", {})
    assert again.status_code == 409
    assert call(service, "POST", "/admin/keys/nobody/revoke", {}).status_code == 404
    assert made(service, "leaked")["id"] != one["id"], "its name is free again"


def test_a_rotated_key_stays_the_same_key(service: Service) -> None:
    one = made(service, "shop", tenant="acme")
    new = call(service, "POST", "/admin/keys/shop/rotate", {"grace_s": 3_600}).json()
    assert new["id"] == one["id"] and new["key"] != one["key"] and new["tenant"] == "acme"
    assert new["state"] == "rotating" and new["old_secret_until"]
    for secret in (one["key"], new["key"]):
        assert call(service, "GET", "/v1/models", key=secret).status_code == 200
    newest = call(service, "POST", "/admin/keys/shop/rotate", {"grace_s": 0}).json()
    assert [call(service, "GET", "/v1/models", key=each["key"]).status_code
            for each in (one, new, newest)] == [401, 401, 200]  # fmt: skip


def test_the_list_comes_in_pages_and_the_command_shows_all(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        made(service, f"paged {number}")
    whole = call(service, "GET", "/admin/keys").json()
    count, got = len(whole["keys"]), []
    assert not whole["more"]
    for at in range(0, count, 2):
        page = call(service, "GET", f"/admin/keys?limit=2&offset={at}").json()
        got += page["keys"]
        assert len(page["keys"]) <= 2 and page["more"] == (at + 2 < count)
    assert [each["id"] for each in got] == [each["id"] for each in whole["keys"]]
    for wrong in ("limit=0", "limit=1001", "offset=-1"):
        assert call(service, "GET", f"/admin/keys?{wrong}").status_code == 422
    monkeypatch.setattr(keys, "PAGE", 2)
    code, out, _ = run("keys", "list", "--url", service.url, "--json")
    assert code == 0 and len(json.loads(out)["keys"]) == count


def test_an_administrator_of_a_tenant_reaches_that_tenant_alone(service: Service) -> None:
    other = made(service, "globex-shop", tenant="globex")
    boss = make_key(service, "administrator", "acme")
    mine = call(service, "POST", "/admin/keys", {"name": "acme-shop", "tenant": "acme"}, boss)
    assert mine.status_code == 201
    for body in ({"name": "y"}, {"name": "y", "tenant": "globex"}):
        assert call(service, "POST", "/admin/keys", body, boss).status_code == 403
    seen = call(service, "GET", "/admin/keys", key=boss).json()["keys"]
    assert {each["tenant"] for each in seen} == {"acme"}
    for step in ("revoke", "rotate"):
        assert call(service, "POST", f"/admin/keys/{other['id']}/{step}", {}, boss).status_code == (
            404
        )
    assert call(service, "GET", "/admin/audit", key=boss).status_code == 403


def test_a_revocation_acts_also_while_nothing_can_be_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(service, "stolen")
    log = service.runtime.kept.log
    with monkeypatch.context() as broken:

        def full(*records: object) -> Any:
            raise StorageUnavailable("the disk is full")

        broken.setattr(log, "append_durable", full)
        answer = call(service, "POST", "/admin/keys/stolen/revoke", {})
        assert answer.status_code == 503 and "opens nothing any more" in answer.text
        assert call(service, "GET", "/v1/models", key=one["key"]).status_code == 401
    log.flush().result(10)
    told = call(service, "GET", f"/admin/audit?subject={one['id']}").json()["acts"]
    assert [each["act"] for each in told] == ["key.revoked", "key.created"]


def test_by_hand(service: Service) -> None:
    url = ("--url", service.url)
    code, out, _ = run("keys", "create", "--name", "hand", "--role", "analyst", "--expires-in",
                       "30d", *url)  # fmt: skip
    assert code == 0 and "hand is analyst, until" in out and "shown once" in out
    secret = out.split("key ")[1].split()[0]
    code, out, _ = run("keys", "list", *url)
    assert code == 0 and "hand" in out and secret not in out
    code, out, _ = run("keys", "rotate", "hand", "--grace", "1h", *url, "--json")
    assert code == 0 and json.loads(out)["key"].startswith("hg-")
    code, out, _ = run("keys", "revoke", "hand", "--reason", "the test is over", *url)
    assert code == 0 and "hand is revoked" in out
    code, _, err = run("keys", "revoke", "hand", *url)
    assert code == 2 and "no key of that id or name" in err
    code, _, err = run("keys", "create", "--name", "x", "--role", "god", *url)
    assert code == 2 and "role: one of caller" in err
    code, out, _ = run("audit", "list", "--act", "key", *url)
    assert code == 0 and "key.revoked" in out and "127.0.0.1" in out
    code, out, _ = run("audit", "verify", *url)
    assert code == 0 and "the chain holds" in out
    code, out, _ = run("audit", "export", "--format", "csv", "--act", "key.revoked", *url)
    assert code == 0 and out.startswith("log_seq,id,ts,actor") and "the test is over" in out
    code, out, _ = run("audit", "export", *url)
    assert code == 0 and all(json.loads(line)["hash"] for line in out.splitlines())


def test_without_a_bootstrap_key_the_last_administrator_stays(
    tmp_path: Path, providers: Server
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(plan_text(providers.url))
    log = tmp_path / "log"
    process = Process("serve", "--plan", str(plan), "--state", str(tmp_path / "state"), log=log,
                      bootstrap=False)  # fmt: skip
    try:
        first = next(w for w in log.read_text().split() if w.startswith("hg-"))
        at = httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {first}"})
        with at:
            told = at.post("/admin/keys/first/revoke", json={})
            assert told.status_code == 409 and "last administrator" in told.text
            boss = at.post("/admin/keys", json={"name": "boss", "role": "administrator"}).json()
            assert at.post("/admin/keys/first/revoke", json={}).status_code == 200
            assert at.get("/admin/keys").status_code == 401
    finally:
        process.kill()
    process = Process("serve", "--plan", str(plan), "--state", str(tmp_path / "state"), log=log,
                      bootstrap=False)  # fmt: skip
    try:
        for secret, status in ((first, 401), (boss["key"], 200)):
            answer = httpx.get(process.url + "/admin/keys",
                               headers={"Authorization": f"Bearer {secret}"})  # fmt: skip
            assert answer.status_code == status, "what was answered survives kill -9"
    finally:
        assert process.stop() == 0
