"""Linear Thompson sampling: each arm as often as it is the best under the posterior."""

from __future__ import annotations

from learning import exploration
from learning.policies.disjoint import Disjoint, Explore


class Thompson(Disjoint):
    """``exploration`` scales the posterior deviation (v of Agrawal and Goyal, ICML 2013).

    The probabilities come from a fixed quadrature and the draw from them, so the logged
    propensity is the probability of the draw.
    """

    kind = "thompson"

    def rule(self, rated: float) -> Explore:
        scale = self.parameters.exploration
        return lambda utility, deviation: exploration.thompson(utility, scale * deviation)
