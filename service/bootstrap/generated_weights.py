"""The weights of a made-up past, an hour at a time: each deployment's share, and why it moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.offline.past import Past
from experiments.offline.past_columns import Reals, Whole
from experiments.offline.past_events import HOUR_US, Will
from experiments.offline.past_policy import Asked, propensities
from service.domain.records import Weight
from service.monitoring.weights import MOVED, STEADY, explained

CONTEXTS, HOURS = 32, 24
AFTER_US = 45_000_000  # the full hour
LOOKED_AGAIN_H = 24
SUSPECT, CHANGED_H = "re-exploring", 18  # a change of quality is found so many hours late


class Weights:
    """Evaluates the policy on the same contexts of every task, each hour."""

    def __init__(self, past: Past, seed: int) -> None:
        self._past, self._kept = past, dict[tuple[str, str], Weight]()
        rng, cast = np.random.default_rng([seed, 8]), past.cast
        shape = len(cast.tasks), CONTEXTS
        self._prompt = np.array(
            [rng.choice(len(each), CONTEXTS, p=each) for each in cast.prompts.share]
        )
        tenant = rng.choice(len(cast.tenants), shape, p=[each.share for each in cast.tenants])
        self._tier = np.array([each.tier for each in cast.tenants])[tenant]

    def day(self, begins_us: int) -> list[Weight]:
        """The rows of a day."""
        hours = begins_us + np.arange(HOURS) * HOUR_US + AFTER_US
        told = [self._shares(task, hours) for task in range(len(self._past.cast.tasks))]
        return [
            self._told(self._weight((task, arm), int(at_us), parts[:, hour, arm]))
            for hour, at_us in enumerate(hours)
            for task, (parts, arms) in enumerate(told)
            for arm in arms.tolist()
        ]

    def _shares(self, task: int, hours: Whole) -> tuple[Reals, Whole]:
        """Mean share, quality, cost, latency, errors and utility, [6, hours, K]; and of whom."""
        past, cast = self._past, self._past.cast
        prompt, tier = np.tile(self._prompt[task], HOURS), np.tile(self._tier[task], HOURS)
        at_us, count = np.repeat(hours, CONTEXTS), HOURS * CONTEXTS
        asked = Asked(at_us, np.full(count, task), prompt, np.zeros(count, np.int64),
                      cast.dials[tier])  # fmt: skip
        scores = past.beliefs.scores(asked)
        eligible = cast.allowed[task, prompt, tier].copy()
        known = np.flatnonzero(eligible.any(axis=0))
        wills = [each for each in past.happened.wills if each.task in (-1, task)]
        for will in wills:
            rows = (at_us >= will.starts_us) & (at_us < will.ended_us)
            if will.action == "exclude":
                rows &= eligible.sum(axis=1) > eligible[:, will.deployment]
                eligible[rows, will.deployment] = False
        manners = past.regime.manners
        live = past.regime.live(at_us)
        shares = propensities(
            scores.utility, eligible, np.array([each.temper for each in manners])[live],
            np.array([each.floor for each in manners])[live],
        )  # fmt: skip
        for will in wills:
            if will.action == "force":
                rows = (at_us >= will.starts_us) & (at_us < will.ended_us)
                rows &= eligible[:, will.deployment]
                shares[rows] = 0.0
                shares[rows, will.deployment] = 1.0
        parts = np.stack([shares, scores.quality, scores.cost_usd, scores.latency_s,
                          scores.error_rate, scores.utility])  # fmt: skip
        means = parts.reshape(6, HOURS, CONTEXTS, -1).mean(axis=2)
        return np.round(means, 9), known

    def _weight(self, of: tuple[int, int], at_us: int, parts: Reals) -> Weight:
        (task, arm), cast = of, self._past.cast
        share, quality, cost_usd, latency_s, error_rate, utility = parts.tolist()
        return Weight(
            at_us, cast.tasks[task], cast.names[arm], share, quality, cost_usd, latency_s,
            error_rate, utility, CONTEXTS, 0, self._why(task, arm, at_us),
            self._state(arm, task, at_us),
        )  # fmt: skip

    def _why(self, task: int, arm: int, at_us: int) -> str:
        """What operators want of it now."""
        holding = [each for each in self._past.happened.wills if _holds(each, task, at_us)]
        if any(each.action == "exclude" and each.deployment == arm for each in holding):
            return "excluded by an operator"
        forced = any(each.action == "force" for each in holding)
        return "forced by an operator" if forced else ""

    def _told(self, now: Weight) -> Weight:
        """With what moved it, where it moved."""
        key = now.task, now.deployment
        before = self._kept.get(key)
        if before is not None:
            if abs(before.share - now.share) >= MOVED:
                now = explained(now, before)
            elif not now.why:
                now = replace(now, why=before.why.split("; ")[0])
            if before.state != now.state:
                turned = f"no longer {before.state}" if now.state == STEADY else f"now {now.state}"
                now = replace(now, why=f"{now.why}; {turned}" if now.why else turned)
        self._kept[key] = now
        return now

    def _state(self, arm: int, task: int, at_us: int) -> str:
        """Its change of quality is found late, at its beginning and at its mend."""
        worse = self._past.happened.worse
        if (arm, task) != (worse.deployment, worse.task):
            return STEADY
        for turned_us in (worse.begins_us, worse.ends_us):
            since_h = (at_us - turned_us) / HOUR_US - CHANGED_H
            if 0.0 <= since_h < LOOKED_AGAIN_H:
                return SUSPECT
        return STEADY


def _holds(will: Will, task: int, at_us: int) -> bool:
    return will.task in (-1, task) and will.starts_us <= at_us < will.ended_us
