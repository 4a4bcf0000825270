"""Money is whole micro-dollars; prices have their day; secrets are not shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.domain.catalog import Deployment, Price, cost_micro_usd

PRICE = Price(150_000, 600_000, 75_000)


def test_cost_is_rounded_half_up() -> None:
    assert cost_micro_usd(PRICE, 1_000_000, 1_000_000) == 750_000
    assert cost_micro_usd(Price(500_000, 0), 1, 0) == 1
    assert cost_micro_usd(Price(499_999, 0), 1, 0) == 0


def test_the_cached_part_has_its_price() -> None:
    assert cost_micro_usd(PRICE, 1_000_000, 0, 1_000_000) == 75_000
    assert cost_micro_usd(Price(150_000, 0), 1_000_000, 0, 1_000_000) == 150_000
    assert cost_micro_usd(PRICE, 10, 0, 99) == cost_micro_usd(PRICE, 10, 0, 10)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_cost_is_never_negative_and_grows(tokens_in: int, tokens_out: int, cached: int) -> None:
    cost = cost_micro_usd(PRICE, tokens_in, tokens_out, cached)
    assert 0 <= cost <= cost_micro_usd(PRICE, tokens_in + 1, tokens_out + 1, cached)


def test_the_price_of_the_day() -> None:
    prices = (Price(1, 1), Price(2, 2, from_us=100), Price(3, 3, from_us=200))
    deployment = Deployment("a", "openai", "http://x", "m", prices, api_key="sk-secret")
    assert [deployment.price_at(t).input_micro_usd_mtok for t in (0, 100, 199, 500)] == [1, 2, 2, 3]
    assert "sk-secret" not in repr(deployment)
