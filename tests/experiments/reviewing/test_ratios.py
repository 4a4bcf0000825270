"""Evidence from ratios: of mean 1 where nothing is there, and large where something is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from experiments.errors import ExperimentError
from experiments.reviewing import ratios


@pytest.mark.parametrize("degrees", [3.0, 21.0, math.inf])
def test_the_mean_of_the_e_value_is_one_under_the_null(degrees: float) -> None:
    law = stats.norm if math.isinf(degrees) else stats.t(degrees)

    def term(t: float) -> float:
        return math.exp(ratios.two_sided(t, degrees) + float(law.logpdf(t)))

    mean = integrate.quad(term, -np.inf, np.inf, limit=400)[0]
    assert mean == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("shift", [0.0, -0.5, -2.0])
def test_the_one_sided_mean_is_at_most_one_below(shift: float) -> None:
    def term(z: float) -> float:
        return math.exp(ratios.above(z)) * float(stats.norm.pdf(z - shift))

    mean = integrate.quad(term, -20, 20, limit=400)[0]
    assert mean <= 1.0 + 1e-6 and (shift < 0.0 or mean == pytest.approx(1.0, abs=1e-6))


def test_evidence_grows_with_the_ratio_and_few_degrees_are_worth_less() -> None:
    assert ratios.two_sided(8.0) > ratios.two_sided(8.0, 21.0) > ratios.two_sided(8.0, 3.0)
    assert ratios.above(5.0) > ratios.above(2.0) > ratios.above(-5.0)
    assert ratios.two_sided(-4.0) == ratios.two_sided(4.0)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ExperimentError, match="ratio"):
        ratios.above(math.nan)
    with pytest.raises(ExperimentError, match="degrees"):
        ratios.two_sided(1.0, 0.0)
