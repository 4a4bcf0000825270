"""A second person: what raises exposure waits for one, what reduces it never does."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.bootstrap.jobs import approvals_job
from service.domain.approvals import WAITS, Approval
from service.storage.approvals import ApprovalStore
from service.storage.database import Database
from service.storage.event_log import EventLog
from tests.conftest import KEY, HandClock, Server, Service, make_runtime, plan_text
from tests.service.api.test_auth import make_key
from tests.service.cli.test_commands import run

pytestmark = pytest.mark.slow
WHY = "the reason is long enough to break the glass"
FORCE = {"action": "force", "deployment": "mill", "reason": WHY, "author": "ann"}
EXCLUDE = {**FORCE, "action": "exclude"}
YES = {"reason": "I have looked at it"}


@pytest.fixture(scope="module")
def four(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    text = plan_text(providers.url) + "\napprovals: {four_eyes: true}\n"
    runtime = make_runtime(tmp_path_factory.mktemp("state"), text)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


@pytest.fixture(autouse=True)
def clean(four: Service) -> Iterator[None]:
    yield
    for each in get(four, "/admin/overrides")["overrides"]:
        four.runtime.kept.overrides.remove(each["id"])
    for item in four.runtime.kept.approvals.open():
        four.runtime.kept.approvals.end(item.id)


def post(service: Service, path: str, body: Any, key: str = KEY) -> httpx.Response:
    return httpx.post(service.url + path, json=body, headers={"Authorization": f"Bearer {key}"})


def get(service: Service, path: str, key: str = KEY) -> Any:
    return httpx.get(service.url + path, headers={"Authorization": f"Bearer {key}"}).json()


def acts(service: Service, subject: str) -> list[str]:
    service.runtime.kept.log.flush().result(10)
    return [a["act"] for a in get(service, f"/admin/audit?subject={subject}")["acts"]][::-1]


def in_force(service: Service) -> list[str]:
    return [each["action"] for each in get(service, "/admin/overrides")["overrides"]]


def asked(service: Service, body: Any = FORCE, path: str = "/admin/overrides") -> str:
    answer = post(service, path, body)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["approval"]
    assert answer.headers["location"] == f"/admin/approvals/{found}"
    return found


def test_it_waits_and_is_carried_out_as_it_was_asked(four: Service) -> None:
    waiting = asked(four)
    assert in_force(four) == [] and get(four, "/admin/status")["approvals"]["waiting"] == 1
    second = make_key(four, "operator")
    shown = get(four, f"/admin/approvals/{waiting}", second)
    assert json.loads(shown["request"]["body"]) == FORCE and shown["state"] == "waiting"
    done = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert done.status_code == 200 and done.json()["status"] == 201, done.text
    made = done.json()["result"]
    assert in_force(four) == ["force"] and made["author"] == "ann" and made["reason"] == WHY
    assert acts(four, waiting) == ["approval.asked", "approval.approved"]
    (act,) = get(four, f"/admin/audit?subject={made['id']}")["acts"]
    assert act["actor"] == "bootstrap" and act["author"] == "ann"
    assert act["detail"]["approval"] == waiting and act["detail"]["approved_by"] == "operator"
    again = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert again.status_code == 404, "once"
    assert get(four, f"/admin/approvals/{waiting}")["state"] == "approved"


def test_the_second_person_is_another_key_and_another_name(four: Service) -> None:
    waiting = asked(four)
    path = f"/admin/approvals/{waiting}/approve"
    assert post(four, path, YES).json()["error"]["code"] == "second_person"
    ann = post(four, "/admin/keys", {"name": "Ann", "role": "operator", "break_glass": True,
                                     "reason": WHY})  # fmt: skip
    assert ann.status_code == 201
    assert post(four, path, YES, ann.json()["key"]).status_code == 403, "the author by name"
    third = make_key(four, "operator")
    assert post(four, path, {**YES, "author": "ANN"}, third).status_code == 403
    assert post(four, path, {**YES, "author": "bootstrap"}, third).status_code == 403
    assert post(four, path, {"reason": "short"}, third).status_code == 422
    assert post(four, path, YES, make_key(four, "analyst")).status_code == 403
    assert post(four, path, YES, make_key(four, "operator", "acme")).status_code == 404
    assert post(four, path, {**YES, "author": "bob"}, third).status_code == 200


def test_what_reduces_exposure_never_waits(four: Service) -> None:
    laid = post(four, "/admin/overrides", EXCLUDE)
    assert laid.status_code == 201 and in_force(four) == ["exclude"]
    lift = f"/admin/overrides/{laid.json()['id']}/lift"
    waiting = asked(four, {"reason": WHY, "author": "ann"}, lift)
    assert in_force(four) == ["exclude"]
    second = make_key(four, "operator")
    assert post(four, f"/admin/approvals/{waiting}/approve", YES, second).status_code == 200
    assert in_force(four) == []
    assert post(four, "/admin/policies/rollback", {"reason": WHY}).status_code == 409, "no wait"
    assert post(four, "/admin/keys", {"name": "a caller"}).status_code == 201
    assert post(four, "/admin/keys/a caller/revoke", {}).status_code == 200


def test_it_is_void_when_what_it_acts_on_has_changed(four: Service) -> None:
    waiting, second = asked(four), make_key(four, "operator")
    assert post(four, "/admin/overrides", EXCLUDE).status_code == 201
    told = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert told.status_code == 409 and told.json()["error"]["code"] == "approval_void"
    assert in_force(four) == ["exclude"] and acts(four, waiting)[-1] == "approval.void"
    assert post(four, f"/admin/approvals/{waiting}/approve", YES, second).status_code == 404


def test_it_is_void_when_there_is_nothing_to_act_on_any_more(four: Service) -> None:
    laid = post(four, "/admin/overrides", EXCLUDE).json()
    waiting = asked(four, {"reason": WHY}, f"/admin/overrides/{laid['id']}/lift")
    four.runtime.kept.overrides.remove(laid["id"])
    second = make_key(four, "operator")
    told = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert told.status_code == 409 and "no override of that id" in told.text
    assert acts(four, waiting)[-1] == "approval.void"


def test_it_is_void_when_the_key_that_asked_is_revoked(four: Service) -> None:
    boss, second = make_key(four, "administrator"), make_key(four, "operator")
    answer = post(four, "/admin/overrides", FORCE, boss)
    boss_id = four.runtime.kept.approvals.open()[-1].key_id
    assert post(four, f"/admin/keys/{boss_id}/revoke", {}).status_code == 200
    told = post(four, f"/admin/approvals/{answer.json()['approval']}/approve", YES, second)
    assert told.status_code == 409 and "valid no more" in told.text and in_force(four) == []


def test_it_is_rejected_or_taken_back(four: Service) -> None:
    for key in (KEY, make_key(four, "operator")):
        waiting = asked(four)
        assert post(four, f"/admin/approvals/{waiting}/reject", YES, key).status_code == 200
        assert acts(four, waiting) == ["approval.asked", "approval.rejected"]
    assert in_force(four) == []
    assert get(four, "/admin/approvals")["ended"][0]["how"] == "rejected"


def test_broken_glass_acts_at_once_and_is_loud(
    four: Service, caplog: pytest.LogCaptureFixture
) -> None:
    short = post(four, "/admin/overrides", {**FORCE, "reason": "ten letters", "break_glass": True})
    assert short.status_code == 422 and "at least 20" in short.text
    with caplog.at_level(logging.ERROR):
        laid = post(four, "/admin/overrides", {**FORCE, "break_glass": True})
    assert laid.status_code == 201 and in_force(four) == ["force"]
    assert "has broken the glass: override.force on mill" in caplog.text
    assert acts(four, "mill") == ["break_glass"]
    (item,) = get(four, "/admin/approvals")["open"]
    assert item["state"] == "to be acknowledged" and item["expires_at"] is None
    (told,) = [w for w in get(four, "/admin/status")["warnings"] if "glass was broken" in w]
    assert f"headgate approvals acknowledge {item['id']}" in told and "bootstrap" in told
    path = f"/admin/approvals/{item['id']}"
    assert post(four, f"{path}/acknowledge", YES).status_code == 403
    second = make_key(four, "operator")
    assert post(four, f"{path}/approve", YES, second).status_code == 409
    assert post(four, f"{path}/acknowledge", YES, second).status_code == 200
    assert not any("glass" in w for w in get(four, "/admin/status")["warnings"])
    assert acts(four, item["id"]) == ["approval.acknowledged"]


def test_an_operators_key_takes_two_and_its_secret_goes_to_who_approves(four: Service) -> None:
    body = {"name": "new operator", "role": "operator", "reason": WHY}
    waiting = asked(four, body, "/admin/keys")
    path = f"/admin/approvals/{waiting}/approve"
    assert post(four, path, YES, make_key(four, "operator")).status_code == 403, "an administrator"
    done = post(four, path, YES, make_key(four, "administrator")).json()
    secret = done["result"]["key"]
    assert get(four, "/admin/status", secret)["ready"]
    kept = json.dumps(get(four, f"/admin/approvals/{waiting}")) + json.dumps(
        get(four, "/admin/audit?limit=1000")
    )
    assert secret not in kept


RAISING: dict[str, Callable[[Service], tuple[str, Any]]] = {
    "promote": lambda s: (f"/admin/policies/{version(s)}/promote", {"reason": WHY}),
    "start": lambda s: (f"/admin/experiments/{experiment(s)}/start", {"reason": WHY}),
    "ship": lambda s: (f"/admin/experiments/{experiment(s)}/ship",
                       {"reason": WHY, "variant": "treatment"}),
    "an administrator": lambda s: ("/admin/keys", {"name": "boss", "role": "administrator"}),
}  # fmt: skip


def version(service: Service) -> str:
    made = post(service, "/admin/policies", {"kind": "uniform", "reason": WHY})
    return str(made.json()["id"])


def experiment(service: Service) -> str:
    known = get(service, "/admin/experiments")["experiments"]
    if known:
        return str(known[-1]["id"])
    variants = [
        {"name": "control", "share": 0.5},
        {"name": "treatment", "share": 0.5, "settings": {"deployment": "mill"}},
    ]
    design = {"slug": "one", "hypothesis": "mill is better", "variants": variants,
              "goals": ["success_rate"], "unit": "session"}  # fmt: skip
    made = post(service, "/admin/experiments", {"design": design, "reason": WHY})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


@pytest.mark.parametrize("name", RAISING)
def test_all_that_raises_exposure_waits(four: Service, name: str) -> None:
    path, body = RAISING[name](four)
    before = four.runtime.learner.version.id
    asked(four, body, path)
    assert four.runtime.learner.version.id == before


def test_what_was_approved_and_cannot_be_done_is_said(four: Service) -> None:
    path, body = RAISING["ship"](four)
    waiting = asked(four, body, path)
    told = post(four, f"/admin/approvals/{waiting}/approve", YES, make_key(four, "operator"))
    assert told.status_code == 409 and told.json()["error"]["code"] == "approved_and_failed"
    assert acts(four, waiting)[-1] == "approval.approved"


def test_no_header_makes_a_request_an_approved_one(four: Service) -> None:
    for name in ("headgate.approved", "headgate-approved", "x-headgate-approved"):
        answer = httpx.post(four.url + "/admin/overrides", json=FORCE,
                            headers={"Authorization": f"Bearer {KEY}", name: "1"})  # fmt: skip
        assert answer.status_code == 202


def test_by_hand(four: Service) -> None:
    url = ("--url", four.url)
    force = ("override", "set", "force", "mill", "--reason", WHY, *url)
    code, out, _ = run(*force, "--author", "ann")
    assert code == 0 and "not done yet" in out
    waiting = out.split("\nid ")[1].split()[0]
    code, out, _ = run(*force, "--author", "ann", "--json")
    assert code == 0 and json.loads(out)["state"] == "waiting"
    run("approvals", "reject", json.loads(out)["id"], "--reason", "once is enough", *url)
    code, out, _ = run("approvals", "list", *url)
    assert code == 0 and waiting in out and "override.force" in out
    code, out, _ = run("approvals", "show", waiting, *url)
    assert code == 0 and '"deployment":"mill"' in out.replace('": "', '":"')
    approve = ("approvals", "approve", waiting, "--reason", "I have looked at it", *url)
    code, _, err = run(*approve)
    assert code == 1 and "second person" in err
    second = make_key(four, "operator")
    code, out, _ = run(*approve, key=second)
    assert code == 0 and "approved, and done" in out and in_force(four) == ["force"]
    code, out, _ = run("override", "set", "force", "brook", "--reason", WHY, "--break-glass", *url)
    assert code == 0 and "force brook everywhere" in out
    code, out, _ = run("status", *url)
    assert code == 0 and "glass was broken" in " ".join(out.split())
    item = four.runtime.kept.approvals.open()[-1].id
    code, out, _ = run("approvals", "acknowledge", item, "--reason", "it had to be done", *url,
                       key=second)  # fmt: skip
    assert code == 0 and "acknowledged" in out


def test_without_four_eyes_nothing_waits(service: Service) -> None:
    for body in (FORCE, {**FORCE, "deployment": "brook", "break_glass": True}):
        assert post(service, "/admin/overrides", body).status_code == 201
    assert get(service, "/admin/approvals")["open"] == []


def test_it_survives_a_restart_and_expires_whatever_the_wall_clock_does(tmp_path: Path) -> None:
    hand, path = HandClock(), tmp_path / "live.duckdb"
    fields = ("override.force", "mill", "ab", "POST", "/x", "{}", WHY, "ann", "k", "operator",
              "k1", "127.0.0.1", "r1", "operator")  # fmt: skip
    one = Approval("a1", hand.wall_us(), WAITS, *fields, hand.wall_us() + 3_600_000_000)
    database = Database(path)
    log = EventLog(database)
    log.start()
    log.append_durable(one).result(5)
    log.stop()
    database.close()
    hand.advance(1_800.0)
    database = Database(path)
    store = ApprovalStore(database, hand)
    assert store.find("a1") == one and store.open() == [one] and not store.overdue()
    hand.wall += 86_400_000_000
    assert store.find("a1") == one
    hand.monotonic += 1_801.0
    assert store.find("a1") is None and store.overdue() == [one] and store.open() == []
    database.close()


@pytest.mark.parametrize("name", ["headgate", "Head\u200bgate", "\uff28eadgate", "headgate\u00ad"])
def test_nobody_signs_as_the_service(four: Service, name: str) -> None:
    told = post(four, "/admin/overrides", {**EXCLUDE, "author": name})
    assert told.status_code == 422 and told.json()["error"]["param"] == "author"


def test_the_act_of_the_first_key(four: Service) -> None:
    (boot,) = [k["id"] for k in get(four, "/admin/keys")["keys"] if k["name"] == "bootstrap"]
    (act,) = get(four, f"/admin/audit?subject={boot}")["acts"]
    assert (act["act"], act["actor"]) == ("key.created", "headgate")
    assert act["after"] == {"name": "bootstrap", "role": "administrator"}


def test_what_is_being_approved_does_not_run_out_meanwhile(four: Service) -> None:
    waiting, store = asked(four), four.runtime.kept.approvals
    loop = next(iter(four.runtime.scheduler._tasks.values())).get_loop()

    async def story() -> bool:
        async with four.runtime.approving:
            store._open[waiting] = (store._open[waiting][0], 0.0)
            job = asyncio.ensure_future(approvals_job(four.runtime).run())
            for _ in range(20):
                await asyncio.sleep(0)
            kept = waiting in store._open
        await job
        return kept

    assert asyncio.run_coroutine_threadsafe(story(), loop).result(20)
    assert waiting not in store._open


def test_what_nobody_approves_in_time_ends_by_itself(four: Service) -> None:
    waiting, second = asked(four), make_key(four, "operator")
    store = four.runtime.kept.approvals
    store._open[waiting] = (store._open[waiting][0], 0.0)
    told = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert told.status_code == 404 and in_force(four) == []
    deadline = time.monotonic() + 30
    while "approval.expired" not in acts(four, waiting):
        assert time.monotonic() < deadline
        time.sleep(0.05)
