"""Epsilon-greedy: the best arm, and now and then any."""

from __future__ import annotations

from learning import exploration
from learning.policies.disjoint import Disjoint, Explore


class EpsilonGreedy(Disjoint):
    """``exploration`` is epsilon: the share that all arms have alike (Sutton and Barto, 2.2)."""

    kind = "epsilon_greedy"

    def rule(self, rated: float) -> Explore:
        epsilon = min(1.0, self.parameters.exploration)
        return lambda utility, deviation: exploration.epsilon_greedy(utility, epsilon)
