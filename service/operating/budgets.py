"""The budgets' desk: what was spent before is taken in, a plan's and the keys' budgets are put."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from service.domain.budgets import AtCap, Budget, KeyBudget, Scope
from service.domain.catalog import Amounts, Deployment, worst_micro_usd
from service.domain.clock import Clock
from service.domain.modalities import CHARACTERS_PER_TOKEN, IMAGE, IMAGE_UNITS
from service.domain.periods import Period, bounds_us
from service.domain.records import Act
from service.routing.budgets import BudgetRules, Budgets, Spent
from service.routing.counters import Name
from service.storage import spent as logged
from service.storage.database import Database
from service.storage.event_log import EventLog

LATE_US = 32_503_680_000_000_000  # later than any row: the year 3000


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk stands on."""

    database: Database
    log: EventLog
    clock: Clock


class BudgetDesk:
    """Keeps the budgets beside the log. ``book``: what requests look at."""

    def __init__(self, book: Budgets, parts: DeskParts) -> None:
        self.book, self._parts = book, parts
        self._changing = asyncio.Lock()
        self.cut_off = 0  # requests that the last kill cut off, counted at their worst

    # at the start -------------------------------------------------------------------------------

    def open(
        self, rules: BudgetRules, catalog: Sequence[Deployment],
        elsewhere: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        """Begin with what the log has of the present periods; blocks, before the first request.

        A request that a kill cut off has no outcome: what it had reserved counts as spent, at the
        list price of the deployment that it was decided for. ``elsewhere``: decisions that are with
        a provider's batch; who takes them up reserves for them.
        """
        cursor = self._parts.database.cursor()
        for each in logged.key_budgets(cursor):
            self.book.of_keys[each.key_id] = of_key(each)
        self.book.follow(rules)
        if self.book.idle:
            return
        now_us, through = self._parts.clock.wall_us(), self._parts.log.last_seq
        for period, since_us in self._begins(now_us).items():
            span = logged.Span(since_us, LATE_US, through)
            gone = (g for g in logged.cut_off(cursor, span) if g.id not in elsewhere)
            lost = list(self._reserved(gone, catalog))
            self.cut_off = max(self.cut_off, len(lost))
            found = [_as_spent(each) for each in logged.spent(cursor, span)]
            self.book.take_in([*found, *lost], period, frozenset())

    def _begins(self, now_us: int) -> dict[Period, int]:
        """When the present one of each period that anything is counted over began."""
        periods = {each.period for each in self.book.all} - {Period.REQUEST}
        zone = self.book.rules.zone
        return {each: bounds_us(each, now_us, zone)[0] for each in sorted(periods)}

    def _reserved(
        self, cut_off: Iterable[logged.CutOff], catalog: Sequence[Deployment]
    ) -> Iterable[Spent]:
        by_name = {each.name: each for each in catalog}
        for each in cut_off:
            target = by_name.get(each.deployment)
            if target is None:
                continue
            most = target.max_output_tokens
            out = each.tokens_out_limit or most or self.book.rules.reserve_out
            worst = worst_micro_usd(target.price_at(each.at_us), _most(target, each.tokens_in, out))
            yield Spent(each.caller, each.task, each.deployment, False, worst, 1, float(worst) ** 2)

    # while it runs ------------------------------------------------------------------------------

    async def follow(self, rules: BudgetRules) -> None:
        """Go on under another plan: what is spent stays, and what was not counted is taken in.
        Until that is read both plans' budgets hold, so that the old go on where it cannot be.
        """
        async with self._changing:
            before, now_us = self.book.rules, self._parts.clock.wall_us()
            known = self.book.known() if rules.zone == before.zone else frozenset()
            leaving = tuple(each for each in before.budgets if each not in rules.budgets)
            self.book.follow(replace(rules, budgets=(*rules.budgets, *leaving)))
            try:
                await self._take_in(known, now_us)
            except BaseException:
                self.book.follow(before)
                raise
            self.book.follow(rules)

    async def put(self, budget: KeyBudget, act: Act) -> None:
        """The budget that a key carries, or that it carries none: durable, then in force."""
        async with self._changing:
            await asyncio.shield(asyncio.wrap_future(self._parts.log.append_durable(budget, act)))
            known, now_us = self.book.known(), self._parts.clock.wall_us()
            self.book.of_key(budget.key_id, of_key(budget) if budget.period else None)
            await self._take_in(known, now_us)

    async def _take_in(self, known: frozenset[Name], until_us: int) -> None:
        """What ended before this moment is read from the log; what ends after it is counted as it
        ends.
        """
        if self.book.idle:
            return
        await asyncio.wrap_future(self._parts.log.flush())
        through = self._parts.log.last_seq
        for period, since_us in self._begins(until_us).items():
            span = logged.Span(since_us, until_us, through)
            found = await asyncio.to_thread(self._read, span)
            self.book.take_in(found, period, known)

    def _read(self, span: logged.Span) -> list[Spent]:
        return [_as_spent(each) for each in logged.spent(self._parts.database.cursor(), span)]


def _most(target: Deployment, tokens_in: int, out: int) -> Amounts:
    """What one call may be billed for, by the tokens that its request counted as."""
    images = tokens_in // IMAGE_UNITS if target.modality == IMAGE else 1
    return Amounts(tokens_in, out, images=images, characters=tokens_in * CHARACTERS_PER_TOKEN)


def of_key(found: KeyBudget) -> Budget:
    """The budget that a key carries, as it is counted."""
    return Budget(
        f"key/{found.key_id}", Scope.KEY, Period(found.period), found.key_id,
        found.hard_micro_usd, found.soft_micro_usd, AtCap(found.at_cap),
    )  # fmt: skip


def _as_spent(each: logged.Group) -> Spent:
    return Spent(
        each.caller, each.task, each.deployment, each.beside, each.micro_usd, each.calls,
        each.squares,
    )  # fmt: skip
