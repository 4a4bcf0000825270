"""Bad input is refused by the field's name, with the mend."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import ExperimentError
from experiments.statistics import inputs


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_levels(alpha: float) -> None:
    with pytest.raises(ExperimentError, match=r"alpha is .*: give a number between 0 and 1"):
        inputs.level(alpha)
    assert inputs.level(0.05) == 0.05


def test_arrays() -> None:
    with pytest.raises(ExperimentError, match="latency holds NaN or infinity: leave"):
        inputs.finite([1.0, float("inf")], "latency")
    with pytest.raises(ExperimentError, match="latency has 2 dimensions: give an array of 1"):
        inputs.finite([[1.0]], "latency")
    with pytest.raises(
        ExperimentError, match=r"rewards must lie in \[0, 1\], not from 0 to 2: scale"
    ):
        inputs.within(np.array([0.0, 2.0]), "rewards", 0.0, 1.0)
    with pytest.raises(ExperimentError, match=r"lengths differ \(a 1, b 2\)"):
        inputs.alike({"a": 1, "b": 2})
    for wrong in ([1.5], [-1], [float("nan")]):
        with pytest.raises(ExperimentError, match="errors must be counts"):
            inputs.counts(wrong, "errors")
    for number in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ExperimentError, match=r"best_at is .*: give a finite number above 0"):
            inputs.positive(number, "best_at")


def test_distributions_and_arms() -> None:
    with pytest.raises(ExperimentError, match=r"propensities of row 1 sums to 0.9: log the prob"):
        inputs.distributions([[0.5, 0.5], [0.5, 0.4]], "propensities")
    with pytest.raises(ExperimentError, match="drawn must be one arm a row: give indices below 2"):
        inputs.arms([0, 2], "drawn", 2)
    assert inputs.arms([0, 1], "drawn", 2).dtype == np.int64
