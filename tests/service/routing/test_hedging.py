"""A hedge after the p95, within its budget; the first answer wins, the other is billed."""

from __future__ import annotations

import asyncio

import pytest

from service.domain.errors import UpstreamRefused
from service.domain.records import ErrorKind, Mode, Role
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.hedging import HedgeBudget, HedgeRules
from tests.service.routing.test_dispatch import SEEING, WIDE, Stage, fails
from tests.service.routing.world import CATALOG


def test_the_budget_is_a_share_of_what_is_spent() -> None:
    budget = HedgeBudget(0.05)
    assert not budget.affordable  # nothing earned yet
    for _ in range(400):
        budget.spent(1_000)
    hedges = 0
    while budget.affordable:
        budget.paid(1_000)
        hedges += 1
    assert hedges == 20
    for _ in range(100_000):
        budget.spent(1_000)
    assert budget.balance == 50 * 1_000  # a calm hour is not saved up for a storm


class Hedged(Stage):
    """The stage with hedging for every task, its p95 known and its budget full."""

    def __init__(self, rich: bool = True, **acts: object) -> None:
        super().__init__(**acts)
        clock = self.dispatcher.clock
        fleet, now_s = self.world.fleet, clock.monotonic_s()
        for _ in range(20):
            fleet.answered(WIDE, fleet.began(WIDE, now_s), 0.02, now_s)
        bounds = Bounds((0.5, 0.4, 0.3), 0.1, 1.0, hedging=HedgeRules(frozenset({"other"})))
        means = Means(CATALOG, {"openai": self.script}, self.world.router.alternatives, fleet,
                      self.book, clock, bounds)  # fmt: skip
        self.dispatcher = Dispatcher(means)
        if rich:
            for _ in range(1_000):
                self.dispatcher.hedges.spent(100)


async def test_the_first_answer_wins_and_the_loser_is_billed() -> None:
    stage = Hedged(wide="hang")
    _, served = await stage.dispatcher.complete(stage.decision, stage.request)
    assert (served.deployment.name, served.mode, served.attempts) == (SEEING, Mode.FALLBACK, 2)
    assert served.fallback_from == WIDE
    by_name = {a.deployment: a for a in stage.book.attempts}
    lost, won = by_name[WIDE], by_name[SEEING]
    assert (lost.error_kind, lost.role, lost.number) == (ErrorKind.CANCELLED, Role.FIRST, 1)
    assert (won.error_kind, won.role, won.number) == (None, Role.HEDGE, 2)
    assert lost.usage.cost_micro_usd > 0 and lost.usage.estimated
    (outcome,) = stage.book.outcomes
    assert outcome.usage.cost_micro_usd == lost.usage.cost_micro_usd + won.usage.cost_micro_usd
    assert [s.in_flight for s in stage.world.fleet.standings(0.0)] == [0] * len(CATALOG)


async def test_a_quick_answer_is_not_hedged_nor_one_without_money() -> None:
    quick, poor = Hedged(), Hedged(rich=False, wide="hang", seeing="hang", small="hang")
    await quick.dispatcher.complete(quick.decision, quick.request)
    assert quick.script.calls == [WIDE]
    task = asyncio.create_task(poor.dispatcher.complete(poor.decision, poor.request))
    await asyncio.sleep(0.1)
    assert poor.script.calls == [WIDE]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [a.error_kind for a in poor.book.attempts] == [ErrorKind.CANCELLED]
    assert [o.status for o in poor.book.outcomes] == [499]


async def test_a_hedge_that_fails_leaves_the_first_to_answer() -> None:
    stage = Hedged(wide="slow", seeing=fails(ErrorKind.SERVER))
    _, served = await stage.dispatcher.complete(stage.decision, stage.request)
    assert served.deployment.name == WIDE and stage.script.calls == [WIDE, SEEING]
    kinds = {a.deployment: a.error_kind for a in stage.book.attempts}
    assert kinds == {WIDE: None, SEEING: ErrorKind.SERVER}
    assert served.mode is Mode.RANDOMISED and served.fallback_from == ""
    assert stage.book.outcomes[0].mode is Mode.RANDOMISED


async def test_what_one_refuses_no_third_is_asked_for() -> None:
    stage = Hedged(wide="late", seeing=fails(ErrorKind.POLICY))
    with pytest.raises(UpstreamRefused):
        await stage.dispatcher.complete(stage.decision, stage.request)
    assert set(stage.script.calls) == {WIDE, SEEING}


async def test_when_both_fail_the_next_is_tried() -> None:
    stage = Hedged(wide="late", seeing=fails(ErrorKind.SERVER))
    _, served = await stage.dispatcher.complete(stage.decision, stage.request)
    assert served.deployment.name == "small" and len(stage.book.attempts) == 3
