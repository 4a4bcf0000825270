"""The checks that are skipped: of answers likely enough to do, while audits say that this holds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from experiments.statistics.held_rate import HeldRate, held_rate
from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock
from service.domain.judging import Drawn
from service.domain.lots import lot
from service.domain.prediction import CheckDrawn
from service.domain.records import Act, Decision
from service.storage.predictions import NO_CHECKS, Checks

ACT = "prediction.skipping"
ALPHA = 0.05  # over all episodes together
PROVEN = 0.9  # of what is allowed: the bound at which skipping begins, so that it does not flap
PROVE_ANEW = 2_000  # verdicts after which what has not been proven is begun anew


class SkipState(StrEnum):
    """``proving``: every answer is checked until the bound holds. ``skipping``: it holds.
    ``resumed``: by hand, before it held. ``stopped``: by hand.
    """

    PROVING = "proving"
    SKIPPING = "skipping"
    RESUMED = "resumed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SkipRules:
    """From the chance ``above`` on a check is skipped, but for a share ``audit`` by lot, while at
    most ``most_bad`` of such answers are surely not acceptable.
    """

    above: float = 0.9
    audit: float = 0.05
    most_bad: float = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """The evidence of an episode at some time."""

    episode: int
    seen: Checks
    rate: HeldRate


class Skipping:
    """The rule, its evidence, and when it is on. ``gate`` is asked on the path after an answer."""

    def __init__(
        self,
        rules: SkipRules,
        checks: Callable[[int], Checks],
        append: Callable[[Any], object],
        clock: Clock,
    ) -> None:
        self.rules, self._checks, self._append, self._clock = rules, checks, append, clock
        self.state, self.episode, self.reason = SkipState.PROVING, 1, "not proven yet"
        self.since_us = clock.wall_us()
        self.share: Callable[[], float] = lambda: 1.0  # of all answers, whom a check is for
        self.seen = NO_CHECKS
        self.rate: HeldRate = held_rate([], rules.most_bad)

    @property
    def skips(self) -> bool:
        """Whether checks are skipped now."""
        return self.state in (SkipState.SKIPPING, SkipState.RESUMED)

    def gate(self, decision: Decision, served: str) -> Drawn | None:
        """Whether the answer of ``served`` is to be checked, and with what probability that was
        drawn; None where the rule has nothing to say, so that it is as without it. It is kept of
        those that would be checked without the rule, with the probability that it leaves them.
        """
        predicted = decision.predicted
        if predicted is None or predicted.state != "fitted" or self.state is SkipState.STOPPED:
            return None
        chance = predicted.chance(served)
        if chance is None or chance < self.rules.above:
            return None
        share, number = self.share(), lot(decision.id)
        if number >= share:  # nobody would have checked it
            return Drawn(False, share)
        probability = self.rules.audit if self.skips else 1.0
        check = number < share * probability
        self._append(
            CheckDrawn(
                decision.id, self._clock.wall_us(), served, chance, check, probability,
                self.episode,
            )
        )  # fmt: skip
        return Drawn(check, share * probability)

    def resume(self, last: Mapping[str, Any] | None) -> None:
        """Stand where the last run stood, by its last act."""
        if last is None:
            return
        detail = json.loads(last["detail"])
        self.state, self.episode = SkipState(last["subject"]), int(detail["episode"])
        self.reason = last["reason"]

    def measured(self) -> Measured:
        """The evidence of now; blocks."""
        episode = self.episode
        seen = self._checks(episode)
        # over episodes the chances of a false proof add up to ALPHA: the sum of 1 / k^2
        alpha = ALPHA * 6.0 / (math.pi * episode) ** 2
        return Measured(episode, seen, held_rate(seen.bad, self.rules.most_bad, alpha))

    def weigh(self, measured: Measured) -> bool:
        """Take evidence, if it is still of this episode; whether it switched the rule on or off."""
        if measured.episode != self.episode:
            return False
        self.seen, self.rate = measured.seen, measured.rate
        found = measured.rate
        proven = found.held and found.interval.high <= PROVEN * self.rules.most_bad
        if self.state is SkipState.PROVING:
            if proven:
                self._turn(SkipState.SKIPPING, _words(found, "the bound holds"))
                return True
            if found.count >= PROVE_ANEW:
                self._turn(SkipState.PROVING, _words(found, "not proven; begun anew"), anew=True)
        elif self.state is SkipState.SKIPPING and not found.held:
            self._turn(SkipState.PROVING, _words(found, found.broken), anew=True)
            return True
        elif self.state is SkipState.RESUMED:
            if found.rose or found.interval.low > self.rules.most_bad:
                self._turn(SkipState.PROVING, _words(found, found.broken), anew=True)
                return True
            if proven:
                self._turn(SkipState.SKIPPING, _words(found, "the bound holds"))
        return False

    def by_hand(self, on: bool, reason: str, author: str, who: Person | None) -> Act:
        """Somebody switches it; the act, which is to be durable before ``take``."""
        state = SkipState.RESUMED if on else SkipState.STOPPED
        detail = {"episode": self.episode + 1}
        told = Told(ACT, state.value, reason, author, detail, {"state": self.state.value},
                    {"state": state.value})  # fmt: skip
        return act_of(who, self._clock.wall_us(), told)

    def take(self, act: Act) -> None:
        """Do what an act of ``by_hand`` says."""
        self.resume({"detail": act.detail, "subject": act.subject, "reason": act.reason})
        self.since_us = act.at_us
        self.seen = NO_CHECKS
        self.rate = held_rate([], self.rules.most_bad)

    def let_through(self) -> tuple[float, float, float] | None:
        """Bad answers among those that were not checked in this episode: estimate, least, most."""
        if not self.rate.count:
            return None
        found, skipped = self.rate.interval, self.seen.skipped
        estimate = self.rate.events / self.rate.count
        return skipped * estimate, skipped * found.low, skipped * found.high

    def _turn(self, state: SkipState, reason: str, anew: bool = False) -> None:
        was = self.state
        self.state, self.reason, self.episode = state, reason, self.episode + anew
        self.since_us = self._clock.wall_us()
        told = Told(ACT, state.value, reason, "", {"episode": self.episode},
                    {"state": was.value}, {"state": state.value})  # fmt: skip
        self._append(act_of(None, self.since_us, told))


def _words(found: HeldRate, why: str) -> str:
    most = found.interval.high
    return f"{found.events} of {found.count} audited were bad, at most {most:.3f} in truth: {why}"
