"""The price of a dollar: nothing while there is room, as much as is needed otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from learning.interaction import Context
from learning.pacing import (
    CREDIT_REQUESTS,
    DEBT_REQUESTS,
    GREATEST_BEND,
    LEAST_CONTEXTS,
    LEAST_DIAL,
    WINDOW,
    Pacer,
    weight_of,
)


def _filled(budget: float | None, cost: float = 0.001, count: int = 50) -> Pacer:
    pacer = Pacer(budget, 2, 3)
    for _ in range(count):
        pacer.spent(0, Context(np.ones(3, np.float32), 10), cost)
    return pacer


def test_no_budget_no_price() -> None:
    assert _filled(None).solve(lambda price: 1.0) == 0.0


def test_no_price_before_there_are_contexts() -> None:
    assert _filled(0.001, count=LEAST_CONTEXTS - 1).solve(lambda price: 1.0) == 0.0


def test_the_price_meets_the_budget() -> None:
    pacer = _filled(0.001)
    price = pacer.solve(lambda price: 0.01 / (1.0 + price))
    assert 0.01 / (1.0 + price) == pytest.approx(0.001, rel=1e-3)


def test_what_cannot_be_paid_gets_the_highest_price_and_ends() -> None:
    assert np.isfinite(_filled(1e-6).solve(lambda price: 1.0))


def test_overspending_lowers_the_target() -> None:
    spend = lambda price: 0.01 / (1.0 + price)  # noqa: E731
    over, even = _filled(0.001, cost=0.005), _filled(0.001, cost=0.001)
    assert over.solve(spend) > even.solve(spend)


def test_the_window_is_bounded_and_state_returns() -> None:
    pacer = _filled(0.001, cost=0.002, count=WINDOW + 9)
    features, tokens, dials = pacer.window()
    assert features.shape == (WINDOW // 2, 3)
    assert tokens.shape == dials.shape == (WINDOW // 2,)
    other = Pacer(0.001, 2, 4)
    other.restore(pacer.arrays(), np.array([2, -1, 0, 1]), {0: 1, 1: 0})
    assert other.credit_usd == pacer.credit_usd
    assert other.window()[0][:, 1].sum() == 0.0


def test_what_is_paid_beyond_the_prediction_is_expected_of_that_arm() -> None:
    pacer, context = Pacer(0.001, 2, 3), Context(np.ones(3, np.float32), 10)
    for _ in range(400):
        pacer.spent(0, context, 0.001, 0.0008)
    assert pacer.bias == pytest.approx([1.25, 1.0], rel=0.03)


def test_debts_and_credits_are_remembered_within_bounds() -> None:
    over, under = _filled(0.001, cost=1.0, count=99), _filled(0.001, cost=0.0, count=9_999)
    assert over.credit_usd == pytest.approx(-DEBT_REQUESTS * 0.001)
    assert under.credit_usd == pytest.approx(CREDIT_REQUESTS * 0.001)
    assert over.target_usd >= (1.0 - GREATEST_BEND) * 0.001 > 0.0


def test_quality_alone_does_not_switch_a_budget_off() -> None:
    assert weight_of(0.0) == LEAST_DIAL and weight_of(1.0) == 1.0 and weight_of(10.0) == 10.0
