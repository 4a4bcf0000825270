"""Sums agree with their parts or say by how much not, and the published product is done right."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from service.rehearsal.money import Arithmetic, Sum, charged, divided, mean_usd, month

ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-(10**9), 10**12)), max_size=40)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(rows=ROWS, off=st.integers(-5, 5))
def test_any_division_of_rows_adds_up_and_a_wrong_total_is_seen(
    rows: list[tuple[str, int]], off: int
) -> None:
    total = sum(amount for _, amount in rows)
    found = divided("by letter", total + off, rows, lambda row: row[0], lambda row: row[1])
    assert found.gap == -off
    assert set(found.parts) == {letter for letter, _ in rows}
    assert found.as_json()["gap_micro_usd"] == -off
    assert month(total) == 30 * total


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    tokens=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    price=st.tuples(st.integers(0, 4_000), st.integers(0, 4_000)),
)
def test_a_call_is_rounded_half_up_once(tokens: tuple[int, int], price: tuple[int, int]) -> None:
    exact = tokens[0] * price[0] + tokens[1] * price[1]  # of hundredths of a dollar
    found = charged(*tokens, (price[0] / 100, price[1] / 100))
    assert abs(100 * found - exact) <= 51


def test_the_published_product_is_16_500() -> None:
    published = Arithmetic()
    assert published.month_usd == 16_500 and published.said_usd == 13_200
    assert published.implied_cents == 8.8
    assert "$0.11 x 5,000 x 30 is $16,500; the published example says $13,200" in (
        published.in_words()
    )
    assert Arithmetic(said_usd=16_500).in_words().endswith("as the example says")
    assert mean_usd(0, 0) is None and mean_usd(3_000_000, 2) == 1.5
    assert Sum("empty", 0, {}).gap == 0
