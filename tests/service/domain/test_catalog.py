"""Money is whole micro-dollars; prices have their day; secrets are not shown."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.catalog import (
    Amounts,
    Deployment,
    Price,
    charge_micro_usd,
    cost_micro_usd,
    worst_micro_usd,
)

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


FULL = Price(
    1_000_000, 4_000_000, 100_000, 0, cache_write_micro_usd_mtok=1_250_000,
    reasoning_micro_usd_mtok=6_000_000, image_micro_usd=40_000, mchar_micro_usd=15_000_000,
    request_micro_usd=5_000, batch_ppm=500_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("used", "cost"),
    [
        (Amounts(1_000, 0), 1_000 + 5_000), (Amounts(1_000, 0, cached=400), 600 + 40 + 5_000),
        (Amounts(1_000, 0, cached=400, cache_write=600), 40 + 750 + 5_000),
        (Amounts(0, 1_000), 4_000 + 5_000),
        (Amounts(0, 1_000, reasoning=250), 3_000 + 1_500 + 5_000),
        (Amounts(0, 0, images=3), 120_000 + 5_000), (Amounts(0, 0, characters=2_000), 35_000),
        (Amounts(1_000, 1_000, batch=True), 5_000), (Amounts(1, 0, batch=True), 2_501),
    ],
)  # fmt: skip
def test_all_that_has_a_price_is_charged(used: Amounts, cost: int) -> None:
    assert charge_micro_usd(FULL, used) == cost


def test_what_has_no_price_of_its_own_is_charged_as_what_it_is_a_part_of() -> None:
    used = Amounts(1_000, 1_000, cached=300, cache_write=300, reasoning=500)
    assert charge_micro_usd(Price(1_000_000, 2_000_000), used) == 3_000


@given(
    st.tuples(*[st.integers(0, 10**7)] * 5), st.tuples(*[st.integers(0, 10**8)] * 5),
    st.integers(1, 1_000_000),
)  # fmt: skip
def test_a_charge_is_the_exact_sum_rounded_half_up_and_never_more_than_the_worst(
    amounts: tuple[int, ...], prices: tuple[int, ...], ppm: int
) -> None:
    tokens_in, tokens_out, cached, written, thought = amounts
    price = Price(prices[0], prices[1], prices[2], 0, prices[3], prices[4], batch_ppm=ppm)
    used = Amounts(tokens_in, tokens_out, cached, written, thought)
    part = min(cached, tokens_in)
    more = min(written, tokens_in - part)
    exact = Fraction(
        part * prices[2] + more * prices[3] + (tokens_in - part - more) * prices[0]
        + min(thought, tokens_out) * prices[4] + max(tokens_out - thought, 0) * prices[1], 10**6
    )  # fmt: skip
    half = Fraction(1, 2)
    assert charge_micro_usd(price, used) == floor(exact + half)
    assert charge_micro_usd(price, replace(used, batch=True)) == floor(
        exact * Fraction(ppm, 10**6) + half
    )
    assert charge_micro_usd(price, used) <= worst_micro_usd(price, used)


def test_the_price_of_the_day() -> None:
    prices = (Price(1, 1), Price(2, 2, from_us=100), Price(3, 3, from_us=200))
    deployment = Deployment("a", "openai", "http://x", "m", prices, api_key="sk-secret")
    assert [deployment.price_at(t).input_micro_usd_mtok for t in (0, 100, 199, 500)] == [1, 2, 2, 3]
    assert "sk-secret" not in repr(deployment)
