"""Escalation as a whole: the rule learned from ratings, and where climbing does not pay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.errors import CannotSay
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval, Moments
from learning.stopping import StopRule, fitted
from service.domain.acting import Told, act_of
from service.domain.clock import Clock
from service.orchestration.escalation.cascade import Cascade
from service.routing.climbing import Climbing
from service.storage.cases import us
from service.storage.database import Cursor
from service.storage.escalations import Arm, Rated, arms, assessed, last_acts, tasks_of
from service.storage.event_log import EventLog

log = logging.getLogger("headgate.routing")

BYPASSED, CLIMBING = "escalation.bypassed", "escalation.climbing"
WINDOW_US = 30 * 86_400_000_000
BACK = 0.95  # of what the last rung costs: to climb again it must cost less than this
TRYING, CHEAPER, BYPASS = "trying", "cheaper", "bypassed"


@dataclass(frozen=True, slots=True)
class EscalationRules:
    """What is learned from. ``least``: requests of each arm before climbing is judged;
    ``worth_usd``: of an acceptable answer.
    """

    rated: Rated
    half_life_s: float
    worth_usd: float
    least: int


@dataclass(frozen=True, slots=True)
class Compared:
    """A task's requests that climbed beside those that went straight to the last rung, both drawn
    by lot, since this state began. ``difference``: of a request's cost, climbing less direct,
    dollars, as a sequence that holds at any look; ``value``: of what an answer is worth less
    what it cost, where enough were rated. None: it cannot be said yet.
    """

    task: str
    state: str
    reason: str
    climbing: int
    direct: int
    climbing_usd: float
    direct_usd: float
    went_on: float
    difference: Interval | None
    value: Interval | None
    climbing_p50_s: float
    direct_p50_s: float


@dataclass(frozen=True, slots=True)
class EscalationParts:
    """What it stands on."""

    climbing: Climbing
    cascade: Cascade
    log: EventLog
    cursor: Callable[[], Cursor]
    clock: Clock


class Escalation:
    """``turn`` is called by the clock, never by a request."""

    def __init__(self, rules: EscalationRules, parts: EscalationParts) -> None:
        self.rules, self.parts = rules, parts
        self.compared: dict[str, Compared] = {}
        self._since: dict[str, int] = {}  # by task: when its state began
        self._reasons: dict[str, str] = {}  # of the tasks in which climbing is passed over

    @property
    def rule(self) -> StopRule:
        """The rule in force."""
        return self.parts.cascade.rule

    def resume(self) -> None:
        """Stand where the last run stood; blocks."""
        for task, act in last_acts(self.parts.cursor(), (BYPASSED, CLIMBING)).items():
            self._since[task] = us(act["ts"])
            if act["act"] == BYPASSED:
                self._reasons[task] = act["reason"]
        self._publish()
        self.parts.cascade.rule = self._fitted()

    async def turn(self) -> None:
        """Learn the rule anew, and see where climbing pays."""
        rule, compared = await asyncio.to_thread(self._looked)
        self.parts.cascade.rule = rule
        for each in compared:
            self.compared[each.task] = self._settled(each)
        self._publish()

    def _looked(self) -> tuple[StopRule, list[Compared]]:
        cursor, rules = self.parts.cursor(), self.rules
        since_us = self.parts.clock.wall_us() - WINDOW_US
        found = []
        for task in tasks_of(cursor, since_us):
            begun_us = max(since_us, self._since.get(task, 0))
            climbing, direct = arms(cursor, task, rules.rated, begun_us)
            state = BYPASS if task in self._reasons else TRYING
            found.append(compared(task, state, climbing, direct, rules))
        return self._fitted(), found

    def _fitted(self) -> StopRule:
        rules = self.rules
        names = sorted({name for each in self.parts.climbing.rules.rungs.values() for name in each})
        since_us = self.parts.clock.wall_us() - WINDOW_US
        found = assessed(self.parts.cursor(), names, rules.rated, since_us, rules.half_life_s)
        return fitted(found)

    def _settled(self, found: Compared) -> Compared:
        """With its state, which changes where the figures say so; then the evidence begins anew."""
        was = found.task in self._reasons
        if was and found.state != BYPASS:
            del self._reasons[found.task]
            self._begin(found, CLIMBING)
        elif not was and found.state == BYPASS:
            self._reasons[found.task] = found.reason
            self._begin(found, BYPASSED)
        elif was:
            return replace(found, reason=self._reasons[found.task])
        return found

    def _begin(self, found: Compared, act: str) -> None:
        now_us = self.parts.clock.wall_us()
        self._since[found.task] = now_us
        log.warning("%s: %s: %s", act, found.task, found.reason)
        self.parts.log.append(act_of(None, now_us, Told(act, found.task, found.reason)))

    def _publish(self) -> None:
        self.parts.climbing.bypassed = frozenset(self._reasons)

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        told = [
            f"escalation is bypassed for {task}: {reason}"
            for task, reason in sorted(self._reasons.items())
        ]
        rules = self.parts.cascade.rules
        if not (rules.verify or rules.judge or rules.logprobs):
            told.append(
                "escalation: nobody is asked about answers (verify, judge, logprobs), so it goes "
                "by faults of form and by what was foreseen, which loses to plain routing"
            )
        if self.rule.state == "aside":
            told.append(
                "escalation: the signals of answers foretell ratings no better than each "
                "deployment's share; the rule goes by the shares"
            )
        return told

    def shown(self) -> dict[str, Any]:
        """All of it, for people."""
        rule, rules = self.rule, self.parts.climbing.rules
        names = ("foreseen", "logprob", "verified", "judged", "below")
        return {
            "on": True,
            "tasks": sorted(rules.tasks),
            "rungs": {task or "*": list(names) for task, names in sorted(rules.rungs.items())},
            "explore": rules.explore,
            "worth_usd": self.rules.worth_usd,
            "acceptable": self.rules.rated.bar,
            "rule": {
                "state": rule.state, "rated": rule.rated, "level": dict(rule.level),
                "slopes": dict(zip(names, rule.slopes, strict=True)),
                "brier": _said(rule.brier), "share_brier": _said(rule.share_brier),
            },
            "bypassed": dict(sorted(self._reasons.items())),
            "compared": [_plain(self.compared[task]) for task in sorted(self.compared)],
        }  # fmt: skip


def compared(
    task: str, was: str, climbing: Arm, direct: Arm, rules: EscalationRules
) -> Compared:  # fmt: skip
    """What both arms of a task say. Climbing must cost less than going straight to the last rung,
    by the estimate; and its value must not surely be lower.
    """
    sequence = AsymptoticSequence(alpha=0.05, best_at=2_000.0, burn_in=rules.least)
    one, two = _mean(climbing.cost_usd), _mean(direct.cost_usd)
    difference = _between(sequence, climbing.cost_usd, direct.cost_usd)
    value = _between(
        sequence,
        rules.worth_usd * climbing.good - climbing.good_cost_usd,
        rules.worth_usd * direct.good - direct.good_cost_usd,
    )
    counts = len(climbing.cost_usd), len(direct.cost_usd)
    state, reason = was, ""
    if min(counts) >= rules.least:
        most = two * BACK if was == BYPASS else two
        dearer = one >= most
        loses = value is not None and value.high < 0.0
        state = BYPASS if dearer or loses else CHEAPER
        if dearer or was == BYPASS:
            reason = (
                f"climbing costs ${one:.6f} a request and going straight to the last rung "
                f"${two:.6f} ({counts[0]} and {counts[1]} requests)"
            )
        if loses and not dearer and value is not None:
            reason = (
                f"climbing is worth less by ${-value.estimate:.6f} a request (at least "
                f"${-value.high:.6f}): it saves less than its answers lose"
            )
    went_on = climbing.went_on / counts[0] if counts[0] else 0.0
    return Compared(
        task, state, reason, *counts, one, two, went_on, difference, value,
        _median(climbing.latency_s), _median(direct.latency_s),
    )  # fmt: skip


def _between(
    sequence: AsymptoticSequence, one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]
) -> Interval | None:
    if min(len(one), len(two)) < 2:
        return None
    found = sequence.of_difference(Moments.of(one), Moments.of(two))
    return None if isinstance(found, CannotSay) else found


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _median(values: np.ndarray[Any, Any]) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _said(value: float) -> float | None:
    return None if value != value else value


def _plain(found: Compared) -> dict[str, Any]:
    def of(interval: Interval | None) -> Sequence[float] | None:
        return None if interval is None else [interval.estimate, interval.low, interval.high]

    return {
        "task": found.task, "state": found.state, "reason": found.reason or None,
        "climbing": found.climbing, "direct": found.direct, "climbing_usd": found.climbing_usd,
        "direct_usd": found.direct_usd, "went_on": found.went_on,
        "difference_usd": of(found.difference), "value_usd": of(found.value),
        "climbing_p50_s": found.climbing_p50_s, "direct_p50_s": found.direct_p50_s,
    }  # fmt: skip
