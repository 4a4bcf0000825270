"""The weights of a made-up past, an hour at a time: each deployment's share, and why it moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.offline.past import Past
from experiments.offline.past_columns import Reals, Whole
from experiments.offline.past_events import HOUR_US, Will
from experiments.offline.past_policy import Asked, Scores, propensities
from service.domain.records import Weight
from service.monitoring.weights import MOVED, STEADY, explained

CONTEXTS = 32
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
        found: list[Weight] = []
        for hour in range(24):
            at_us = begins_us + hour * HOUR_US + AFTER_US
            for task in range(len(self._past.cast.tasks)):
                found += self._of(task, at_us)
        return found

    def _of(self, task: int, at_us: int) -> list[Weight]:
        past, cast = self._past, self._past.cast
        prompt, tier = self._prompt[task], self._tier[task]
        times = np.full(CONTEXTS, at_us)
        asked = Asked(times, np.full(CONTEXTS, task), prompt, np.zeros(CONTEXTS, np.int64),
                      cast.dials[tier])  # fmt: skip
        scores = past.beliefs.scores(asked)
        eligible = cast.allowed[task, prompt, tier].copy()
        wills = [w for w in past.happened.wills if _holds(w, task, at_us)]
        excluded = [w.deployment for w in wills if w.action == "exclude"]
        forced = [w.deployment for w in wills if w.action == "force"]
        known = eligible.any(axis=0)
        rest = eligible.copy()
        rest[:, excluded] = False
        eligible = np.where(rest.any(axis=1)[:, None], rest, eligible)
        manner = past.regime.manners[int(past.regime.live(times[:1])[0])]
        shares = propensities(
            scores.utility, eligible, np.full(CONTEXTS, manner.temper),
            np.full(CONTEXTS, manner.floor),
        )  # fmt: skip
        for arm in forced:
            rows = eligible[:, arm]
            shares[rows] = 0.0
            shares[rows, arm] = 1.0
        whys = dict.fromkeys(excluded, "excluded by an operator")
        if forced:
            whys = dict.fromkeys(range(len(cast.members)), "forced by an operator") | whys
        return self._rows(task, at_us, (scores, shares), np.flatnonzero(known), whys)

    def _rows(
        self, task: int, at_us: int, told: tuple[Scores, Reals], arms: Whole, whys: dict[int, str]
    ) -> list[Weight]:
        scores, shares = told
        cast, found = self._past.cast, []
        for arm in arms.tolist():
            made = Weight(
                at_us, cast.tasks[task], cast.names[arm], _mean(shares, arm),
                _mean(scores.quality, arm), _mean(scores.cost_usd, arm),
                _mean(scores.latency_s, arm), _mean(scores.error_rate, arm),
                _mean(scores.utility, arm), CONTEXTS, 0, whys.get(arm, ""),
                self._state(arm, task, at_us),
            )  # fmt: skip
            found.append(self._told(made))
        return found

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


def _mean(values: Reals, arm: int) -> float:
    return round(float(values[:, arm].mean()), 9)


def _holds(will: Will, task: int, at_us: int) -> bool:
    return will.task in (-1, task) and will.starts_us <= at_us < will.ended_us
