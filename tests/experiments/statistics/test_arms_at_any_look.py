"""Two randomised arms: the interval covers at all looks together, and narrows."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import ExperimentError
from experiments.statistics.arms_at_any_look import difference
from experiments.statistics.moments import Moments


def test_it_covers_at_every_look_of_seeded_streams() -> None:
    """120 streams of 30 looks at alpha 0.1: more than 12 + 3 standard errors (10) would be a
    failure in one run of a thousand.
    """
    chance, missed = np.random.default_rng(5), 0
    for _ in range(120):
        one, two = chance.binomial(1, 0.7, 900).astype(float), chance.beta(2, 2, 300)
        for n in range(10, 301, 10):
            found = difference(Moments.of(one[: 3 * n]), Moments.of(two[:n]), 0.1)
            if not found.low <= 0.2 <= found.high:
                missed += 1
                break
    assert missed <= 22


def test_before_anything_it_is_the_whole_range_and_evidence_narrows_it() -> None:
    none = difference(Moments(), Moments(), least=-1.0)
    assert (none.low, none.estimate, none.high) == (-2.0, 0.0, 2.0)
    chance = np.random.default_rng(1)
    few, many = (
        difference(Moments.of(chance.beta(9, 1, n)), Moments.of(chance.beta(5, 5, n)))
        for n in (30, 600)
    )
    assert few.low < 0.4 < few.high and 0.3 < many.low < many.estimate < many.high < 0.5
    with pytest.raises(ExperimentError, match="least"):
        difference(Moments(), Moments(), least=1.0)
