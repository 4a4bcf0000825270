"""Evidence is kept as a logarithm and read as an e-value, a p-value or a verdict."""

from __future__ import annotations

import math

import pytest

from experiments.errors import ExperimentError
from experiments.statistics.evidence import Evidence


def test_the_readings_agree() -> None:
    told = Evidence(math.log(40.0))
    assert told.e_value == pytest.approx(40.0) and told.p_value == pytest.approx(0.025)
    assert told.rejects(0.05) and not told.rejects(0.01)
    assert Evidence(-3.0).p_value == 1.0 and not Evidence(-3.0).rejects(0.99)


def test_it_may_be_infinite_but_not_unknown() -> None:
    assert Evidence(math.inf).e_value == math.inf and Evidence(math.inf).p_value == 0.0
    assert Evidence(2_000.0).e_value == math.inf and Evidence(-math.inf).e_value == 0.0
    with pytest.raises(ExperimentError, match="log_e is NaN"):
        Evidence(math.nan)
