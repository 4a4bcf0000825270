"""True propensities are left in peace; wrong ones raise one alarm, whatever is restarted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from experiments.statistics.sample_ratio import ALPHA, TILTS, PropensityCalibration
from learning.interaction import Choice, Interaction
from learning.reward import Reward
from service.domain.errors import Conflict
from service.domain.experiments import AuditMark
from service.domain.live import Published
from service.domain.records import Candidates, Decision, Mode
from service.feedback.apply import context_of
from service.monitoring import audit
from service.monitoring.audit import ALARM, BATCH, PropensityAudit, Standing, shown
from service.storage.audits import Drawn, drawn_between, last_mark
from service.storage.cases import rows_of
from service.storage.database import Database
from service.storage.event_log import EventLog
from tests.conftest import HandClock
from tests.service.routing.world import KEY, World, ask

GOOD = {"small": 0.5, "wide": 0.6, "seeing": 0.7, "coder": 0.8, "slow-lane": 0.4}


def routed(count: int, sticky: bool = False) -> Iterator[Decision]:
    """Decisions of the real router, whose policy is taught by some of them as it goes."""
    world, chance = World(sticky=sticky, floor=0.05), np.random.default_rng(1)
    asked = [ask(f"{'write python code' if n % 3 else 'describe a kite'} {n}") for n in range(60)]
    for number in range(count):
        decision = world.router.decide(asked[number % 60], KEY)
        yield decision
        if number % 40 == 0:
            name, at_s = decision.deployment, number / 10.0
            reward = Reward(quality=float(chance.random() < GOOD[name]))
            choice = Choice(name, decision.propensity)
            world.policy.learn(Interaction(context_of(decision), choice, reward, at_s))
            world.live.current = Published(world.policy.chooser(at_s), world.live.current.mark)


class Audited:
    """A log and its audits."""

    def __init__(self, decisions: Sequence[Decision] = ()) -> None:
        self.clock, self.database = HandClock(), Database(None)
        self.log = EventLog(self.database)
        self.log.start()
        self.write(decisions)
        self.read = partial(drawn_between, self.database.cursor())

    def write(self, decisions: Sequence[Decision]) -> None:
        for each in decisions:
            self.log.append(each)
        self.log.flush().result(30)

    def resumed(self) -> PropensityAudit:
        mark = last_mark(self.database.cursor())
        return PropensityAudit(self.read, self.log, self.clock, mark)

    def rows(self, sql: str) -> list[object]:
        self.log.flush().result(30)
        return [tuple(row.values()) for row in rows_of(self.database.cursor(), sql)]

    def close(self) -> None:
        self.log.stop()
        self.database.close()


@pytest.fixture(scope="module")
def decisions() -> list[Decision]:
    return list(routed(20_000))


@pytest.fixture
def empty() -> Iterator[Audited]:
    made = Audited()
    yield made
    made.close()


def off_by(row: Drawn, name: str, factor: float = 1.1) -> Drawn:
    """A row whose log says one deployment was more likely than it was."""
    shares = np.array(row.propensities)
    shares[[each == name for each in row.names]] *= factor
    return replace(row, propensities=tuple((shares / shares.sum()).tolist()))


@pytest.mark.slow
def test_true_propensities_are_silent(decisions: list[Decision], empty: Audited) -> None:
    """10,000 seeded decisions: a false alarm has a chance of at most 0.1 %."""
    empty.write(decisions[:10_000])
    honest = empty.resumed()
    for turn in range(2):
        assert not honest.evaluate() and not honest.warnings()
        assert honest.current.decisions == BATCH * (turn + 1)
    assert honest.current.evidence.log_e < -math.log(0.05)
    assert not honest.evaluate() and honest.current.decisions == 10_000
    worst = honest.current.worst
    assert worst is not None and abs(worst.ratio - 1.0) < 0.05
    assert len(set(decisions[-1].candidates.propensities)) > 1, "the policy has learned"


@pytest.mark.slow
def test_one_logged_a_tenth_too_likely_is_found_within_20_000(
    decisions: list[Decision], empty: Audited
) -> None:
    rows = [
        off_by(Drawn(at, d.candidates.names, d.candidates.propensities, d.deployment), "seeing")
        for at, d in enumerate(decisions, 1)
    ]

    def wrong(after: int, _: int, limit: int) -> list[Drawn]:
        return rows[after : after + limit]

    corrupt = PropensityAudit(wrong, empty.log, empty.clock, None)
    assert [corrupt.evaluate() for _ in range(4)].count(True) == 1
    worst = corrupt.current.worst
    assert worst is not None and worst.deployment == "seeing" and 0.85 < worst.ratio < 0.98
    assert "of 20000 decisions" in corrupt.warnings()[0] and "seeing" in corrupt.warnings()[0]
    found = empty.rows("SELECT act, actor FROM acts")
    assert found == [(ALARM, "headgate")]


def test_a_decision_that_leaves_nothing_to_chance_says_nothing() -> None:
    """A whole probability forecasts what comes: such rows leave the evidence where it was."""
    sure = [Drawn(n, ("a", "b"), (1.0, 0.0), "a") for n in range(1, 500)]
    standing = Standing(0, 0).with_rows([Drawn(0, ("a", "b"), (0.9, 0.1), "b")], 0)
    told = standing.with_rows(sure, 500)
    assert told.sums.log_tempered == pytest.approx(standing.sums.log_tempered)
    tilts = [np.array(each.sums.log_tilted) for each in (told, standing)]
    assert tilts[0] == pytest.approx(tilts[1])
    assert told.sums.log_excess == pytest.approx(standing.sums.log_excess)
    assert told.sums.peak == standing.sums.peak and told.decisions == 500


@pytest.mark.slow
def test_a_restart_goes_on_with_the_same_evidence(
    empty: Audited, decisions: list[Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 700)
    empty.write([*decisions[:1_000], replace(decisions[0], mode=Mode.STICKY)])
    first = empty.resumed()
    assert not first.evaluate() and first.current.decisions == 700
    assert empty.rows("SELECT * FROM audit_marks") == [], "at most once a minute"
    empty.clock.advance(61.0)
    assert not first.evaluate() and first.current.decisions == 1_000
    empty.write(decisions[1_000:1_500])
    first.evaluate()
    assert first.current.decisions == 1_500
    empty.clock.advance(61.0)
    assert first.evaluate() is False and len(empty.rows("SELECT * FROM audit_marks")) == 2
    first.evaluate()
    empty.clock.advance(61.0)
    first.evaluate()
    assert len(empty.rows("SELECT * FROM audit_marks")) == 2, "nothing has moved"
    empty.write(decisions[1_500:2_000])  # then a kill: no mark tells of these
    second = empty.resumed()
    marked = first.current.through_seq - 1  # the second mark's own row came after
    assert second.current == replace(first.current, through_seq=marked)
    second.evaluate()
    whole = Standing(0, 0).with_rows(empty.read(0, 2**62, 2**31), 0)
    for found in (second.current, whole):
        assert found.decisions == 2_000 and found.arms == whole.arms
        assert found.sums.drawn == whole.sums.drawn
        assert found.sums.peak == pytest.approx(whole.sums.peak, rel=1e-9)
        assert found.sums.log_excess == pytest.approx(whole.sums.log_excess, rel=1e-9)


@pytest.mark.slow
def test_a_mark_from_before_the_tilts_goes_on(decisions: list[Decision]) -> None:
    """Its sums and its greatest evidence are kept, its tilts begin at 0."""
    rows = [
        Drawn(at, d.candidates.names, d.candidates.propensities, d.deployment)
        for at, d in enumerate(decisions[:600], 1)
    ]
    was = Standing(0, 7).with_rows(rows[:400], 400)
    state = json.loads(was.text())
    assert np.array(state["log_tilted"]).shape == (len(was.sums.drawn), len(TILTS))
    mark = AuditMark(0, 400, 400, was.evidence.log_e, was.text())
    assert Standing.from_mark(mark) == was
    del state["log_tilted"]
    old = Standing.from_mark(replace(mark, state=json.dumps(state)))
    assert old == replace(was, sums=replace(was.sums, log_tilted=()))
    assert old.sums.peak == was.sums.peak and not np.any(old.sums.log_tilted)
    now, whole = (each.with_rows(rows[400:], 600).sums for each in (old, was))
    assert now.log_excess == whole.log_excess and now.drawn == whole.drawn
    began = np.array(whole.log_tilted) - np.array(was.sums.log_tilted)
    assert np.array(now.log_tilted) == pytest.approx(began)


def test_a_deployment_that_comes_later_is_a_new_column() -> None:
    """The same rows, the newcomer's column there from the start or added when it comes."""
    rng, names = np.random.default_rng(2), ("a", "b", "c", "d")
    rows = []
    for n in range(2_000):
        here = names[: 2 if n < 800 else 3 if n < 1_500 else 4]
        shares = 0.02 + (1 - 0.02 * len(here)) * rng.dirichlet(np.ones(len(here)))
        drawn = here[min(int((rng.random() > shares.cumsum()).sum()), len(here) - 1)]
        rows.append(Drawn(n, here, tuple(shares.tolist()), drawn))
    grown = Standing(0, 0)
    for at in range(0, len(rows), 300):
        some = rows[at : at + 300]
        grown = grown.with_rows(some, some[-1].log_seq)
    logged = np.array([[*row.propensities, *(0.0,) * (4 - len(row.names))] for row in rows])
    there = PropensityCalibration.of(4).add(logged, [names.index(row.deployment) for row in rows])
    assert grown.arms == names and grown.sums.drawn == there.drawn
    assert grown.sums.peak == pytest.approx(there.peak)
    assert grown.sums.log_excess == pytest.approx(there.log_excess)
    assert grown.sums.log_tempered == pytest.approx(there.log_tempered)
    assert np.array(grown.sums.log_tilted) == pytest.approx(np.array(there.log_tilted))
    assert not grown.evidence.rejects(ALPHA)


