"""Errors of what is accepted without a person: exact bounds, weights, and what was drawn alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from experiments.errors import CannotSay
from experiments.statistics.selective import (
    Drawn,
    ErrorRate,
    alike,
    calibration_error,
    confusion,
    coverage_curve,
    error_rate,
    lower_bound,
    upper_bound,
)


def drawn(label: str | None = "a", confidence: float = 0.9, share: float = 1.0,
          lot: float = 0.0, guess: str = "a") -> Drawn:  # fmt: skip
    return Drawn(guess, label, confidence, share, lot)


@pytest.mark.parametrize(("errors", "n"), [(0, 59), (3, 50), (17, 20), (1, 1), (0, 1)])
def test_the_bounds_solve_their_equations(errors: int, n: int) -> None:
    """Clopper and Pearson: at the bound, so few (or so many) errors have just the chance alpha."""
    high, low = upper_bound(errors, n), lower_bound(errors, n)
    if errors < n:
        assert binom.cdf(errors, n, high) == pytest.approx(0.05)
    else:
        assert high == 1.0
    if errors:
        assert binom.sf(errors - 1, n, low) == pytest.approx(0.05)
    else:
        assert low == 0.0
    assert low <= errors / n <= high


@pytest.mark.parametrize("p", [0.01, 0.05, 0.2, 0.5])
def test_the_upper_bound_covers_as_it_says(p: float) -> None:
    """Summed over all that can come, not simulated."""
    n = 40
    missed = sum(binom.pmf(k, n, p) for k in range(n + 1) if upper_bound(k, n) < p)
    assert missed <= 0.05


def test_the_rate_and_the_worst_that_missing_labels_allow() -> None:
    found = error_rate([drawn()] * 18 + [drawn("b")] * 2 + [drawn(None)] * 5)
    assert isinstance(found, ErrorRate)
    assert (found.n, found.errors, found.missing, found.rate) == (20, 2, 5, 0.1)
    assert found.low < 0.1 < found.upper < found.high < found.upper_worst
    assert found.upper_worst == upper_bound(7, 25)
    assert isinstance(error_rate([drawn(None)]), CannotSay)
    assert isinstance(error_rate([]), CannotSay)


def test_a_share_that_was_changed_leaves_a_sample_that_was_drawn_alike() -> None:
    """Errors lie with those of small lots; only the share that all had the chance of tells."""
    lots = np.linspace(0.0, 1.0, 100, endpoint=False)
    early = [drawn("b" if lot < 0.5 else "a", share=1.0, lot=lot) for lot in lots]
    later = [drawn("a", share=0.1, lot=lot) for lot in lots if lot < 0.1]
    sample = alike(early + later)
    assert len(sample) == 20 and max(each.lot for each in sample) < 0.1
    assert len(alike(early)) == 100


def test_a_label_weighs_what_it_stands_for() -> None:
    points = coverage_curve([drawn(share=0.1)] * 9 + [drawn("b", share=0.1)]
                            + [drawn("b", 0.2)] * 25 + [drawn("a", 0.2)] * 75)  # fmt: skip
    assert [(p.threshold, p.labels) for p in points] == [(0.9, 10), (0.2, 110)]
    assert (points[0].coverage, points[0].error) == (0.5, pytest.approx(0.1))
    assert (points[1].coverage, points[1].error) == (1.0, pytest.approx(0.175))
    assert coverage_curve([drawn(None)]) == []


def test_calibration_is_told_by_the_weighted_distance() -> None:
    exact = [drawn(confidence=0.75)] * 3 + [drawn("b", 0.75)]
    assert calibration_error(exact) == pytest.approx(0.0)
    off = [*exact, drawn(confidence=0.95, share=0.25)]
    assert calibration_error(off) == pytest.approx(0.5 * 0.05)
    assert calibration_error([drawn(confidence=1.0)]) == 0.0
    assert isinstance(calibration_error([]), CannotSay)


def test_confusion_counts_and_weighs() -> None:
    found = confusion([drawn(), drawn("b", share=0.5), drawn("b", share=0.25), drawn(None)])
    assert found == {("a", "a"): (1.0, 1), ("a", "b"): (6.0, 2)}
