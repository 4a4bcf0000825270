"""What raises exposure in other words, or by a name that stands for another thing since."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from service.app import create_app
from service.domain.experiments import Promotion
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.api.test_auth import make_key
from tests.service.api.test_four_eyes import (
    EXCLUDE,
    FORCE,
    WHY,
    YES,
    asked,
    get,
    in_force,
    post,
    version,
)
from tests.service.experimentation.rig import design_of

pytestmark = pytest.mark.slow


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


def test_it_is_void_when_a_narrower_override_is_laid_meanwhile(four: Service) -> None:
    waiting, second = asked(four, {**FORCE, "tenant": "acme"}), make_key(four, "operator")
    elsewhere = {**EXCLUDE, "tenant": "other"}
    assert post(four, "/admin/overrides", elsewhere).status_code == 201
    assert post(four, f"/admin/approvals/{waiting}/approve", YES, second).status_code == 200
    waiting = asked(four)
    assert post(four, "/admin/overrides", {**EXCLUDE, "task": "code"}).status_code == 201
    told = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert told.json()["error"]["code"] == "approval_void"


def test_what_was_looked_at_counts_for_the_approval_too(four: Service) -> None:
    body, second = {**FORCE, "tenant": "acme"}, make_key(four, "operator")

    def looked() -> str:
        tag = get(four, "/admin/overrides")["version"]
        headers = {"Authorization": f"Bearer {KEY}", "If-Match": f'"{tag}"'}
        answer = httpx.post(four.url + "/admin/overrides", json=body, headers=headers)
        assert answer.status_code == 202
        return f"/admin/approvals/{answer.json()['approval']}/approve"

    approve = looked()
    assert post(four, "/admin/overrides", {**EXCLUDE, "tenant": "other"}).status_code == 201
    assert post(four, approve, YES, second).json()["error"]["code"] == "approval_void"
    assert post(four, looked(), YES, second).status_code == 200


def test_a_watch_is_not_blinded(four: Service) -> None:
    first = four.runtime.learner.version.id
    glass = {"reason": WHY, "break_glass": True}
    assert post(four, f"/admin/policies/{version(four)}/promote", glass).status_code == 200
    (watch,) = four.runtime.experiments.promotions.watches()
    kill = {"action": "kill_experiment", "experiment": watch.id, "reason": WHY}
    told = post(four, "/admin/overrides", kill)
    assert told.status_code == 409 and "roll the promotion back" in told.text
    for step in ("pause", "stop"):
        asked(four, {"reason": WHY}, f"/admin/experiments/{watch.id}/{step}")
    assert four.runtime.experiments.promotions.watches() == [watch]
    back = post(four, f"/admin/experiments/{watch.id}/rollback", {"reason": WHY})
    assert back.status_code == 200 and four.runtime.learner.version.id == first


def test_it_is_void_when_the_name_stands_for_another_experiment_now(four: Service) -> None:
    design = design_of(slug="named")
    aside = {"layer": "aside", "reason": WHY}
    made = post(four, "/admin/experiments", {"design": design, **aside})
    assert made.status_code == 201, made.text
    start = "/admin/experiments/named/start"
    waiting, second = asked(four, {"reason": WHY}, start), make_key(four, "operator")
    assert post(four, "/admin/experiments/named/rollback", {"reason": WHY}).status_code == 200
    variants = [design["variants"][0], design["variants"][1] | {"settings": {}}]
    other = {"design": design | {"variants": variants}, **aside}
    assert post(four, "/admin/experiments", other).status_code == 201
    told = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert told.json()["error"]["code"] == "approval_void", told.text
    states = [e["state"] for e in get(four, "/admin/experiments")["experiments"]
              if e["id"].startswith("named")]  # fmt: skip
    assert states == ["draft", "rolled back"]
    post(four, "/admin/experiments/named/rollback", {"reason": WHY})


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
