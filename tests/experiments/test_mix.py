"""Parts of a change add up to it, exactly, and each cause lands in its own part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.errors import CannotSay, ExperimentError
from experiments.mix import Bill, Parts, Share, decompose

PRICES = {"weak": (1e-6, 2e-6), "strong": (5e-6, 15e-6)}


def cell(
    task: str, deployment: str, count: int, out: float = 100.0,
    prices: dict[str, tuple[float, float]] = PRICES, seed: int = 0,
) -> Share:  # fmt: skip
    """Requests with prompts and answers that vary, billed exactly by a price list."""
    rng = np.random.default_rng([seed, count])
    x, y = rng.integers(20, 400, count), rng.poisson(out, count)
    a, b = prices[deployment]
    c = a * x + b * y
    bill = Bill(*(float((u * v).sum()) for u, v in ((x, x), (x, y), (y, y), (x, c), (y, c))))
    return Share(task, deployment, count, float(c.sum()), float(x.sum()), float(y.sum()), bill)


def parts(before: list[Share], after: list[Share]) -> Parts:
    found = decompose(before, after, money=True)
    assert isinstance(found, Parts)
    whole = found.tasks + found.deployments + found.within
    assert whole == pytest.approx(found.change, abs=1e-12)
    inner = (found.prompts or 0) + (found.answers or 0) + (found.prices or 0) + (found.rest or 0)
    assert inner == pytest.approx(found.within, abs=1e-12)
    return found


BEFORE = [cell("code", "weak", 800), cell("code", "strong", 200), cell("chat", "weak", 1_000)]


def scaled(share: Share, factor: float) -> Share:
    """The same requests, so many times as often."""
    return Share(
        share.task, share.deployment, share.count * factor, share.total * factor,
        share.tokens_in * factor, share.tokens_out * factor, share.bill,
    )  # fmt: skip


def test_traffic_that_moved_to_the_strong_deployment() -> None:
    after = [scaled(BEFORE[0], 0.5), scaled(BEFORE[1], 3.0), BEFORE[2]]
    found = parts(BEFORE, after)
    assert found.deployments == pytest.approx(found.change) and found.change > 0.0
    assert found.largest[0][:2] in (("code", "strong"), ("code", "weak"))


def test_other_tasks_came() -> None:
    after = [scaled(BEFORE[0], 2.0), scaled(BEFORE[1], 2.0), BEFORE[2]]
    found = parts(BEFORE, after)
    assert found.tasks == pytest.approx(found.change) and found.change > 0.0


def test_answers_got_longer() -> None:
    after = [cell("code", "weak", 800, out=200.0), *BEFORE[1:]]
    found = parts(BEFORE, after)
    assert found.answers == pytest.approx(found.change, rel=1e-6) and found.change > 0.0
    assert found.largest[0][:2] == ("code", "weak")


def test_the_price_changed() -> None:
    dearer = {**PRICES, "strong": (5e-6, 30e-6)}
    after = [BEFORE[0], cell("code", "strong", 200, prices=dearer), BEFORE[2]]
    found = parts(BEFORE, after)
    assert found.prices == pytest.approx(found.change, rel=1e-6) and found.change > 0.0


def test_a_surcharge_that_fits_no_price_is_the_rest() -> None:
    after = [replace(BEFORE[0], total=BEFORE[0].total + 1.0), *BEFORE[1:]]
    found = parts(BEFORE, after)
    assert found.rest == pytest.approx(found.change) == pytest.approx(1.0 / 2_000)


def test_a_new_deployment_is_mix_and_nothing_within() -> None:
    after = [*BEFORE, cell("chat", "strong", 500)]
    found = parts(BEFORE, after)
    assert found.within == pytest.approx(0.0, abs=1e-15) and found.deployments > 0.0


def test_a_new_task_is_the_tasks_alone() -> None:
    found = parts(BEFORE, [*BEFORE, cell("maths", "strong", 500), cell("maths", "weak", 500)])
    assert found.tasks == pytest.approx(found.change) and found.change > 0.0


def test_prices_from_bills() -> None:
    assert cell("code", "strong", 50).bill.prices() == pytest.approx(PRICES["strong"])
    assert Bill().prices() is None
    alike = Bill(4.0, 4.0, 4.0, 8.0, 8.0)  # as many tokens out as in, at 2 together
    assert alike.prices() == (1.0, 1.0)


def test_nothing_on_one_side_and_bad_input() -> None:
    assert isinstance(decompose([], BEFORE), CannotSay)
    assert isinstance(decompose(BEFORE, [replace(BEFORE[0], count=0.0)]), CannotSay)
    with pytest.raises(ExperimentError, match="count"):
        decompose(BEFORE, [replace(BEFORE[0], count=-1.0)])


_SIDES = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 900),
        st.floats(0.0, 1e4), st.floats(0.0, 1e6), st.floats(0.0, 1e6),
    ),
    min_size=1, max_size=9,
)  # fmt: skip


Side = list[tuple[str, str, int, float, float, float]]


@settings(
    max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(_SIDES, _SIDES)
def test_the_parts_always_add_up(one: Side, two: Side) -> None:
    sides = [
        [Share(t, d, n, c, x, y, Bill(x * x, x * y, y * y, x * c, y * c)) for t, d, n, c, x, y in s]
        for s in (one, two)
    ]
    found = decompose(*sides, money=True)
    if isinstance(found, CannotSay):
        assert not all(any(each.count for each in side) for side in sides)
        return
    size = 1e-9 * (1.0 + abs(found.before) + abs(found.after))
    means = [sum(e.total for e in s if e.count) / sum(e.count for e in s) for s in sides]
    assert (found.before, found.after) == pytest.approx(tuple(means), rel=1e-9, abs=1e-9)
    assert abs(found.tasks + found.deployments + found.within - found.change) <= size
