"""How an ensemble stands beside the best single deployment: believed, proven, or switched off."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.statistics.arms_at_any_look import difference
from experiments.statistics.moments import Interval
from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock
from service.domain.ensembles import Arm
from service.domain.records import Act
from service.orchestration.ensembles.rules import EnsembleRules
from service.storage.ensembles import ArmSeen, Seen

log = logging.getLogger("headgate.ensembles")

TRYING, PROVEN, OFF = "trying", "proven", "off"
ACTS = {PROVEN: "ensemble.proven", OFF: "ensemble.off", TRYING: "ensemble.on"}
STATES = {act: state for state, act in ACTS.items()}
NOTHING = ArmSeen()
LEAST_COSTS = 20  # answers of each arm before its measured cost is believed


@dataclass(frozen=True, slots=True)
class Beside:
    """The ensemble beside the single. ``gain``: of quality; ``net``: of utility, in units of
    quality: less what it costs more at the plan's rate; both at any look.
    """

    ensemble: ArmSeen
    single: ArmSeen
    routed: ArmSeen
    gain: Interval
    net: Interval

    @property
    def rated(self) -> int:
        """Answers of both that were rated."""
        return self.ensemble.quality.count + self.single.quality.count

    @property
    def multiplier(self) -> float | None:
        """The mean cost over the single's, as measured; None before both have answered enough."""
        few = min(self.ensemble.answers, self.single.answers) < LEAST_COSTS
        return None if few or self.single.usd <= 0.0 else self.ensemble.usd / self.single.usd


@dataclass(slots=True)
class Standing:
    """One ensemble on one task."""

    rules: EnsembleRules
    task: str
    state: str = TRYING
    why: str = "nothing was compared yet"
    episode: int = 1
    beside: Beside | None = None

    @property
    def subject(self) -> str:
        """As acts name it."""
        return f"{self.rules.name}/{self.task}"

    def gain(self) -> float:
        """The quality that it is expected to add: what was measured, shrunk to the belief."""
        rules, seen = self.rules.comparing, self.beside
        if seen is None:
            return rules.gain
        n = min(seen.ensemble.quality.count, seen.single.quality.count)
        return (rules.belief * rules.gain + n * seen.gain.estimate) / (rules.belief + n)

    def take(self, seen: dict[str, ArmSeen]) -> str:
        """Look at the evidence; the state that now holds."""
        ours, single, routed = (
            seen.get(arm, NOTHING) for arm in (Arm.ENSEMBLE, Arm.SINGLE, Arm.ROUTED)
        )
        rules = self.rules.comparing
        self.beside = beside = Beside(
            ours,
            single,
            routed,
            difference(ours.quality, single.quality, rules.alpha, rules.after),
            difference(ours.utility, single.utility, rules.alpha, rules.after, least=-1.0),
        )
        net = beside.net
        if self.state == OFF:
            return OFF
        told = f"{beside.rated} rated answers: {net.estimate:+.3f} a request [{net.low:+.3f}, "
        told += f"{net.high:+.3f}] of quality less cost beside the single deployment"
        if net.high < 0.0:
            self.why = f"it loses: {told}"
            return OFF
        if net.low > 0.0 or self.state == PROVEN:
            self.why = f"it wins: {told}" if net.low > 0.0 else self.why
            return PROVEN
        if beside.rated >= rules.after:
            self.why = f"it did not win with confidence after {rules.after}: {told}"
            return OFF
        self.why = f"not known yet: {told}" if beside.rated else "nothing was rated yet"
        return TRYING


