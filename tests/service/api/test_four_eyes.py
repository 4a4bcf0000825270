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

from service.api import approvals
from service.bootstrap.jobs import approvals_job
from service.domain.approvals import WAITS, Approval
from service.domain.experiments import Promotion
from service.storage.approvals import ApprovalStore
from service.storage.database import Database
from service.storage.event_log import EventLog
from tests.conftest import KEY, HandClock, Server, Service
from tests.service.api.four_eyes import (
    EXCLUDE,
    FORCE,
    WHY,
    YES,
    acts,
    asked,
    clear,
    experiment,
    get,
    in_force,
    post,
    serving,
    version,
)
from tests.service.api.test_auth import make_key
from tests.service.cli.test_commands import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def four(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from serving(providers, tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def clean(four: Service) -> Iterator[None]:
    yield
    clear(four)


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


def test_a_rollback_to_what_was_never_live_is_a_promotion(four: Service) -> None:
    path, first = "/admin/policies/rollback", four.runtime.learner.version.id
    new = version(four)
    asked(four, {"reason": WHY, "to": new[:-2]}, path)
    assert four.runtime.learner.version.id == first
    glass = {"reason": WHY, "break_glass": True}
    assert post(four, f"/admin/policies/{new}/promote", glass).status_code == 200
    for to in (first, new, first):
        assert post(four, path, {"reason": WHY, "to": to}).status_code == 200, "it was live"
        assert four.runtime.learner.version.id == to
    retired = four.runtime.experiments.desk.standing.retired
    retired.add(new)
    try:
        told = post(four, path, {**glass, "to": new})
        assert told.json()["error"]["code"] == "version_retired"
        pin = {"action": "pin", "version": new, **glass}
        assert post(four, "/admin/overrides", pin).json()["error"]["code"] == "version_retired"
        assert post(four, path, {"reason": WHY}).status_code == 200, "the plain one always works"
    finally:
        retired.discard(new)
    assert post(four, path, {"reason": WHY, "to": first}).status_code == 200


def test_a_kill_to_the_dearest_waits_and_one_to_the_cheapest_does_not(four: Service) -> None:
    kill = {"action": "kill", "reason": WHY, "author": "ann"}
    waiting = asked(four, {**kill, "deployment": "mill"})
    assert in_force(four) == []
    second = make_key(four, "operator")
    assert post(four, f"/admin/approvals/{waiting}/approve", YES, second).status_code == 200
    assert post(four, "/admin/overrides", {**kill, "deployment": "brook"}).status_code == 201
    assert in_force(four) == ["kill", "kill"]


def test_what_needs_approval_no_more_is_approved_all_the_same(four: Service) -> None:
    kill = {"action": "kill", "deployment": "mill", "reason": WHY, "author": "ann"}
    waiting, plan = asked(four, kill), four.runtime.plan
    four.runtime.plan = plan.model_copy(update={"safe_deployment": "mill"})
    try:
        done = post(four, f"/admin/approvals/{waiting}/approve", YES, make_key(four, "operator"))
    finally:
        four.runtime.plan = plan
    assert done.status_code == 200 and in_force(four) == ["kill"]


def test_a_renewal_that_ends_sooner_waits_as_a_lift_does(four: Service) -> None:
    laid = post(four, "/admin/overrides", {**EXCLUDE, "expires_in_s": 3_600}).json()
    renew = f"/admin/overrides/{laid['id']}/renew"
    assert post(four, renew, {"reason": WHY, "expires_in_s": 0.1}).status_code == 422
    asked(four, {"reason": WHY, "expires_in_s": 60}, renew)
    assert get(four, "/admin/overrides")["overrides"][0]["id"] == laid["id"]
    assert post(four, renew, {"reason": WHY, "expires_in_s": 7_200}).status_code == 201


def test_what_the_service_took_back_takes_two_to_return_to(four: Service) -> None:
    new, promotions = version(four), four.runtime.experiments.promotions
    assert not promotions.returns(new) and promotions.returns(four.runtime.learner.version.id)
    store = four.runtime.experiments.versions.store
    by = (four.runtime.learner.version.id, new, "c1", "c0", "rolled back", "headgate", WHY, "{}")
    store.promotions[:0] = [
        Promotion("p1", 1, new, by[0], "c0", None, "promoted", "ann", WHY, "{}"),
        Promotion("p2", 2, *by),
    ]
    try:
        assert not promotions.returns(new)
    finally:
        del store.promotions[:2]


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


def test_glass_that_breaks_often_does_not_flood_the_warnings(
    four: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.approvals.MOST_WARNINGS", 2)
    for count in range(1, 5):
        assert post(four, "/admin/overrides", {**FORCE, "break_glass": True}).status_code == 201
        told = [each for each in get(four, "/admin/status")["warnings"] if "glass was" in each]
        assert len(told) == min(count, 3)
    assert told[-1] == "glass was broken 2 more times: headgate approvals list"


def test_of_what_is_open_the_oldest_are_listed(
    four: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [asked(four) for _ in range(3)]
    assert get(four, "/admin/approvals")["more"] is False
    monkeypatch.setattr(approvals, "MOST_SHOWN", 2)
    found = get(four, "/admin/approvals")
    assert [each["id"] for each in found["open"]] == waiting[:2] and found["more"] is True


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


def test_nobody_approves_with_a_key_whose_secret_the_asker_was_shown(four: Service) -> None:
    glass = {"reason": WHY, "break_glass": True}
    bob = post(four, "/admin/keys", {"name": "bob", "role": "operator", **glass}).json()["key"]
    asked(four, {"reason": WHY, "grace_s": 0}, "/admin/keys/bob/rotate")
    assert get(four, "/admin/status", bob)["ready"], "it is the same secret still"
    approve = f"/admin/approvals/{asked(four)}/approve"
    told = post(four, approve, YES, bob)
    assert told.status_code == 403 and "was shown the secret" in told.text
    own = post(four, "/admin/keys/bob/rotate", {}, bob)
    assert own.status_code == 200 and own.headers["cache-control"] == "no-store"
    assert post(four, "/admin/keys/bootstrap/rotate", {}, bob).status_code == 403
    done = post(four, approve, YES, own.json()["key"])
    assert done.status_code == 200 and done.headers["cache-control"] == "no-store"


RAISING: dict[str, Callable[[Service], tuple[str, Any]]] = {
    "promote": lambda s: (f"/admin/policies/{version(s)}/promote", {"reason": WHY}),
    "start": lambda s: (f"/admin/experiments/{experiment(s)}/start", {"reason": WHY}),
    "ship": lambda s: (f"/admin/experiments/{experiment(s)}/ship",
                       {"reason": WHY, "variant": "treatment"}),
    "an administrator": lambda s: ("/admin/keys", {"name": "boss", "role": "administrator"}),
}  # fmt: skip


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
