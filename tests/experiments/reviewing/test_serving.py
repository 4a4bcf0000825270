"""Slow hours, fallbacks, repeats and wrong prices: found where they are, silent where not."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.reviewing import serving
from experiments.reviewing.finding import Finding, Rates, Table, discovered
from experiments.statistics.moments import Interval
from tests.experiments.reviewing.tables import RATES


def latencies(rng: np.random.Generator, factor: float = 1.0, hours: tuple[int, ...] = ()) -> Table:
    """A week of 150 requests an hour, binned; ``factor`` slower in ``hours`` of every day."""
    rows: list[tuple[int, int, int, int]] = []
    for day in range(7):
        for hour in range(24):
            seconds = rng.lognormal(0.0, 0.4, 150) * (factor if hour in hours else 1.0)
            bins, counts = np.unique(np.floor(20 * np.log(seconds)), return_counts=True)
            rows += [(day, hour, int(b), int(c)) for b, c in zip(bins, counts, strict=True)]
    day, hour, at, count = (np.array(each) for each in zip(*rows, strict=True))
    tasks = np.array(["write"] * len(rows))
    return Table({"task": tasks, "day": day, "hour": hour, "bin": at, "requests": count}, "q")


def stand(candidates: list[Finding]) -> dict[str, Finding]:
    return {each.slug: each for each in discovered(candidates)}


def test_slow_hours_are_found_with_when_and_what_waiting_cost() -> None:
    rng = np.random.default_rng(0)
    found = stand(serving.slow(latencies(rng, 3.0, (9, 10)), latencies(rng), RATES))
    assert set(found) == {"slow-write-hour-09", "slow-write-hour-10"}
    told = found["slow-write-hour-09"]
    assert "from 09:00 to 10:00 UTC" in told.words and "Worst:" in told.words
    assert isinstance(told.money, Interval) and told.money.low > 0.0
    unpriced = serving.slow(latencies(rng, 3.0, (9,)), latencies(rng), Rates())
    assert all(isinstance(each.money, CannotSay) for each in unpriced)


def test_usual_hours_are_silent_and_a_task_without_a_past_is_left_out() -> None:
    rng = np.random.default_rng(1)
    assert stand(serving.slow(latencies(rng), latencies(rng), RATES)) == {}
    assert serving.slow(latencies(rng), _empty(latencies(rng)), RATES) == []


def _empty(table: Table) -> Table:
    return Table({name: column[:0] for name, column in table.columns.items()})


def test_a_percentile_of_bins_is_right_to_five_per_cent() -> None:
    rng = np.random.default_rng(2)
    seconds = rng.lognormal(0.0, 0.5, 20_000)
    bins, counts = np.unique(np.floor(20 * np.log(seconds)), return_counts=True)
    table = Table({"bin": bins, "requests": counts})
    assert serving.percentile(table, 0.95) == pytest.approx(np.quantile(seconds, 0.95), rel=0.05)


def served(rate: float, dear: float = 2.0) -> Table:
    number, fell = 4_000.0, 4_000.0 * rate
    own = number - fell
    return Table({
        "task": np.array(["write"]), "deployment": np.array(["sage"]),
        "requests": np.array([number]), "fallbacks": np.array([fell]), "fell_n": np.array([fell]),
        "own_n": np.array([own]), "fell_cost_usd": np.array([0.001 * dear * fell]),
        "fell_cost_usd_2": np.array([2e-6 * dear**2 * fell]),
        "own_cost_usd": np.array([0.001 * own]),
        "own_cost_usd_2": np.array([2e-6 * own]), "fell_latency_s": np.array([2.0 * fell]),
        "fell_latency_s_2": np.array([5.0 * fell]), "own_latency_s": np.array([1.0 * own]),
        "own_latency_s_2": np.array([1.2 * own]),
    })  # fmt: skip


def test_frequent_fallbacks_are_found_with_their_cost() -> None:
    (found,) = stand(serving.fallbacks(served(0.1), RATES)).values()
    assert isinstance(found.money, Interval)
    assert found.money.estimate == pytest.approx(400 * (0.001 + 1.0 * 0.05 / 30.0))
    assert stand(serving.fallbacks(served(0.015), RATES)) == {}


def test_repeats_are_an_upper_bound() -> None:
    table = Table({
        "task": np.array(["write", "code"]), "requests": np.array([1_000, 1_000]),
        "repeats": np.array([80, 3]), "cost_usd": np.array([4.0, 0.1]),
    })  # fmt: skip
    (found,) = serving.cache(table)
    assert found.money == Interval(4.0, 0.0, 4.0) and "upper bound" in found.words
    assert found.evidence is None


@pytest.mark.parametrize(("paid", "word"), [(2.0, "dearer"), (0.5, "cheaper"), (1.05, "")])
def test_costs_that_are_not_foretold_are_found(paid: float, word: str) -> None:
    number = 2_000.0
    off = paid - 1.0
    table = Table({
        "task": np.array(["write"]), "deployment": np.array(["sage"]),
        "requests": np.array([number]), "foretold_usd": np.array([number]),
        "cost_usd": np.array([paid * number]), "squares": np.array([(off**2 + 0.2) * number]),
    })  # fmt: skip
    found = stand(serving.mispriced(table))
    assert bool(found) == bool(word)
    if word:
        assert word in found["mispriced-write-sage"].title