class Standings:
    """Of every ensemble and task that was seen; changed on the event loop alone."""

    def __init__(self, append: Callable[[Act], object], clock: Clock) -> None:
        self._append, self._clock = append, clock
        self._known: dict[tuple[str, str], Standing] = {}
        self._last: dict[
            str, tuple[str, str, str, int]
        ] = {}  # subject: digest, state, why, episode
        self.rules: tuple[EnsembleRules, ...] = ()

    def resume(self, acts: Sequence[dict[str, Any]]) -> None:
        """Stand where the last run stood; ``acts`` of the kinds of ``STATES``, the oldest first."""
        for each in acts:
            self._remember(each["act"], each["subject"], each["reason"], json.loads(each["detail"]))

    def take_rules(self, rules: Sequence[EnsembleRules]) -> None:
        """Another plan: what is known of the same rules stays."""
        self.rules = tuple(rules)
        self._known.clear()
        for each in self.rules:
            for task in each.tasks:
                self.of(each, task)

    def of(self, rules: EnsembleRules, task: str) -> Standing:
        """How an ensemble stands on a task."""
        found = self._known.get((rules.name, task))
        if found is None:
            found = self._known[rules.name, task] = Standing(rules, task)
            digest, state, why, episode = self._last.get(found.subject, ("", TRYING, "", 1))
            found.episode = episode
            if digest == rules.digest:
                found.state, found.why = state, why or found.why
        return found

    def look(self, seen: Seen) -> None:
        """What came of all of them; a change of state is an act."""
        for (name, task, digest, episode), arms in seen.items():
            rules = next((each for each in self.rules if each.name == name), None)
            if rules is None or rules.digest != digest:
                continue
            standing = self.of(rules, task)
            if standing.episode != episode:
                continue
            state = standing.take(arms)
            if state != standing.state:
                standing.state = state
                self._tell(standing)

    def switch(
        self, standing: Standing, on: bool, told: tuple[str, str], who: Person | None
    ) -> Act:
        """Somebody switches one; the act, which is to be durable before ``take``. ``told``: the
        reason and the author.
        """
        state = TRYING if on else OFF
        episode = standing.episode + (1 if on else 0)
        return self._act(standing, state, told, episode, who)

    def take(self, act: Act) -> None:
        """Do what an act says."""
        self._remember(act.act, act.subject, act.reason, json.loads(act.detail))
        for each in self._known.values():
            if each.subject == act.subject:
                _, each.state, each.why, each.episode = self._last[act.subject]
                if each.state == TRYING:
                    each.beside = None

    def all(self) -> list[Standing]:
        """All of them, in the order of the plan."""
        order = {each.name: at for at, each in enumerate(self.rules)}
        return sorted(
            self._known.values(), key=lambda each: (order.get(each.rules.name, 99), each.task)
        )

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        return [
            f"the ensemble {each.rules.name} is off for {each.task}: {each.why}"
            for each in self.all() if each.state == OFF
        ]  # fmt: skip

    def _tell(self, standing: Standing) -> None:
        log.warning("the ensemble %s is %s: %s", standing.subject, standing.state, standing.why)
        act = self._act(standing, standing.state, (standing.why, ""), standing.episode, None)
        self._append(act)
        self._remember(act.act, act.subject, act.reason, json.loads(act.detail))

    def _act(
        self, standing: Standing, state: str, told: tuple[str, str], episode: int,
        who: Person | None,
    ) -> Act:  # fmt: skip
        detail = {"digest": standing.rules.digest, "episode": episode}
        reason, author = told
        made = Told(
            ACTS[state], standing.subject, reason, author, detail, {"state": standing.state},
            {"state": state},
        )  # fmt: skip
        return act_of(who, self._clock.wall_us(), made)

    def _remember(self, act: str, subject: str, reason: str, detail: dict[str, Any]) -> None:
        state = STATES[act]
        self._last[subject] = detail["digest"], state, reason, int(detail["episode"])


def shown(standing: Standing) -> dict[str, Any]:
    """One of them, for people."""
    rules, beside = standing.rules, standing.beside
    return {
        "ensemble": rules.name, "task": standing.task, "state": standing.state,
        "why": standing.why, "by": rules.by, "members": list(rules.members) or ["the best single"],
        "most": rules.gathering.most, "adaptive": rules.gathering.adaptive,
        "stop": rules.gathering.stop or None, "first": rules.gathering.first or None,
        "share": rules.comparing.share, "routed": rules.comparing.routed,
        "after": rules.comparing.after, "episode": standing.episode,
        "expected_gain": standing.gain(),
        "multiplier": None if beside is None else beside.multiplier,
        "rated": 0 if beside is None else beside.rated,
        "gain": _interval(None if beside is None else beside.gain),
        "net": _interval(None if beside is None else beside.net),
        "arms": {} if beside is None else {
            name: _arm(each) for name, each in (
                ("ensemble", beside.ensemble), ("single", beside.single),
                ("routed", beside.routed),
            )
        },
    }  # fmt: skip


def _interval(found: Interval | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def _arm(seen: ArmSeen) -> dict[str, Any]:
    rated = seen.quality.count
    return {
        "answers": seen.answers, "usd": seen.usd, "latency_s": seen.latency_s,
        "p95_s": seen.p95_s, "rated": rated, "quality": seen.quality.mean if rated else None,
    }  # fmt: skip
