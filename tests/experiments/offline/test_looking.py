"""Looks at an experiment: what the sequence and the naive test said by then."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.design import Experiment, Unit, Variant
from experiments.errors import CannotSay, ExperimentError
from experiments.metrics import Frame
from experiments.offline.looking import arrivals, first_called, looks
from experiments.statistics.moments import Interval
from experiments.statistics.sample_ratio import ALPHA

DESIGN = Experiment(
    slug="sharper", hypothesis="it is better", goals=("quality",), unit=Unit.SESSION,
    variants=(Variant("control", 0.5), Variant("sharper", 0.5, (("deployment", "fall"),))),
)  # fmt: skip


def frame(effect: float, seed: int, count: int = 1_200, kept: float = 1.0) -> Frame:
    """A row a unit, all rated; of the treatment a share is kept."""
    rng = np.random.default_rng(seed)
    treated = rng.random(count) < 0.5
    stays = ~treated | (rng.random(count) < kept)
    quality = np.clip(0.5 + effect * treated + 0.2 * rng.standard_normal(count), 0.0, 1.0)
    return {
        "unit": np.array([f"u{at}" for at in range(count)], object)[stays],
        "variant": np.where(treated, "sharper", "control").astype(object)[stays],
        "ts_us": np.arange(count, dtype=np.int64)[stays] * 1_000_000,
        "quality": quality[stays],
    }


def test_an_effect_is_found_by_both_and_by_the_sequence_later() -> None:
    found = looks(DESIGN, frame(0.15, 1), "quality", 1_000.0, 30)
    assert len(found) == 30
    assert [each.at_us for each in found] == sorted(each.at_us for each in found)
    sequence, naive = first_called(found)
    assert sequence is not None and naive is not None and naive.at_us <= sequence.at_us
    last = found[-1]
    assert sum(last.units) == 1_200
    assert isinstance(last.sequence, Interval) and isinstance(last.naive, Interval)
    assert last.sequence.low <= last.naive.low <= 0.15 <= last.naive.high <= last.sequence.high
    assert last.sequence.estimate == pytest.approx(last.naive.estimate)


def test_looking_fools_the_naive_test_and_not_the_sequence() -> None:
    """Thirty experiments with no effect, 20 looks each. The sequence's share of false alarms is at
    most 5 %, so more than 6 come less than once in 1,000 runs; the naive test's is about 20 %.
    """
    fooled = np.zeros(2)
    for seed in range(30):
        found = looks(DESIGN, frame(0.0, 100 + seed, 600), "quality", 1_000.0, 20)
        fooled += [each is not None for each in first_called(found)]
    assert fooled[0] <= 6 and fooled[1] > fooled[0], fooled


def test_before_anybody_is_measured_it_cannot_say() -> None:
    some = dict(frame(0.1, 2, 40))
    some["quality"] = np.full(len(some["unit"]), np.nan)
    found = looks(DESIGN, some, "quality", 1_000.0, 4)
    assert all(isinstance(each.sequence, CannotSay) for each in found)
    assert all(isinstance(each.naive, CannotSay) for each in found)
    assert first_called(found) == (None, None)
    assert looks(DESIGN, {name: each[:0] for name, each in some.items()}, "quality", 1_000.0) == []


def test_a_quantile_is_not_looked_at_so() -> None:
    with pytest.raises(ExperimentError, match="latency_p95 of sharper"):
        looks(DESIGN, frame(0.0, 1), "latency_p95", 1_000.0)


def test_lost_units_are_seen_in_the_order_of_their_coming() -> None:
    """A false alarm of the first comes at most once in 1,000 runs."""
    whole, lossy = (arrivals(DESIGN, frame(0.0, 3, 8_000, kept)) for kept in (1.0, 0.8))
    assert whole.found[-1].sum() == 8_000 and (np.diff(whole.at_us) > 0).all()
    assert whole.log_e.max() < -np.log(ALPHA) < lossy.log_e.max()
