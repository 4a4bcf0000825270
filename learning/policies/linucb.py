"""LinUCB with disjoint models: the arm whose upper confidence bound is highest."""

from __future__ import annotations

from learning import exploration
from learning.policies.disjoint import Disjoint, Explore


class LinUCB(Disjoint):
    """``exploration`` is alpha, in deviations (Li, Chu, Langford and Schapire, WWW 2010).

    Deterministic: the arm has probability one, so its record supports no off-policy estimate.
    """

    kind = "linucb"

    def rule(self, rated: float) -> Explore:
        alpha = self.parameters.exploration
        return lambda utility, deviation: exploration.epsilon_greedy(
            utility + alpha * deviation, 0.0
        )
