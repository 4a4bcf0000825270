"""Hedging: a second call when the first takes longer than most, within a budget of its own."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HedgeRules:
    """For which tasks, and for how much of what is spent. No task: never.

    Dean and Barroso, The Tail at Scale (CACM 2013): a second request after the 95th percentile
    of the first's latency cuts the tail for a few percent of load. A model's answer costs money,
    so the budget is in dollars, and an outage, which makes everything slow, cannot double it.
    """

    tasks: Set[str] = frozenset()
    spend_share: float = 0.05


class HedgeBudget:
    """Micro-dollars that hedges may cost: a share of what the other calls cost.

    Saved up to the worth of ``most`` mean requests, so that a calm hour does not pay for a storm.
    """

    def __init__(self, share: float, most: float = 50.0) -> None:
        self._share, self._most = share, most
        self._mean = 0.0
        self.balance = 0.0
        self.hedges = 0

    def spent(self, cost_micro_usd: int) -> None:
        """A request cost so much."""
        self._mean += (cost_micro_usd - self._mean) * 0.01 if self._mean else cost_micro_usd
        earned = self.balance + self._share * cost_micro_usd
        self.balance = min(earned, self._most * self._mean)

    @property
    def affordable(self) -> bool:
        """Whether a hedge at the mean cost can be paid for; it is paid when it ends."""
        return self.balance >= max(self._mean, 1e-9)

    def paid(self, cost_micro_usd: int) -> None:
        """A hedge (or the call that it beat) cost so much."""
        self.balance -= cost_micro_usd
