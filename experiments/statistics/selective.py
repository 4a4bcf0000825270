"""Errors of what is accepted without a person, told from labels of a few that were drawn by lot.

A classifier that asks a person where it is not sure is judged by two figures: how much it accepts
by itself (coverage) and how often that is wrong (risk), Geifman and El-Yaniv 2017. The risk is
bounded by the exact interval of Clopper and Pearson 1934 over labels that were drawn alike; for all
else a label weighs one over the probability with which it was drawn (Horvitz and Thompson 1952).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import beta

from experiments.errors import CannotSay

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Drawn:
    """A request that was drawn to be labelled: by ``lot`` below ``probability``, both in [0, 1].

    ``label``: None where nobody gave one.
    """

    guess: str
    label: str | None
    confidence: float
    probability: float
    lot: float

    @property
    def weight(self) -> float:
        """How many requests it stands for."""
        return 1.0 / self.probability

    @property
    def wrong(self) -> bool:
        """Whether it was labelled as another."""
        return self.label is not None and self.label != self.guess


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Errors among ``n`` labels that were drawn alike; ``low``, ``high``: two-sided, exact;
    ``upper``: one-sided, exact; ``upper_worst``: if every missing label were an error.
    """

    n: int
    errors: int
    missing: int
    rate: float
    low: float
    high: float
    upper: float
    upper_worst: float


@dataclass(frozen=True, slots=True)
class Point:
    """Where all from ``threshold`` on are accepted: the share accepted, and their error."""

    threshold: float
    coverage: float
    error: float
    labels: int


def upper_bound(errors: int, n: int, alpha: float = ALPHA) -> float:
    """Clopper and Pearson's one-sided upper bound of an error rate; 1 without labels."""
    return 1.0 if errors >= n else float(beta.ppf(1.0 - alpha, errors + 1, n - errors))


def lower_bound(errors: int, n: int, alpha: float = ALPHA) -> float:
    """Their one-sided lower bound; 0 without errors."""
    return 0.0 if errors == 0 else float(beta.ppf(alpha, errors, n - errors + 1))


def alike(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Those that the least of the probabilities would have drawn too: a simple random sample,
    though the share to be drawn was changed meanwhile.
    """
    least = min((each.probability for each in drawn), default=1.0)
    return [each for each in drawn if each.probability == least or each.lot < least]


def error_rate(drawn: Sequence[Drawn], alpha: float = ALPHA) -> ErrorRate | CannotSay:
    """How often what was drawn is wrong, from a sample that was drawn alike."""
    sample = alike(drawn)
    labelled = [each for each in sample if each.label is not None]
    n, errors = len(labelled), sum(each.wrong for each in labelled)
    if not n:
        return CannotSay("no label yet")
    missing = len(sample) - n
    return ErrorRate(
        n, errors, missing, errors / n, lower_bound(errors, n, alpha / 2.0),
        upper_bound(errors, n, alpha / 2.0), upper_bound(errors, n, alpha),
        upper_bound(errors + missing, n + missing, alpha),
    )  # fmt: skip


def coverage_curve(drawn: Sequence[Drawn]) -> list[Point]:
    """Risk against coverage at every confidence that occurs, the surest first; weighted."""
    labelled = [each for each in drawn if each.label is not None]
    whole = sum(each.weight for each in labelled)
    points = []
    for threshold in sorted({each.confidence for each in labelled}, reverse=True):
        kept = [each for each in labelled if each.confidence >= threshold]
        weight = sum(each.weight for each in kept)
        wrong = sum(each.weight for each in kept if each.wrong)
        points.append(Point(threshold, weight / whole, wrong / weight, len(kept)))
    return points


def calibration_error(drawn: Sequence[Drawn]) -> float | CannotSay:
    """The expected calibration error: how far, on average, the confidences are from the shares
    that were right, weighted; over ten bins of confidence (Guo and others 2017).
    """
    labelled = [each for each in drawn if each.label is not None]
    if not labelled:
        return CannotSay("no label yet")
    bins: dict[int, list[Drawn]] = {}
    for each in labelled:
        bins.setdefault(min(int(each.confidence * 10.0), 9), []).append(each)
    whole, total = sum(each.weight for each in labelled), 0.0
    for members in bins.values():
        weight = sum(each.weight for each in members)
        right = sum(each.weight for each in members if not each.wrong) / weight
        sure = sum(each.weight * each.confidence for each in members) / weight
        total += weight / whole * abs(right - sure)
    return total


def confusion(drawn: Sequence[Drawn]) -> dict[tuple[str, str], tuple[float, int]]:
    """By guess and label: how many requests that stands for, and how many labels."""
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for each in drawn:
        if each.label is not None:
            weight, n = found.get((each.guess, each.label), (0.0, 0))
            found[each.guess, each.label] = weight + each.weight, n + 1
    return dict(sorted(found.items()))
