"""What the formulas accept: levels, values, shares and propensities, refused by name otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.errors import ExperimentError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SUM_TOLERANCE = 1e-6  # of probabilities that have been through a file


def level(alpha: float, field: str = "alpha", below: float = 1.0) -> float:
    """A level of error strictly between 0 and ``below``."""
    if not 0.0 < alpha < below:
        raise ExperimentError(f"{field} is {alpha!r}: give a number between 0 and {below:g}")
    return float(alpha)


def positive(number: float, field: str) -> float:
    """A finite number above zero."""
    if not (np.isfinite(number) and number > 0):
        raise ExperimentError(f"{field} is {number!r}: give a finite number above 0")
    return float(number)


def finite(values: ArrayLike, field: str, dimensions: int = 1) -> Floats:
    """Finite numbers in an array of so many dimensions."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise ExperimentError(f"{field} has {array.ndim} dimensions: give an array of {dimensions}")
    if not np.isfinite(array).all():
        raise ExperimentError(f"{field} holds NaN or infinity: leave those rows out")
    return array


def within(values: Floats, field: str, low: float, high: float) -> Floats:
    """Numbers in [low, high]."""
    if values.size and (values.min() < low or values.max() > high):
        raise ExperimentError(
            f"{field} must lie in [{low:g}, {high:g}], not from {values.min():g} to "
            f"{values.max():g}: scale or mend them"
        )
    return values


def counts(values: ArrayLike, field: str) -> Ints:
    """Whole numbers of at least zero, of any shape."""
    array = np.asarray(values, dtype=np.float64)
    whole = np.nan_to_num(array, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64)
    if not np.array_equal(whole, array) or (whole < 0).any():
        raise ExperimentError(f"{field} must be counts: give whole numbers of at least 0")
    return whole


def alike(lengths: dict[str, int]) -> None:
    """All named arrays have one length."""
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ExperimentError(f"lengths differ ({told}): give one entry a row in each")


def distributions(values: ArrayLike, field: str) -> Floats:
    """Probabilities [n, K], each row summing to one."""
    array = within(finite(values, field, 2), field, 0.0, 1.0)
    wrong = np.abs(array.sum(1) - 1.0) > SUM_TOLERANCE
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ExperimentError(
            f"{field} of row {row} sums to {array[row].sum():.6g}: "
            "log the probability of every eligible arm, they sum to 1"
        )
    return array


def arms(values: ArrayLike, field: str, number: int) -> Ints:
    """Indices of arms, 0 .. number - 1, shape [n]."""
    array = counts(values, field)
    if array.ndim != 1 or (array.size and array.max() >= number):
        raise ExperimentError(f"{field} must be one arm a row: give indices below {number}")
    return array
