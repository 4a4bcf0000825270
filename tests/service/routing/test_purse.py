"""What a request may spend: reserved before each call, settled after it, whatever becomes of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from service.domain.budgets import Budget, Scope
from service.domain.catalog import Price
from service.domain.chat import ChatRequest
from service.domain.clock import SystemClock
from service.domain.errors import BudgetExceeded, HeadgateError
from service.domain.periods import Period
from service.domain.records import Decision, ErrorKind, Role
from service.providers.base import ProviderFailure, Tokens
from service.routing.budgets import BudgetRules, Budgets
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.hedging import HedgeRules
from service.routing.purse import Dearest, Purse, Worst, purse_of
from service.routing.run import Run
from tests.service.routing.test_dispatch import (
    SEEING,
    SMALL,
    WIDE,
    Stage,
    fails,
    text,
)
from tests.service.routing.world import CATALOG, KEY, World, ask, deployment

DAY = Budget("day", Scope.GLOBAL, Period.DAY, hard_micro_usd=10**9)


def book_of(*budgets: Budget) -> Budgets:
    book = Budgets(SystemClock())
    book.follow(BudgetRules(budgets))
    return book


class Budgeted(Stage):
    """The stage with budgets in force."""

    def __init__(self, *budgets: Budget, hedging: bool = False, **acts: object) -> None:
        super().__init__(**acts)
        self.budgets = book_of(*budgets)
        rules = HedgeRules(frozenset({"other"})) if hedging else HedgeRules()
        bounds = Bounds((0.3, 0.2, 0.1), 0.1, 0.6, hedging=rules)
        self.dispatcher = Dispatcher(
            Means(CATALOG, {"openai": self.script}, self.world.router.alternatives,
                  self.world.fleet, self.book, SystemClock(), bounds, budgets=self.budgets)
        )  # fmt: skip

    @property
    def standing(self) -> tuple[int, int]:
        """Spent and reserved of the first budget."""
        first = self.budgets.standings()[0]
        return first.spent_micro_usd, first.reserved_micro_usd


async def test_a_call_is_reserved_before_it_and_settled_by_what_it_cost() -> None:
    stage = Budgeted(DAY, wide="hang", seeing="hang", small="hang")
    task = asyncio.create_task(stage.dispatcher.complete(stage.decision, stage.request))
    while not stage.script.calls:
        await asyncio.sleep(0)
    worst = Worst(stage.request, stage.decision.tokens_in, 1_024, 0).of(CATALOG[1])
    assert stage.standing == (0, worst) and worst > 1_024 * 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (attempt,) = stage.book.attempts
    assert stage.standing == (attempt.usage.cost_micro_usd, 0) and attempt.usage.estimated
    stage.script.acts = {}
    await stage.dispatcher.complete(stage.decision, stage.request)
    assert stage.standing == (attempt.usage.cost_micro_usd + 200, 0)


async def test_where_there_is_no_room_nothing_is_called_and_that_is_logged() -> None:
    stage = Budgeted(Budget("tight", Scope.GLOBAL, Period.DAY, hard_micro_usd=2_000))
    for way in (stage.dispatcher.complete, stage.dispatcher.open):
        with pytest.raises(BudgetExceeded, match="the budget tight of this day"):
            await way(stage.decision, stage.request)
    assert stage.script.calls == [] and stage.book.attempts == []
    assert [(o.status, o.error_kind, o.deployment) for o in stage.book.outcomes] == [
        (429, None, None)] * 2  # fmt: skip
    assert stage.standing == (0, 0)


async def test_each_further_attempt_reserves_too_and_stays_within_the_budget() -> None:
    only = Budget("only", Scope.DEPLOYMENT, Period.DAY, SEEING, 0)
    stage = Budgeted(only, wide=fails(ErrorKind.SERVER))
    await stage.dispatcher.complete(stage.decision, stage.request)
    assert stage.script.calls == [WIDE, SMALL], "whom the budget has no room for is passed over"


async def test_the_cap_that_a_request_sets_itself_holds_over_all_its_calls() -> None:
    stage = Budgeted(wide="hang")
    worst = Worst(stage.request, stage.decision.tokens_in, 1_024, 0).of(CATALOG[1])
    # `small` has the least window, so its answer cannot be as long: it fits where no other does
    for room, calls in ((worst, [WIDE, SMALL]), (worst + 100, [WIDE, SEEING])):
        options = structs.replace(stage.request.options, max_cost_usd=room / 1e6)
        stage.script.calls.clear()
        await stage.dispatcher.complete(stage.decision, _with(stage.request, options))
        assert stage.script.calls == calls
        assert stage.book.outcomes[-1].usage.cost_micro_usd <= room
    options = structs.replace(stage.request.options, max_cost_usd=(worst - 1) / 1e6)
    with pytest.raises(BudgetExceeded, match=r"headgate\.max_cost_usd"):
        await stage.dispatcher.complete(stage.decision, _with(stage.request, options))


def _with(request: ChatRequest, options: object) -> ChatRequest:
    return replace(request, options=options)  # type: ignore[arg-type]


async def test_calls_beside_the_answer_count_in_the_budgets_of_the_house_alone() -> None:
    mine = Budget("key", Scope.KEY, Period.DAY, hard_micro_usd=0)
    stage = Budgeted(DAY, mine)
    run = Run(stage.decision, stage.request, 0.0, 1e9, CATALOG[1], 1)
    await stage.dispatcher.aside(run, CATALOG[1], Role.SHADOW)
    assert stage.standing == (200, 0)
    assert [s.spent_micro_usd for s in stage.budgets.standings()[1:]] == [0] * (
        len(stage.budgets.standings()) - 1)  # fmt: skip
    full = Budgeted(Budget("house", Scope.GLOBAL, Period.DAY, hard_micro_usd=1))
    run = Run(full.decision, full.request, 0.0, 1e9, CATALOG[1], 1)
    with pytest.raises(BudgetExceeded):
        await full.dispatcher.aside(run, CATALOG[1], Role.JUDGE)
    assert full.script.calls == []


def test_the_worst_is_the_longest_answer_of_all_choices_at_list_price() -> None:
    priced = deployment("p", prices=(Price(1_000_000, 2_000_000, request_micro_usd=7),),
                        context_window=10_000)  # fmt: skip
    size = len(b'[{"role": "user", "content": "hello there"}]')
    prompt = -(-size // 3)
    assert Worst(ask(), 5, 1_000, 0).of(priced) == prompt + 2_000 + 7
    assert Worst(ask(max_tokens=50), 5, 1_000, 0).of(priced) == prompt + 100 + 7
    assert Worst(ask(max_tokens=50, n=4), 5, 1_000, 0).of(priced) == prompt + 400 + 7
    assert Worst(ask(max_tokens=99_999), 5, 1, 0).of(priced) == (
        prompt + 2 * (10_000 - prompt) + 7)  # fmt: skip
    short = deployment("s", prices=priced.prices, max_output_tokens=10)
    assert Worst(ask(), 5, 1_000, 0).of(short) == prompt + 20 + 7
    assert Worst(ask(n="many"), 500, 1_000, 0).of(priced) == 500 + 2_000 + 7


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 10**8)] * 4, st.integers(0, 500), st.integers(1, 9_000)),
             min_size=1, max_size=4),
    st.integers(0, 5_000), st.integers(1, 4), st.integers(1, 5_000), st.integers(0, 10**5),
)  # fmt: skip
def test_no_call_costs_more_than_the_dearest(
    drawn: list[tuple[int, ...]], limit: int, choices: int, reserve: int, tokens_in: int
) -> None:
    catalog = [
        deployment(f"d{i}", max_output_tokens=most, context_window=window, prices=(
            Price(a, b, c, 0, d, image_micro_usd=a % 99, mchar_micro_usd=b % 7,
                  request_micro_usd=c % 11),))
        for i, (a, b, c, d, most, window) in enumerate(drawn)
    ]  # fmt: skip
    more = {"max_tokens": limit} if limit else {}
    worst = Worst(ask(n=choices, **more), tokens_in, reserve, 0)
    bound = Dearest(catalog).of(worst)
    assert all(worst.of(each) <= bound for each in catalog)


def test_without_budgets_and_without_a_cap_there_is_no_purse() -> None:
    decision = World().router.decide(ask(), KEY)
    assert purse_of(book_of(), decision, ask()) is None and purse_of(None, decision, ask()) is None
    own = purse_of(book_of(), decision, ask(headgate={"max_cost_usd": 0.5}))
    assert isinstance(own, Purse) and own.fits(CATALOG[1])


ACTS: list[object] = ["fine", "slow", "late", "hang", *(fails(kind) for kind in (
    ErrorKind.SERVER, ErrorKind.RATE_LIMIT, ErrorKind.POLICY, ErrorKind.MALFORMED,
    ErrorKind.CONNECTION, ErrorKind.CONTEXT_LENGTH))]  # fmt: skip
STREAMS: list[list[object]] = [
    [text("a"), text("", done=True, tokens=Tokens(9, 3))], [text("a"), "hang"], ["hang"],
    [text("abcd"), ProviderFailure(ErrorKind.CUT)], [ProviderFailure(ErrorKind.SERVER)],
    [text("a", tokens=Tokens(20, 5, 10))], [],
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_becomes_of_calls_the_sum_of_attempts_is_the_total(seed: int) -> None:
    """Real dispatches, whole and streamed, hedged, failing and given up by their callers, many at
    once: outcomes are the sums of their attempts, the budget's spend is the sum of all, nothing
    stays reserved, and no call of a provider goes without its attempt.
    """
    chance, stage = random.Random(seed), Budgeted(DAY, hedging=True)
    fleet = stage.world.fleet
    for each in CATALOG:
        for _ in range(20):
            fleet.answered(each.name, fleet.began(each.name, 0.0), 0.02, 0.0)
    for _ in range(1_000):
        stage.dispatcher.hedges.spent(100)

    for streamed in (False, True):
        for _ in range(12):
            await asyncio.gather(*(_one(stage, chance, streamed) for _ in range(5)))
    paid = Counter[str]()
    for attempt in stage.book.attempts:
        paid[attempt.decision_id] += attempt.usage.cost_micro_usd
    assert len(stage.book.attempts) >= len(stage.script.calls) > 60
    for outcome in stage.book.outcomes:
        assert outcome.usage.cost_micro_usd == paid[outcome.decision_id]
    assert len({o.decision_id for o in stage.book.outcomes}) == len(stage.book.outcomes)
    assert stage.standing == (sum(paid.values()), 0)
    assert sum(o.usage.cost_micro_usd for o in stage.book.outcomes) == sum(paid.values()) > 0


async def _one(stage: Budgeted, chance: random.Random, streamed: bool) -> None:
    names, fleet = (WIDE, SEEING, SMALL), stage.world.fleet
    acts: list[object] = [*STREAMS] if streamed else ACTS
    stage.script.acts = {name: chance.choice(acts) for name in names}
    fleet.retries.follow(1.0, 1_000.0)
    for name in names:
        fleet.forgive(name)
    decision = stage.world.router.decide(stage.request, KEY)
    try:
        async with asyncio.timeout(chance.choice([0.0, 0.02, 0.2, 5.0])):
            if streamed:
                await _streamed(stage, decision, chance)
            else:
                await stage.dispatcher.complete(decision, stage.request)
    except (HeadgateError, ProviderFailure, TimeoutError):
        pass


async def _streamed(stage: Budgeted, decision: Decision, chance: random.Random) -> None:
    stream = await stage.dispatcher.open(decision, stage.request)
    try:
        async for _ in stream:
            if chance.random() < 0.1:
                break
    finally:
        await stream.close()
