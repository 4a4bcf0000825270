"""Inverse-gap weighting: an arm the less likely, the further it is behind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from learning import exploration
from learning.policies.disjoint import Disjoint, Explore, RidgeParameters


@dataclass(frozen=True, slots=True)
class InverseGapParameters(RidgeParameters):
    """``exploration`` is gamma per square root of rated answers: greater is greedier."""

    exploration: float = 12.0


class InverseGap(Disjoint):
    """SquareCB (Foster and Rakhlin, ICML 2020): gamma grows with the root of what was rated."""

    kind = "inverse_gap"
    parameters_type = InverseGapParameters

    def rule(self, rated: float) -> Explore:
        gamma = self.parameters.exploration * math.sqrt(1.0 + rated)
        return lambda utility, deviation: exploration.inverse_gap(utility, gamma)
