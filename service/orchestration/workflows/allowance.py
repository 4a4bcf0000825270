"""What a run may still do: executions, money, time; asked before each, never passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.orchestration.workflows.asks import LimitReached, StepFailed
from service.orchestration.workflows.forms import LimitsForm

TRIES = 2  # of a call that are reserved for where there is room: the first, and one fallback


class Allowance:
    """Of one run. Money is reserved at the worst that a call may cost, and settled at what it did;
    a call is told what was reserved and does not pass it. ``share``: where room is short, a call
    is given one such part of it, so that those beside it have some too.
    """

    def __init__(
        self, limits: LimitsForm, now_s: Callable[[], float], used_s: float = 0.0, share: int = 1
    ) -> None:
        self._limits, self._now_s, self._share = limits, now_s, share
        self._settled = asyncio.Event()
        self._began_s = now_s() - used_s
        self.steps = 0
        self.spent = self.reserved = 0
        self.greatest = 0  # of spent and reserved together, ever

    @property
    def cap_micro_usd(self) -> int:
        """The run's money."""
        return int(self._limits.max_cost_usd * 1e6 + 1e-9)

    @property
    def used_s(self) -> float:
        """Seconds since the run began, those of earlier tries included."""
        return self._now_s() - self._began_s

    @property
    def left_s(self) -> float:
        """Seconds until its end."""
        return self._limits.max_time_s - self.used_s

    def step(self) -> None:
        """One more execution; raises LimitReached."""
        if self.steps >= self._limits.max_steps:
            raise LimitReached("max_steps", f"more than {self._limits.max_steps} executions")
        self.steps += 1

    async def reserve(self, worst: tuple[int, int], own_left: int | None) -> int:
        """Room for a call that may cost so much a try, at the cheapest and at the dearest; waits
        while others hold what would be enough. Raises LimitReached where the run has none,
        StepFailed where only the step's own budget has none. Gives what is reserved.
        """
        least, most = worst
        if own_left is not None and least > own_left:
            raise StepFailed(
                "step_budget", f"a call may cost ${least / 1e6:.6f}, more than max_cost_usd leaves"
            )
        while (room := self.cap_micro_usd - self.spent - self.reserved) < least:
            if not self.reserved:
                raise LimitReached(
                    "max_cost_usd",
                    f"a call may cost ${least / 1e6:.6f}, and of ${self.cap_micro_usd / 1e6:g} "
                    f"${max(room, 0) / 1e6:.6f} are left",
                )
            self._settled.clear()
            await self._settled.wait()
        amount = min(TRIES * most, max(least, room // self._share))
        amount = amount if own_left is None else min(amount, own_left)
        self.reserved += amount
        self.greatest = max(self.greatest, self.spent + self.reserved)
        return amount

    def settle(self, reserved: int, cost: int) -> None:
        """The call has ended."""
        self.reserved -= reserved
        self._settled.set()
        self.spent += cost
        self.greatest = max(self.greatest, self.spent + self.reserved)
