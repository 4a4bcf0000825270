"""The router's look at budgets: who is too dear for what is left, and how spend is paced."""

from __future__ import annotations

from dataclasses import replace

from service.domain.budgets import AtCap, AtSoft, Budget
from service.domain.catalog import Deployment
from service.domain.errors import CapabilityMissing
from service.routing.budgets import Budgets, Lines, exceeded, waits
from service.routing.narrowing import SPARED, Draft, Narrowing
from service.routing.purse import Dearest, Worst, over, over_request, own_cap

REASON = "budget"
STEEPEST = 10.0  # how much more a dollar may count while spend runs ahead


class Budgeting:
    """Acts before the draw, so that every propensity stays exact."""

    def __init__(self, book: Budgets, narrowing: Narrowing) -> None:
        self._book, self._narrowing = book, narrowing
        self._dearest = Dearest(narrowing.table.catalog)

    def narrow(self, draft: Draft) -> None:
        """Take out whom a budget that goes on cheaper has no room for; raises BudgetExceeded where
        no deployment fits at all. A budget that refuses does so after the draw, where the one that
        was drawn does not fit: the decision is logged then, and says so.
        """
        book, asked = self._book, draft.asked
        own = own_cap(asked.request)
        if (book.idle and own is None) or not draft.eligible:
            return
        now_us = book.clock.wall_us()
        lines = None if book.idle else book.lines(asked.caller, asked.task)
        worst = Worst(asked.request, asked.context.tokens_in, book.rules.reserve_out, now_us)
        if lines is not None and lines.soft:
            self._spare(draft, lines, worst, now_us)
        if own is not None or lines is None or lines.requests or self._scarce(lines, worst, now_us):
            self._fit(draft, lines, worst, own)
        if lines is not None and lines.paced:
            self._pace(draft, lines)

    def _spare(self, draft: Draft, lines: Lines, worst: Worst, now_us: int) -> None:
        """From a soft limit on the cheapest is drawn, the others are there after a failure; and
        what can wait waits.
        """
        cheaper = False
        for budget, counter in lines.soft:
            counter.turn(now_us)
            if counter.spent < (budget.soft_micro_usd or 0):
                continue
            if budget.at_soft is AtSoft.CHEAPER:
                cheaper = True
            elif draft.asked.request.options.queue:
                raise waits(budget, counter.ends_us - now_us)
        if cheaper:
            catalog = self._narrowing.table.catalog
            costs = {catalog[i].name: worst.of(catalog[i]) for i in draft.eligible}
            least = min(costs.values())
            use = [name for name, cost in costs.items() if cost == least]
            self._narrowing.keep(draft, use, (), SPARED)

    def _scarce(self, lines: Lines, worst: Worst, now_us: int) -> bool:
        """Whether any cap might have no room for somebody: only then is each looked at."""
        return lines.room(self._dearest.names, now_us) < self._dearest.of(worst)

    def _fit(self, draft: Draft, lines: Lines | None, worst: Worst, own: int | None) -> None:
        book = self._book
        fitting, affordable, error = [], [], None
        for index in draft.eligible:
            target = self._narrowing.table.catalog[index]
            refusal = self._own(own, worst.of(target)) or _refusal(lines, book, target, worst)
            if refusal is None:
                affordable.append(index)
            elif error is None or worst.of(target) < error[0]:
                error = worst.of(target), refusal[1]
            if refusal is None or not refusal[0]:
                fitting.append(index)
        if error is not None and not affordable:
            raise error[1]
        if len(fitting) < len(draft.eligible):
            names = [self._narrowing.table.catalog[i].name for i in fitting]
            self._narrowing.keep(draft, names, (), REASON)

    def _own(self, cap: int | None, worst: int) -> tuple[bool, Exception] | None:
        if cap is None or worst <= cap:
            return None
        return True, CapabilityMissing(
            "no deployment is sure to stay within headgate.max_cost_usd for this request: its "
            "longest answer counts; give max_completion_tokens, or a greater cost",
            param="headgate",
            code="no_deployment_fits",
        )

    def _pace(self, draft: Draft, lines: Lines) -> None:
        """A dollar counts more while spend is ahead of an even pace, by the square of how far."""
        now_us, dearer = self._book.clock.wall_us(), 1.0
        for budget, counter in lines.paced:
            counter.turn(now_us)
            dearer = max(dearer, pressure(counter.ahead(budget.limit_micro_usd, now_us)))
        if dearer > 1.0:
            context = draft.asked.context
            context = replace(context, cost_dial=context.cost_dial * dearer)
            draft.asked = replace(draft.asked, context=context)


def pressure(ahead: float) -> float:
    """The factor on the price of a dollar where spend is so far ahead of its pace."""
    return min(max(ahead * ahead, 1.0), STEEPEST)


def _refusal(
    lines: Lines | None, book: Budgets, target: Deployment, worst: Worst
) -> tuple[bool, Exception] | None:
    """Why a budget has no room for a call to a deployment, and whether others are to be tried."""
    if lines is None:
        return None
    amount = worst.of(target)
    blocked: Budget | None = over(lines.requests, amount)
    if blocked is not None:
        return blocked.at_cap is AtCap.CHEAPER, over_request(blocked)
    found = book.blocked(lines.calls(target.name), amount)
    if found is None:
        return None
    return found[0].at_cap is AtCap.CHEAPER, exceeded(*found)
