"""The router's look at budgets: narrowed before the draw, paced; propensities stay exact."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from service.domain.budgets import AtCap, AtSoft, Budget, Scope
from service.domain.catalog import Price
from service.domain.errors import BudgetExceeded, CapabilityMissing
from service.domain.periods import HOUR_US, Period
from service.domain.records import Role, Usage
from service.routing.budgeting import REASON, STEEPEST, pressure
from service.routing.budgets import BudgetRules, Budgets
from service.routing.router import Router
from tests.service.routing.world import CATALOG, KEY, World, ask

DEAR = replace(CATALOG[1], prices=(Price(100_000_000, 200_000_000),))
NAMES = ["small", "wide", "seeing"]


def world(*budgets: Budget) -> tuple[World, Budgets]:
    """Three deployments, of which `wide` is a hundred times as dear."""
    made = World(sticky=False)
    book = Budgets(made.clock)
    book.follow(BudgetRules(budgets, reserve_out=100))
    catalog = tuple(DEAR if each.name == "wide" else each for each in CATALOG)
    table = replace(made.router.table, catalog=catalog)
    made.router = Router(table, replace(made.router._parts, budgets=book))
    return made, book


def cap(usd: int, way: AtCap, **more: object) -> Budget:
    return Budget("b", Scope.GLOBAL, Period.DAY, hard_micro_usd=usd, at_cap=way, **more)  # type: ignore[arg-type]


def asked(made: World, **more: object):  # type: ignore[no-untyped-def]
    return made.router.decide(ask(headgate={"deployments": NAMES, **more}), KEY)


def test_what_goes_on_cheaper_draws_among_whom_the_budget_has_room_for() -> None:
    made, book = world(cap(1_000, AtCap.CHEAPER))
    seen = Counter[str]()
    for _ in range(50):
        decision = asked(made)
        out = {d.deployment: d.reason for d in decision.disqualified}
        assert out["wide"] == REASON and "wide" not in decision.candidates.names
        assert sum(decision.candidates.propensities) == pytest.approx(1.0)
        seen[decision.deployment] += 1
    assert set(seen) == {"small", "seeing"}
    book.paid(decision, "small", Role.FIRST, Usage(1, 1, 0, 990))
    with pytest.raises(BudgetExceeded, match="the budget b of this day"):
        asked(made)


def test_from_its_soft_limit_on_the_cheapest_is_drawn_and_others_follow_failures() -> None:
    made, book = world(cap(10_000, AtCap.REFUSE, soft_micro_usd=500, at_soft=AtSoft.CHEAPER))
    assert "soft_budget" not in {each.reason for each in asked(made).disqualified}
    book.paid(asked(made), "small", Role.FIRST, Usage(1, 1, 0, 500))
    decision = asked(made)
    out = {each.deployment: each.reason for each in decision.disqualified}
    assert out["wide"] == "soft_budget" and "wide" not in decision.candidates.names
    assert sum(decision.candidates.propensities) == pytest.approx(1.0)
    assert "wide" in [each.name for each in made.router.alternatives(decision)]
    made.clock.advance(86_400.0)
    assert "wide" in asked(made).candidates.names, "another day"


def test_from_its_soft_limit_on_what_can_wait_waits() -> None:
    made, book = world(cap(10_000, AtCap.REFUSE, soft_micro_usd=500, at_soft=AtSoft.QUEUE))
    assert asked(made, queue=True).deployment
    book.paid(asked(made), "small", Role.FIRST, Usage(1, 1, 0, 500))
    assert asked(made).deployment
    with pytest.raises(BudgetExceeded, match="what can wait waits") as caught:
        asked(made, queue=True)
    assert caught.value.queued and 0.0 < (caught.value.retry_after_s or 0.0) <= 86_400.0


def test_what_refuses_lets_the_draw_be_and_refuses_all_only_when_none_fits() -> None:
    made, book = world(cap(1_000, AtCap.REFUSE))
    drawn = {asked(made).deployment for _ in range(80)}
    assert "wide" in drawn, "the draw knows nothing of what fits: its log stays exact"
    book.paid(asked(made), "small", Role.FIRST, Usage(1, 1, 0, 990))
    with pytest.raises(BudgetExceeded):
        asked(made)


def test_the_cap_of_a_request_takes_out_whom_it_cannot_be_sure_of() -> None:
    made, _ = world()
    decision = asked(made, max_cost_usd=0.001)
    assert "wide" not in decision.candidates.names
    with pytest.raises(CapabilityMissing, match=r"stay within headgate\.max_cost_usd"):
        asked(made, max_cost_usd=0.0001)


def test_a_budget_of_one_request_is_looked_at_before_the_draw() -> None:
    one = Budget("one", Scope.KEY, Period.REQUEST, KEY.id, 1_000, at_cap=AtCap.CHEAPER)
    made, _ = world(one)
    assert "wide" not in asked(made).candidates.names
    made, _ = world(replace(one, hard_micro_usd=5))
    with pytest.raises(BudgetExceeded, match="the budget one gives to one") as caught:
        asked(made)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize(("ahead", "factor"), [(0.0, 1.0), (1.0, 1.0), (2.0, 4.0), (9.0, STEEPEST)])
def test_a_dollar_counts_more_by_how_far_spend_is_ahead(ahead: float, factor: float) -> None:
    assert pressure(ahead) == factor


def test_what_is_paced_weighs_cost_more_while_spend_is_ahead() -> None:
    made, book = world(cap(10**9, AtCap.PACE))
    made.clock.wall = made.clock.wall // (24 * HOUR_US) * 24 * HOUR_US + 12 * HOUR_US
    first = asked(made)
    assert first.cost_dial == 1.0
    book.paid(first, "small", Role.FIRST, Usage(1, 1, 0, 10**9 - 10**7))
    assert asked(made).cost_dial == pytest.approx(4.0, rel=0.05)


def test_no_budget_changes_nothing() -> None:
    plain, (made, _) = World(sticky=False), world()
    for _ in range(20):
        one = plain.router.decide(ask(headgate={"deployments": ["small", "seeing"]}), KEY)
        other = made.router.decide(ask(headgate={"deployments": ["small", "seeing"]}), KEY)
        assert one.candidates.propensities == other.candidates.propensities
        assert one.deployment == other.deployment
