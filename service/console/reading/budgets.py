"""Spend beside what the plan wants, by hour, deployment and tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from learning.policies.linear_chooser import LinearChooser
from service.console.reading.serving import tones
from service.domain.budgets import BudgetStanding, Scope
from service.runtime import Runtime
from service.storage import lookups
from service.storage.errors import StorageError

HOUR_US = 3_600_000_000
HOURS = 24
TENANTS = 20
SHOWN = 100  # budgets


@dataclass(frozen=True, slots=True)
class Spends:
    """A deployment's spend: in each of the hours, and in all."""

    deployment: str
    tone: int
    by_hour_usd: tuple[float, ...]
    calls: int

    @property
    def usd(self) -> float:
        """Over all the hours."""
        return sum(self.by_hour_usd)


@dataclass(frozen=True, slots=True)
class Budget:
    """The last day. ``wanted_usd``: of a request, by the plan, None where it sets none; ``price``:
    how much more a dollar counts while spend runs ahead, in points of reward, 0 where it does not.
    """

    wanted_usd: float | None
    hours_us: tuple[int, ...]
    spends: tuple[Spends, ...]
    tenants: tuple[tuple[str, float, int], ...]
    requests: int
    price: float | None
    standings: tuple[BudgetStanding, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)  # of keys, by id

    @property
    def usd(self) -> float:
        """Spent over the hours."""
        return sum(each.usd for each in self.spends)


def standings(runtime: Runtime) -> tuple[tuple[BudgetStanding, ...], Mapping[str, str]]:
    """The budgets in force, the one nearest to its limit first; and the names of their keys."""
    found = sorted(runtime.budgets.book.standings(), key=lambda each: (-each.share, each.label))
    keys = {each.value for each in found if each.budget.scope is Scope.KEY}
    return tuple(found[:SHOWN]), {key: runtime.kept.keys.name_of(key) for key in keys}


async def budget(runtime: Runtime) -> Budget | None:
    """As the log has it; None where it cannot be read now."""
    now_us = runtime.clock.wall_us()
    since = (now_us // HOUR_US - HOURS + 1) * HOUR_US
    cursor = runtime.kept.database.cursor

    def read() -> tuple[list[lookups.Spent], list[tuple[str, int, int]]]:
        return lookups.spending(cursor(), since), lookups.spent_by_tenant(cursor(), since, TENANTS)

    try:
        rows, tenants = await asyncio.to_thread(read)
    except StorageError:
        return None
    hours = tuple(since + i * HOUR_US for i in range(HOURS))
    tone = tones(runtime)
    spends = []
    for name in sorted({each.deployment for each in rows}, key=lambda n: tone.get(n, 99)):
        mine = [each for each in rows if each.deployment == name]
        by_hour = {each.at_us: each.cost_micro_usd / 1e6 for each in mine}
        spends.append(
            Spends(name, tone.get(name, 0), tuple(by_hour.get(at, 0.0) for at in hours),
                   sum(each.calls for each in mine))
        )  # fmt: skip
    chooser = runtime.live.current.chooser
    return Budget(
        runtime.plan.budgets.usd_per_request, hours, tuple(spends),
        tuple((name, cost / 1e6, requests) for name, cost, requests in tenants),
        sum(requests for _, _, requests in tenants),
        chooser.dual_price if isinstance(chooser, LinearChooser) else None, *standings(runtime),
    )  # fmt: skip
