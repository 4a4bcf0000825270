"""An approval is void where what it acts on is not what it was."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import KEY, Server, Service
from tests.service.api.four_eyes import (
    EXCLUDE,
    FORCE,
    WHY,
    YES,
    acts,
    asked,
    clear,
    get,
    in_force,
    post,
    serving,
    version,
)
from tests.service.api.test_auth import make_key
from tests.service.experimentation.rig import design_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def four(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from serving(providers, tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def clean(four: Service) -> Iterator[None]:
    yield
    clear(four)


def test_it_is_void_when_what_it_acts_on_has_changed(four: Service) -> None:
    waiting, second = asked(four), make_key(four, "operator")
    assert post(four, "/admin/overrides", EXCLUDE).status_code == 201
    told = post(four, f"/admin/approvals/{waiting}/approve", YES, second)
    assert told.status_code == 409 and told.json()["error"]["code"] == "approval_void"
    assert in_force(four) == ["exclude"] and acts(four, waiting)[-1] == "approval.void"
    assert post(four, f"/admin/approvals/{waiting}/approve", YES, second).status_code == 404


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
