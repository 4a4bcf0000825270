"""How each arm stands with the linear policy, and what share that leaves it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.interaction import Vector
from learning.policies.linear_chooser import Exploring
from learning.policies.linear_parameters import LinearParameters

TRIAL_AMONG = 50.0  # rated answers of the others that make a newcomer one
RATED_RARELY = 10.0  # so many calls for an answer, and the trial ends without the ratings
FIRST_ANSWERS, FIRST_CALLS = 2.0, 8.0
GREATEST_TRIAL = 0.5  # what all newcomers together may have
ANEW_ANSWERS = 100.0
CAP_AFTER_ALARM = 0.05

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Standing:
    """Of each arm [K]: ``count`` rated answers as they weigh now, whether it is on ``trial``,
    next to ``untried``, ``changed`` in quality, and the ``risen`` share since its last alarm of
    latency or errors.
    """

    count: Vector
    trial: Flags
    untried: Flags
    changed: Flags
    risen: Vector

    @classmethod
    def of(
        cls, known: tuple[Vector, Vector], new: Flags, changed: Collection[int], risen: Vector,
        parameters: LinearParameters,
    ) -> Standing:  # fmt: skip
        """From the rated answers and calls [K], who is new, and whose quality has changed."""
        count, calls = known
        enough = parameters.trial_answers
        trial = new & (count < enough) & (calls < RATED_RARELY * enough)
        untried = trial & (count < FIRST_ANSWERS) & (calls < FIRST_CALLS)
        mask = np.zeros(len(count), dtype=bool)
        mask[list(changed)] = True
        return cls(count, trial, untried, mask, risen)

    def exploring(self, p: LinearParameters) -> Exploring:
        """A newcomer's chances are not tempered; after a change nobody's: who is next is open."""
        anew = self.trial | bool((self.changed & (self.count < ANEW_ANSWERS)).any())
        little = p.wary / (p.wary + self.count) if p.wary else 0.0
        temper = p.temper + (1.0 - p.temper) * np.where(anew, 1.0, little)
        budget = math.inf if p.budget_usd is None else p.budget_usd
        count, several = len(self.count), max(1, int(self.trial.sum()))
        usd = np.where(self.trial, p.trial_budget / several, p.floor_budget / count) * budget
        floor, hopeful = np.full(count, p.floor), None
        if self.trial.any():
            hopeful = np.where(self.trial, min(p.trial_floor, GREATEST_TRIAL / several), 0.0)
            hopeful[self.untried] = p.first_share / max(1, int(self.untried.sum()))
        return Exploring(temper, 0.0, floor, usd, hopeful)

    def caps(self, p: LinearParameters) -> Vector:
        """The greatest shares: of newcomers, and of those that have just failed."""
        several = max(1, int(self.trial.sum()))
        caps = np.where(self.trial, min(p.trial_share, GREATEST_TRIAL / several), 1.0)
        caps[self.untried] = max(p.first_share, p.trial_share) / several
        capped: Vector = np.minimum(caps, CAP_AFTER_ALARM + np.maximum(self.risen, 0.0))
        return capped

    def states(self) -> tuple[str, ...]:
        """A word of ``STATES`` an arm; an alarm before a change before a trial."""
        held = self.risen < 1.0 - CAP_AFTER_ALARM
        words = np.where(self.trial, "on trial", "steady")
        words = np.where(self.changed, "re-exploring", words)
        return tuple(np.where(held, "held back", words).tolist())
