"""The learner: exact after a restart, replayable bit for bit, unmoved by what it cannot learn."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning.interaction import Arm
from learning.policies.base import PolicySetup
from learning.reward import RewardScale
from service.domain.clock import SystemClock, new_id
from service.domain.live import LivePolicy, Published
from service.domain.records import Attempt, Decision, Outcome, PolicyMark, Usage, Version
from service.feedback.apply import context_of
from service.feedback.credit import CreditRules
from service.feedback.learner import Learner
from service.feedback.learner_parts import LearnerParts
from service.feedback.versions import Resumed, Wanted, promoted, restored, resume
from service.storage.cases import Case
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.updates import unlearned
from service.storage.versions import VersionStore
from tests.service.storage.test_tables import attempt, decision, feedback, outcome

ARMS = (Arm("x", 1.0, 2.0), Arm("y", 2.0, 4.0))
WANTED = Wanted(
    "default", "linear", {"budget_usd": 0.001},
    PolicySetup(ARMS, ("slope", "word_0", "word_1", "deep", "constant"), RewardScale(0.1, 60.0)),
)  # fmt: skip


class Home:
    """A learner at home in a state directory; ``leave`` ends it as a stop does."""

    def __init__(self, state: Path, wanted: Wanted = WANTED) -> None:
        self.database = Database(state / FILE)
        self.log = EventLog(self.database)
        self.log.start()
        self.versions = VersionStore(self.database, state)
        clock = SystemClock()
        self.resumed: Resumed = resume(wanted, self.versions, self.database.cursor, clock.wall_us())
        if self.resumed.is_new:
            self.resumed = promoted(self.resumed, self.versions, self.log)
        mark = PolicyMark("default", self.resumed.version.id, "", 0)
        self.live = LivePolicy(Published(self.resumed.policy.chooser(0.0), mark))
        parts = LearnerParts(self.log, self.versions, self.live, clock, CreditRules("rating"))
        self.learner = Learner(self.resumed, parts)
        self.rng, self.chance = np.random.default_rng(1), random.Random(1)

    def round(self, quality: float | None = 0.7) -> Case:
        """A decision made by what is published, its outcome, perhaps its rating."""
        published = self.live.current
        features = self.rng.standard_normal(5).astype(np.float32)
        features[-1] = 1.0
        made = decision(features=features, policy=published.mark, draw=self.chance.random(),
                        at_us=int(time.time() * 1e6))  # fmt: skip
        choice, weights, _ = published.chooser.choose(context_of(made), [0, 1], made.draw)
        names = replace(made.candidates, names=("x", "y"), propensities=tuple(weights.tolist()))
        made = replace(made, deployment=choice.arm, propensity=choice.propensity, candidates=names)
        call: Attempt = attempt(made, deployment=choice.arm, status=200, error_kind=None)
        end: Outcome = replace(outcome(made), deployment=choice.arm, usage=Usage(10, 20, 0, 40))
        case = Case(made, [call], end)
        for record in (made, call, end):
            self.log.append(record)
        self.learner.ended(case)
        if quality is not None:
            self.rate(case, quality)
        return case

    def rate(self, case: Case, quality: float) -> None:
        rating = feedback(case.decision, quality=quality, id=new_id(), author=f"a{case.learned}")
        case.feedback = {("rating", "user", "a"): replace(rating, author="a")}
        self.log.append_durable(case.feedback["rating", "user", "a"]).result(5)
        self.learner.rated(case, case.feedback["rating", "user", "a"])

    def settle(self) -> None:
        """Wait until all is learned and published."""
        deadline = time.monotonic() + 10
        while self.learner.waiting or self.live.current.mark.update_seq != self.learner.seq:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def leave(self) -> None:
        self.learner.stop()
        self.abandon()

    def abandon(self) -> None:
        self.log.stop()
        self.database.close()


def run(home: Home, rounds: int) -> list[Decision]:
    home.learner.start()
    made = []
    for index in range(rounds):
        case = home.round(quality=(index % 5) / 4 if index % 3 else None)
        made.append(case.decision)
        if index % 7 == 0:
            time.sleep(0.03)  # let some views be published in between
    home.settle()
    return made


def test_a_restart_resumes_exactly_from_a_checkpoint_and_the_updates_after_it(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    run(home, 40)
    home.learner._save()
    for _ in range(25):
        home.round(0.9)
    home.settle()
    home.log.flush().result(5)
    before, seq = home.learner.policy.freeze(), home.learner.seq
    checkpoints = len(home.versions.checkpoints)
    found = restored(home.resumed.version, home.versions, home.database.cursor)
    assert checkpoints >= 1 and found.checkpoint_id and found.replayed >= 25
    assert (found.update_seq, found.policy.freeze()) == (seq, before)
    home.leave()
    again = Home(tmp_path)
    assert not again.resumed.is_new
    assert again.resumed.policy.freeze() == before and again.resumed.update_seq >= seq
    again.abandon()


def test_without_any_checkpoint_the_updates_alone_give_the_state(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run(home, 30)
    home.log.flush().result(5)
    before = home.learner.policy.freeze()
    home.leave()
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    again = Home(tmp_path)
    assert again.resumed.checkpoint_id == "" and again.resumed.policy.freeze() == before
    again.abandon()


def test_a_decision_is_replayed_bit_for_bit(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = run(home, 60)
    home.log.flush().result(5)
    for each in made[::9]:
        mark = each.policy
        found = restored(home.resumed.version, home.versions, home.database.cursor, mark.update_seq)
        assert found.update_seq == mark.update_seq
        chooser = found.policy.chooser(found.last_at_us / 1e6)
        choice, weights, _ = chooser.choose(context_of(each), [0, 1], each.draw)
        assert tuple(weights.tolist()) == each.candidates.propensities
        assert choice.arm == each.deployment
    assert len({each.policy.update_seq for each in made}) > 3
    home.leave()


def test_a_revised_rating_ends_where_the_last_one_alone_would(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    case = home.round(0.1)
    home.settle()
    home.rate(case, 0.9)
    home.settle()
    home.log.flush().result(5)
    kinds = (
        home.database.cursor()
        .execute(
            "SELECT kind, quality, revises_quality FROM updates WHERE kind LIKE 'r%' ORDER BY seq"
        )
        .fetchall()
    )
    assert kinds == [("rating", 0.1, None), ("revision", 0.9, 0.1)]
    arm = home.learner.policy.index(case.decision.deployment)
    moment = home.learner.policy.state().arrays["moment"][arm]
    gram = home.learner.policy.state().arrays["gram"][arm]
    assert moment == pytest.approx(0.9 * gram[:, -1])
    home.leave()


def test_a_changed_plan_is_a_new_version_that_knows_what_the_old_one_knew(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run(home, 30)
    home.leave()
    arms = (*ARMS, Arm("z", 0.5, 0.5))
    setup = replace(WANTED.setup, arms=arms)
    later = Home(tmp_path, replace(WANTED, setup=setup, parameters={}))
    version: Version = later.resumed.version
    assert later.resumed.is_new and version.parent == home.resumed.version.id
    assert version.reason == "the plan changed"
    old = home.learner.policy.state().arrays["gram"]
    assert (later.resumed.policy.state().arrays["gram"][:2] == old).all()
    later.learner.start()
    later.round(0.4)
    later.settle()
    later.leave()
    again = Home(tmp_path, replace(WANTED, setup=setup, parameters={}))
    assert not again.resumed.is_new
    again.abandon()


def test_what_was_carried_over_survives_a_kill_right_after_the_change(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run(home, 30)
    home.leave()
    changed = replace(WANTED, parameters={"temper": 0.6})
    killed = Home(tmp_path, changed)  # promoted, and then nothing more is written
    carried, seq = killed.resumed.policy.freeze(), killed.resumed.update_seq
    killed.abandon()
    again = Home(tmp_path, changed)
    assert not again.resumed.is_new and again.resumed.update_seq == seq > 0
    assert again.resumed.policy.freeze() == carried
    again.abandon()


def test_what_it_cannot_learn_from_is_passed_over_and_counted(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    strange = decision(features=np.ones(3, np.float32))
    end = replace(outcome(strange), deployment="x")
    home.learner.ended(Case(strange, [attempt(strange, deployment="x", error_kind=None)], end))
    nobody = decision()
    home.learner.ended(Case(nobody, [attempt(nobody, deployment="gone")], outcome(nobody)))
    home.round(0.5)
    home.settle()
    assert home.learner.passed_over == 2 and home.learner.seq >= 2 and home.learner.alive
    home.leave()


def test_what_was_logged_but_not_told_is_found(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = decision(at_us=int(time.time() * 1e6))
    rating = feedback(made, at_us=made.at_us)
    home.log.append_durable(made, replace(outcome(made), at_us=made.at_us), rating).result(5)
    assert unlearned(home.database.cursor(), made.at_us - 1) == ([made.id], [made.id])
    assert unlearned(home.database.cursor(), made.at_us + 1) == ([], [])
    home.abandon()
