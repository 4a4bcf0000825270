"""Kappa is that of the reference, with its variance; chance alone gives none."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa as reference

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.agreement import cohens_kappa
from experiments.statistics.moments import Interval


def sorted_by_two(seed: int, n: int, agree: float) -> tuple[list[str], list[str]]:
    chance = np.random.default_rng(seed)
    one = chance.choice(["a", "b", "t"], n, p=[0.5, 0.3, 0.2])
    two = np.where(chance.random(n) < agree, one, chance.choice(["a", "b", "t"], n))
    return list(one), list(two)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_that_of_the_reference(seed: int) -> None:
    one, two = sorted_by_two(seed, 80, 0.7)
    found = cohens_kappa(one, two)
    assert isinstance(found, Interval)
    table = np.array([[sum((x, y) == (p, q) for x, y in zip(one, two, strict=True))
                       for q in "abt"] for p in "abt"])  # fmt: skip
    known = reference(table)
    assert found.estimate == pytest.approx(known.kappa, abs=1e-12)
    assert found.low == pytest.approx(known.kappa - 1.959963985 * known.std_kappa, abs=1e-8)


def test_whole_agreement_is_one_and_chance_is_none() -> None:
    one, _ = sorted_by_two(1, 60, 1.0)
    whole = cohens_kappa(one, one)
    assert isinstance(whole, Interval) and (whole.estimate, whole.high) == (1.0, 1.0)
    found = cohens_kappa(*sorted_by_two(2, 4_000, 0.0))
    assert isinstance(found, Interval) and abs(found.estimate) < 0.05


def test_the_interval_covers(seed: int = 9) -> None:
    """95 % of 300 samples of 64 items hold the true kappa of 0.7; seeded, at least 90 % here."""
    covered = 0
    for each in range(300):
        one, two = sorted_by_two(seed * 1_000 + each, 64, 0.7)
        found = cohens_kappa(one, two)
        assert isinstance(found, Interval)
        covered += found.low <= TRUE <= found.high
    assert covered / 300 >= 0.90


one, two = sorted_by_two(77, 200_000, 0.7)
_many = cohens_kappa(one, two)
assert isinstance(_many, Interval)
TRUE = _many.estimate


def test_too_little_is_said_and_unlike_lengths_are_refused() -> None:
    assert isinstance(cohens_kappa(["a"] * 5, ["a"] * 5), CannotSay)
    assert isinstance(cohens_kappa(["a"] * 30, ["a"] * 30), CannotSay)
    with pytest.raises(ExperimentError, match="lengths differ"):
        cohens_kappa(["a"] * 30, ["a"] * 29)
