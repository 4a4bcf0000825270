"""Versions side by side: taught, followed, promoted, rolled back byte for byte, and replayable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from learning.interaction import Arm
from learning.policies.base import PolicySetup
from service.domain.clock import SystemClock
from service.domain.errors import Conflict, NotFound
from service.domain.experiments import How
from service.feedback.apply import context_of
from service.feedback.promoting import Drafted, Signature, VersionDesk
from service.feedback.versions import PLAN, Wanted, restored, wanted_now
from tests.service.feedback.test_learner import WANTED, Home, run

BY = Signature("ann", "it is to be tried")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    if made.learner.alive:
        made.leave()


def desk_of(home: Home) -> VersionDesk:
    return VersionDesk(home.learner, home.database.cursor, SystemClock())


def learn(home: Home, rounds: int = 20, quality: float = 0.9) -> None:
    for _ in range(rounds):
        home.round(quality)
    home.settle()


def test_a_new_version_of_the_live_kind_knows_what_the_live_one_knows(home: Home) -> None:
    run(home, 30)
    desk = desk_of(home)
    made = desk.create(Drafted(None, {"budget_usd": 0.002}), BY).result(10)
    assert (made.kind, made.author, made.parent) == ("linear", "ann", home.learner.version.id)
    (first,) = home.versions.checkpoints_of(made.id)
    data = home.versions.read(first)
    assert data is not None and hashlib.sha256(data).hexdigest() == first.sha256
    desk.follow(made.id).result(10)
    assert list(home.live.others) == [made.id]
    assert home.learner.others[made.id].policy.freeze() != b""
    desk.leave(made.id).result(10)
    assert not home.live.others


def test_another_kind_is_taught_from_the_log(home: Home) -> None:
    run(home, 30)
    desk = desk_of(home)
    made = desk.create(Drafted("thompson", {}), BY).result(10)
    found = restored(made, home.versions, home.database.cursor, home.learner.seq)
    untaught = desk.create(Drafted("thompson", {}), BY)
    assert (
        found.policy.freeze()
        == restored(
            untaught.result(10), home.versions, home.database.cursor, home.learner.seq
        ).policy.freeze()
    )
    assert found.checkpoint_id and found.replayed == 0
    empty = type(found.policy).build(found.policy.setup, {})
    assert found.policy.freeze() != empty.freeze()
    with pytest.raises(ValueError, match="nonsense"):
        desk.create(Drafted("thompson", {"nonsense": 1}), BY).result(10)


def test_what_learns_beside_is_exactly_what_the_log_says(home: Home) -> None:
    """Followed, parked, followed again: each time the fold over all updates since."""
    run(home, 20)
    desk = desk_of(home)
    made = desk.create(Drafted("thompson", {}), BY).result(10)
    desk.follow(made.id).result(10)
    learn(home)
    home.log.flush().result(5)
    seq = home.learner.seq
    beside = home.learner.others[made.id].policy.freeze()
    found = restored(made, home.versions, home.database.cursor, seq)
    assert found.policy.freeze() == beside and found.replayed >= 20
    desk.leave(made.id).result(10)
    learn(home, 10)
    desk.follow(made.id).result(10)  # caught up with what it missed
    missed = home.learner.others[made.id].policy.freeze()
    assert missed != beside
    home.log.flush().result(5)
    again = restored(made, home.versions, home.database.cursor, home.learner.seq)
    assert again.policy.freeze() == home.learner.others[made.id].policy.freeze()


def test_promoted_and_rolled_back_byte_for_byte_and_back_again(home: Home) -> None:
    run(home, 30)
    desk = desk_of(home)
    live = home.learner.version
    other = desk.create(Drafted("thompson", {}), BY).result(10)
    made = desk.promote(other.id, How.PROMOTED, BY).result(10)
    assert home.live.current.mark.version_id == other.id == made.version_id
    assert home.live.current.mark.checkpoint_id == made.checkpoint_id
    parked = home.versions.checkpoints_of(live.id)[-1]  # as it stood when it gave way
    desk.leave(live.id).result(10)
    learn(home, 25, 0.1)
    knew = home.learner.policy.freeze()
    back = desk.roll_back(BY).result(10)
    assert (back.version_id, back.from_version_id) == (live.id, other.id)
    assert back.how == How.ROLLED_BACK
    restored_from = next(c for c in home.versions.checkpoints if c.id == back.restored_id)
    begun = next(c for c in home.versions.checkpoints if c.id == back.checkpoint_id)
    assert restored_from.sha256 == begun.sha256 and restored_from.at_us >= parked.at_us
    assert hashlib.sha256(home.learner.policy.freeze()).hexdigest() == begun.sha256
    assert home.live.current.mark.version_id == live.id
    again = desk.roll_back(Signature("ann", "that was wrong")).result(10)
    assert again.version_id == other.id and home.learner.policy.freeze() == knew
    assert [p.how for p in home.versions.promotions] == [
        How.PLAN, How.PROMOTED, How.ROLLED_BACK, How.ROLLED_BACK,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_rollback_takes_the_last_checkpoint_from_before_the_harm(home: Home) -> None:
    run(home, 30)
    desk, live = desk_of(home), home.learner.version
    home.learner.ask(lambda: home.learner.save(home.learner.fold)).result(5)
    good = home.versions.checkpoints_of(live.id)[-1]
    learn(home, 20, 0.0)
    home.learner.ask(lambda: home.learner.save(home.learner.fold)).result(5)
    bad = home.versions.checkpoints_of(live.id)[-1]
    assert good.id != bad.id
    with pytest.raises(Conflict, match="say to which"):
        desk.roll_back(BY, live.id).result(10)
    back = desk.roll_back(BY, live.id, before_us=bad.at_us).result(10)
    assert back.restored_id == good.id
    assert hashlib.sha256(home.learner.policy.freeze()).hexdigest() == good.sha256
    named = desk.roll_back(BY, live.id, checkpoint=bad.id).result(10)
    assert named.restored_id == bad.id
    with pytest.raises(NotFound, match="no checkpoint"):
        desk.roll_back(BY, live.id, checkpoint="none").result(10)


def test_a_decision_on_either_side_of_a_rollback_is_replayed_from_its_own_checkpoint(
    home: Home,
) -> None:
    run(home, 30)
    desk, live = desk_of(home), home.learner.version
    first = home.versions.checkpoints_of(live.id)[0]
    before = home.round(None).decision
    home.settle()
    desk.roll_back(BY, live.id, checkpoint=first.id).result(10)
    after = home.round(None).decision
    home.settle()
    home.log.flush().result(5)
    for made in (before, after):
        mark = made.policy
        found = restored(
            live, home.versions, home.database.cursor, mark.update_seq, mark.checkpoint_id
        )
        view = found.policy.chooser(found.last_at_us / 1e6)
        _, weights, _ = view.choose(context_of(made), [0, 1], made.draw)
        assert tuple(weights.tolist()) == made.candidates.propensities


def test_there_is_a_first_version_and_ids_may_be_cut(home: Home) -> None:
    home.learner.start()
    desk, live = desk_of(home), home.learner.version
    with pytest.raises(Conflict, match="no version before"):
        desk.roll_back(BY).result(10)
    with pytest.raises(Conflict, match="live already"):
        desk.promote(live.id, How.PROMOTED, BY).result(10)
    assert desk.find(live.id[:-2]) == live == desk.find(live.id)
    for wrong in ("nothing", ""):
        with pytest.raises(NotFound):
            desk.find(wrong)
    desk.create(Drafted(None, {}), BY).result(10)
    with pytest.raises(NotFound, match="several"):
        desk.find("0")


def test_on_other_deployments_a_version_is_carried_over(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run(home, 20)
    desk, live = desk_of(home), home.learner.version
    dearer = (Arm("x", 1.0, 9.0), Arm("y", 2.0, 4.0))
    new = replace(WANTED, setup=PolicySetup(dearer, WANTED.setup.features, WANTED.setup.scale))
    home.learner.change(new, home.live).result(10)
    assert home.learner.version.id != live.id
    back = desk.roll_back(BY).result(10)
    carried = home.learner.version
    assert back.version_id == carried.id and carried.parent == live.id
    assert carried.author == "ann" and "carried over" in carried.reason
    assert home.learner.policy.setup.arms == dearer
    home.leave()


def test_what_people_promoted_stays_until_the_plans_own_policy_changes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run(home, 10)
    desk = desk_of(home)
    other = desk.create(Drafted("thompson", {}), BY).result(10)
    desk.promote(other.id, How.PROMOTED, BY).result(10)
    home.leave()
    again = Home(tmp_path)
    assert again.resumed.version == other and not again.resumed.is_new
    assert wanted_now(WANTED, again.versions).kind == "thompson"
    again.abandon()
    dearer = (Arm("x", 1.0, 9.0), Arm("y", 2.0, 4.0))
    setup = PolicySetup(dearer, WANTED.setup.features, WANTED.setup.scale)
    third = Home(tmp_path, replace(WANTED, setup=setup))  # the price changed: the policy stays
    assert (third.resumed.version.kind, third.resumed.version.author) == ("thompson", "ann")
    assert json.loads(third.resumed.version.parameters)["arms"][0]["price_output_usd_mtok"] == 9.0
    third.abandon()
    changed = Wanted("default", "linear", {"budget_usd": 0.5}, setup)
    fourth = Home(tmp_path, changed)  # the plan's policy changed: the plan rules
    assert (fourth.resumed.version.kind, fourth.resumed.version.author) == ("linear", PLAN)
    fourth.abandon()


def test_a_rollback_of_the_plans_version_outlives_a_restart(tmp_path: Path) -> None:
    first = Home(tmp_path)
    run(first, 10)
    live = first.learner.version
    wanted = replace(WANTED, parameters={"budget_usd": 0.5})
    first.learner.change(wanted, first.live).result(10)
    desk_of(first).roll_back(BY).result(10)
    first.leave()
    again = Home(tmp_path, wanted)
    assert again.resumed.version.id == live.id
    again.abandon()


def test_only_so_many_learn_beside(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.learner.start()
    monkeypatch.setattr("service.feedback.promoting.MOST", 1)
    desk = desk_of(home)
    one, two = (desk.create(Drafted(None, {}), BY).result(10) for _ in range(2))
    desk.follow(one.id).result(10)
    desk.follow(one.id).result(10)
    desk.follow(home.learner.version.id).result(10)
    with pytest.raises(Conflict, match="1 versions learn"):
        desk.follow(two.id).result(10)
    with pytest.raises(NotFound):
        desk.leave(one.id).result(10)
        desk.follow("nothing").result(10)
