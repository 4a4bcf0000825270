"""Projections: means at a mix, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.benchmarking.projecting import Mix, mix_of, projected
from experiments.benchmarking.trials import Trial, tables
from tests.experiments.benchmarking.rig import trials

WAYS = {
    "all small": {"a": {"small": 1.0}, "b": {"small": 1.0}},
    "half": {"a": {"small": 0.5, "large": 0.5}, "b": {"small": 0.5, "large": 0.5}},
}


def test_a_mix_is_of_what_was_measured_and_says_how_much_that_is() -> None:
    mix = mix_of({"a": 60.0, "b": 20.0, "z": 20.0}, ("a", "b", "c"), 2.0)
    assert mix == Mix({"a": 0.75, "b": 0.25}, 0.8, 50.0)
    assert mix_of({}, ("a",), None).weights == {}


def test_costs_are_weighed_and_compared() -> None:
    quality = {"a": {"small": 0.5, "large": 0.9}, "b": {"small": 0.5, "large": 0.9}}
    found = tables(trials(quality, 30), ("small", "large"))
    mix = mix_of({"a": 3.0, "b": 1.0}, ("a", "b"), None)
    small, half = projected(found, WAYS, mix, "all small")
    assert small.cost_usd is not None and half.against_usd is not None and half.quality is not None
    rows_a, rows_b = found.rows("a"), found.rows("b")
    want = 0.75 * found.cost_usd[rows_a, 0].mean() + 0.25 * found.cost_usd[rows_b, 0].mean()
    assert small.cost_usd.estimate == pytest.approx(want)
    assert small.against_usd is None and half.against_usd.low > 0.0
    assert 0.5 < half.quality.estimate < 0.9


def test_what_was_not_scored_is_left_out_of_quality_alone() -> None:
    made = trials({"a": {"small": 0.5, "large": 0.9}}, 10)
    made += [
        Trial(f"b-{at}", "b", arm, None, False, 1.0, None, 0.01)
        for at in range(10) for arm in ("small", "large")
    ]  # fmt: skip
    mix = mix_of({"a": 1.0, "b": 1.0}, ("a", "b"), None)
    small = projected(tables(made, ("small", "large")), WAYS, mix)[0]
    assert small.scored == 0.5 and small.quality is not None and small.cost_usd is not None


@pytest.mark.slow
def test_the_interval_of_a_cost_covers() -> None:
    """200 benchmarks of 30 prompts a task; the true cost of the half and half is known."""
    rng, missed = np.random.default_rng(3), 0
    mix = mix_of({"a": 2.0, "b": 1.0}, ("a", "b"), None)
    quality = {t: {"small": 0.5, "large": 0.5} for t in ("a", "b")}
    for _ in range(200):
        found = tables(trials(quality, 30, int(rng.integers(1 << 30))), ("small", "large"))
        told = projected(found, WAYS, mix)[1].cost_usd
        assert told is not None
        missed += not told.low <= 0.0105 <= told.high
    assert missed / 200 <= 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / 200)
