"""What is learned of climbing from the log, where it is bypassed, and what a restart keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from service.domain.clock import new_id
from service.domain.escalation import GO_ON, STOP, Began, By, ClimbStart, RungVerdict, Trigger
from service.domain.records import ErrorKind, Feedback, Mode, Outcome, Usage
from service.orchestration.escalation.cascade import Cascade
from service.orchestration.escalation.climb import CascadeRules
from service.orchestration.escalation.standing import (
    BYPASSED,
    CHEAPER,
    CLIMBING,
    TRYING,
    Escalation,
    EscalationParts,
    EscalationRules,
)
from service.routing.climbing import Climbing, ClimbRules
from service.storage.cases import rows_of
from service.storage.database import Database
from service.storage.escalations import Rated, read_climb
from service.storage.event_log import EventLog
from tests.conftest import HandClock
from tests.service.routing.world import CATALOG

pytestmark = pytest.mark.slow
RUNGS = ("small", "wide")


class Ground:
    """A log with climbs in it."""

    def __init__(self) -> None:
        self.clock, self.database = HandClock(), Database(None)
        self.log = EventLog(self.database, flush_s=0.005)
        self.log.start()
        self.dice = np.random.default_rng(4)
        self.made = self.restarted()

    def restarted(self, least: int = 50) -> Escalation:
        climbing = Climbing(CATALOG, ClimbRules({"": RUNGS}), self.clock, b"secret")
        cascade = Cascade(CascadeRules(0.01, verify="wide"), None, climbing.answered)  # type: ignore[arg-type]
        made = Escalation(
            EscalationRules(Rated("rating", 0.5), 1e6, 0.01, least),
            EscalationParts(climbing, cascade, self.log, self.database.cursor, self.clock),
        )
        self.log.flush().result(5)
        made.resume()
        return made

    def climbs(self, began: Began, count: int, usd: float, good: float | None = None) -> None:
        """So many that began so and cost about so much; rated where ``good`` says how often."""
        self.clock.advance(1.0)
        for _ in range(count):
            decision_id, level = new_id(), 1 if began.climbs else 2
            self.log.append(
                ClimbStart(decision_id, self.clock.wall_us(), "other", began, 0.5, RUNGS, level)
            )
            cost = int(usd * 1e6 * self.dice.uniform(0.8, 1.2))
            usage = Usage(10, 10, 0, cost)
            name = RUNGS[level - 1]
            self.log.append(
                Outcome(decision_id, self.clock.wall_us(), name, Mode.RANDOMISED, 200, None, 1.0,
                        None, 0.0, 1, usage)
            )  # fmt: skip
            said = float(self.dice.random() < 0.5)
            if began.climbs:
                self.log.append(verdict(decision_id, self.clock.wall_us(), name, said))
            if good is not None:
                truth = good if said or not began.climbs else good / 4.0
                self.log.append(rating(decision_id, self.clock, self.dice.random() < truth))
        self.log.flush().result(5)

    def acts(self) -> list[str]:
        self.log.flush().result(5)
        return [row["act"] for row in rows_of(self.database.cursor(), "SELECT act FROM acts")]


def verdict(decision_id: str, at_us: int, name: str, said: float) -> RungVerdict:
    return RungVerdict(
        decision_id, at_us, 1, 1, name, Trigger.NONE, 0.6, None, said, None, None, 0.6, STOP,
        By.RULE, "", -0.1, 0.95, ("wide: deadline",), "cold", 0, 10, 5, 0.2,
    )  # fmt: skip


def rating(decision_id: str, clock: HandClock, good: bool) -> Feedback:
    return Feedback(
        new_id(), decision_id, clock.wall_us(), "rating", "user", "k", float(good), None,
        float(good), None, None, None, "", (),
    )  # fmt: skip


@pytest.fixture
def ground() -> Iterator[Ground]:
    made = Ground()
    yield made
    made.log.stop()
    made.database.close()


async def test_climbing_that_saves_goes_on_and_is_told_with_an_interval(ground: Ground) -> None:
    ground.climbs(Began.CASCADE, 30, 0.001)
    ground.climbs(Began.DIRECT, 200, 0.004)
    await ground.made.turn()
    assert ground.made.compared["other"].state == TRYING, "too few have climbed"
    ground.climbs(Began.BY_LOT, 170, 0.001)
    ground.climbs(Began.AGAIN, 50, 9.0)
    await ground.made.turn()
    found = ground.made.compared["other"]
    assert (found.state, found.climbing, found.direct) == (CHEAPER, 200, 200)
    assert found.difference is not None and found.difference.high < 0.0
    assert found.climbing_usd == pytest.approx(0.001005, rel=0.05), "checks are counted"
    assert ground.made.warnings() == [] and ground.acts() == []


async def test_climbing_that_costs_more_is_bypassed_until_it_saves_again(ground: Ground) -> None:
    ground.climbs(Began.CASCADE, 100, 0.006)
    ground.climbs(Began.DIRECT, 100, 0.004)
    await ground.made.turn()
    climbing = ground.made.parts.climbing
    assert climbing.bypassed == {"other"} and ground.acts() == [BYPASSED]
    assert "costs $0.00" in ground.made.warnings()[0]
    again = ground.restarted()
    assert again.parts.climbing.bypassed == {"other"}, "a restart keeps it"
    ground.climbs(Began.BYPASSED, 100, 0.004)
    ground.climbs(Began.TRIED, 60, 0.0039)
    await again.turn()
    assert again.parts.climbing.bypassed == {"other"}, "it must save a twentieth to come back"
    ground.climbs(Began.TRIED, 300, 0.001)
    ground.clock.advance(1.0)
    await again.turn()
    assert again.parts.climbing.bypassed == frozenset() and again.warnings() == []
    assert ground.acts() == [BYPASSED, CLIMBING]
    await again.turn()
    assert again.compared["other"].climbing == 0, "the evidence begins anew"
    assert ground.restarted().parts.climbing.bypassed == frozenset()


async def test_climbing_that_saves_less_than_its_answers_lose_is_bypassed(ground: Ground) -> None:
    ground.climbs(Began.CASCADE, 400, 0.001, 0.3)
    ground.climbs(Began.DIRECT, 400, 0.002, 1.0)
    await ground.made.turn()
    assert ground.made.parts.climbing.bypassed == {"other"}
    assert "worth less" in ground.made.warnings()[0]


async def test_the_rule_is_learned_from_what_was_served_and_rated(ground: Ground) -> None:
    ground.climbs(Began.CASCADE, 400, 0.001, 0.9)
    await ground.made.turn()
    rule, shown = ground.made.rule, ground.made.shown()
    assert (rule.state, rule.rated) == ("fitted", 400) and rule.brier < rule.share_brier
    assert shown["rule"]["slopes"]["verified"] > 0.5
    assert shown["compared"][0]["climbing"] == 400 and shown["rungs"] == {"*": list(RUNGS)}


async def test_a_failed_request_is_no_cost_to_compare(ground: Ground) -> None:
    ground.climbs(Began.CASCADE, 60, 0.001)
    decision_id, now_us = new_id(), ground.clock.wall_us()
    ground.log.append(ClimbStart(decision_id, now_us, "other", Began.CASCADE, 0.9, RUNGS, 1))
    ground.log.append(
        Outcome(decision_id, now_us, None, Mode.FALLBACK, 502, ErrorKind.SERVER, 1.0, None, 0.0, 2,
                Usage(0, 0, 0, 0))
    )  # fmt: skip
    ground.log.flush().result(5)
    await ground.made.turn()
    assert ground.made.compared["other"].climbing == 60


def test_a_climb_is_read_back_as_it_was(ground: Ground) -> None:
    decision_id, now_us = new_id(), ground.clock.wall_us()
    start = ClimbStart(decision_id, now_us, "other", Began.CASCADE, 0.9, RUNGS, 1)
    told: dict[str, Any] = {name: getattr(verdict(decision_id, now_us, "small", 1.0), name)
                            for name in RungVerdict.__slots__}  # fmt: skip
    going = RungVerdict(**(told | {"act": GO_ON, "onward": "wide", "trigger": Trigger.EMPTY}))
    last = RungVerdict(**(told | {"number": 2, "rung": 2, "chance": None}))
    for each in (start, going, last):
        ground.log.append(each)
    ground.log.flush().result(5)
    assert read_climb(ground.database.cursor(), decision_id) == (start, [going, last])
    assert read_climb(ground.database.cursor(), new_id()) == (None, [])