def test_what_is_impossible_by_its_own_account_refutes_the_log(empty: Audited) -> None:
    row = Drawn(1, ("a", "b"), (0.5, 0.5), "a")
    for spoiled, word in (
        (replace(row, propensities=(1.0, 0.0), deployment="b"), "whose logged probability is 0"),
        (replace(row, propensities=(0.5, 0.6)), "1 decisions hold no distribution"),
        (replace(row, propensities=(0.5, math.nan)), "no distribution"),
        (replace(row, deployment="c"), "no distribution"),
        (replace(row, names=("a", "a")), "no distribution"),
        (replace(row, propensities=(1.0,)), "no distribution"),
    ):
        told = Standing(0, 0).with_rows([row, spoiled], 2)
        assert told.evidence.log_e == math.inf and told.decisions == 2
        assert shown(told)["evidence"] is None and json.dumps(shown(told), allow_nan=False)
        watched = PropensityAudit(lambda *_: [row, spoiled], empty.log, empty.clock, None)  # noqa: B023
        assert watched.evaluate() and word in watched.warnings()[0], word
        assert empty.resumed().current == watched.current, "it lies in the mark, infinity and all"


@pytest.mark.slow
def test_an_alarm_stays_until_it_is_acknowledged_once(
    empty: Audited, decisions: list[Decision]
) -> None:
    wrong = replace(decisions[0], candidates=Candidates(("wide", "small"), (0.9, 0.2)))
    empty.write([wrong])
    watched = empty.resumed()
    assert watched.evaluate()
    empty.write(decisions[:200])
    again = empty.resumed()
    assert again.current.alarmed_us is not None and not again.evaluate() and again.warnings()
    empty.write([wrong])  # not looked at yet, and of the time before
    new = again.acknowledge("ann", "the disk was mended", "key-1")
    assert new.alarmed_us is None and new.decisions == 0 and not again.warnings()
    with pytest.raises(Conflict, match="no alarm"):
        again.acknowledge("ann", "the disk was mended", "key-1")
    acts = empty.rows("SELECT act, actor, subject, reason FROM acts ORDER BY log_seq")
    assert [act[:2] for act in acts] == [  # type: ignore[index]
        (ALARM, "headgate"), ("propensities.acknowledged", "ann"),
    ]  # fmt: skip
    empty.write(decisions[200:300])
    third = empty.resumed()
    assert third.current == new and not third.evaluate() and third.current.decisions == 100


def test_the_log_that_cannot_be_written_delays_the_alarm_and_loses_nothing(
    empty: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = PropensityAudit(
        lambda *_: [Drawn(1, ("a", "b"), (1.0, 0.0), "b")], empty.log, empty.clock, None
    )

    def refused(*_: object) -> object:
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(empty.log, "append_durable", refused)
        with pytest.raises(OSError, match="no room"):
            watched.evaluate()
    assert watched.current.alarmed_us is None and watched.current.decisions == 0
    assert watched.evaluate() and watched.current.decisions == 1
