"""Did the draws follow the shares that were meant, and the propensities that were logged?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.errors import ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import (
    Floats,
    alike,
    arms,
    counts,
    distributions,
    finite,
    positive,
)

ALPHA = 0.001  # a mismatch voids an experiment: alarm rarely
CONCENTRATION = 500.0
LEAN = 100.0  # draws of each arm that the forecast of its excess leans on
TEMPERS = (0.5, 0.8, 0.9, 1.1, 1.25, 2.0)  # below 1: reality is flatter than the log
TILTS = (1.0 / 1.25, 1.0 / 1.1, 1.1, 1.25)  # one arm's probability times this
TILT_WEIGHTS = (1 / 16, 7 / 16, 7 / 16, 1 / 16)  # the small ones need every nat
KIND_WEIGHTS = (1 / 6, 1 / 6, 2 / 3)  # of the forecasts by excess, temper and tilt
UNTILTED = (0.0,) * len(TILTS)
EARLY, EARLY_WEIGHT = 8, 0.1  # so many arms weigh alike, and leave a fifth to later ones
ROOM = 4.0  # of the later arms' weights: greater is flatter over more arms


def log_evidence(
    found: ArrayLike, shares: ArrayLike, concentration: float = CONCENTRATION
) -> Floats:
    """The logarithm of the multinomial e-process of counts [..., K] against shares [K].

    Lindon and Malek (NeurIPS 2022, arXiv 2011.03567): the Dirichlet mixture around the shares,
    ``concentration`` its weight. A greater one finds small deviations sooner, late.
    """
    n = counts(found, "found").astype(np.float64)
    p = finite(shares, "shares")
    if n.shape[-1:] != p.shape or abs(p.sum() - 1.0) > 1e-9 or p.min() <= 0.0:
        raise ExperimentError(
            f"shares {p.tolist()} do not fit counts of {n.shape[-1:]} variants: "
            "give one share above 0 for each, they sum to 1"
        )
    prior = positive(concentration, "concentration") * p
    total = special.gammaln(concentration) - special.gammaln(concentration + n.sum(-1))
    parts = special.gammaln(prior + n) - special.gammaln(prior) - n * np.log(p)
    told: Floats = total + parts.sum(-1)
    return told


def sample_ratio(found: ArrayLike, shares: ArrayLike) -> Evidence:
    """Evidence that units were not assigned by the shares [K], from their counts [K].

    At any look; ``rejects(ALPHA)`` is the usual alarm. Count units, not requests: those of one
    unit fall to one variant together.
    """
    return Evidence(float(log_evidence(finite(found, "found"), shares)))


@dataclass(frozen=True, slots=True)
class PropensityCalibration:
    """Do logged propensities match the draws? The sums of the test, which take rows in order.

    The product form of the multinomial e-process for probabilities that change with every
    decision: E = prod m_t(A_t) / e_t(A_t), where the forecast m_t is a distribution that only
    looks back, so that E is a martingale if A_t is drawn from e_t. Three kinds of forecast are
    averaged (``KIND_WEIGHTS``): the log's probabilities times each arm's excess so far (drawn
    over expected, leaning on ``LEAN`` draws); the log's probabilities tempered (powers
    ``TEMPERS``), which finds what is too sharp or too flat though each arm's total is right; and
    the log's with one arm's tilted (times one of ``TILTS``, renormalised), each of which pays for
    its weight alone and not for the search for the size, so that a small error of one arm is found
    nearly as soon as by a test that knows it. ``log_tilted``: sums [K][tilts].
    """

    drawn: tuple[float, ...]
    expected: tuple[float, ...]
    log_excess: float = 0.0
    log_tempered: tuple[float, ...] = (0.0,) * len(TEMPERS)
    log_tilted: tuple[tuple[float, ...], ...] = ()
    peak: float = 0.0

    def __post_init__(self) -> None:
        if not self.log_tilted:  # sums from before there were any: their bets begin here
            object.__setattr__(self, "log_tilted", (UNTILTED,) * len(self.drawn))

    @classmethod
    def of(cls, number: int) -> PropensityCalibration:
        """Before any row, for so many arms."""
        if number < 2:
            raise ExperimentError(f"number of arms is {number}: give at least 2")
        return cls((0.0,) * number, (0.0,) * number)

    def widened(self, number: int) -> PropensityCalibration:
        """With room for arms that come later, up to so many; theirs are the last columns.

        A new arm begins with zero sums, as if it had always been there and never eligible: its
        excess is LEAN / LEAN = 1, a probability of 0 adds nothing to any forecast's sum, and its
        tilts have been worth 1 all along, in the part of the weight that `arm_weights` keeps for
        arms to come. So every forecast so far stays what it was, those to come look back only,
        and E stays a martingale.
        """
        more = number - len(self.drawn)
        if more < 0:
            raise ExperimentError(
                f"number of arms is {number}: give at least the {len(self.drawn)} there are"
            )
        none = (0.0,) * more
        return replace(
            self,
            drawn=self.drawn + none,
            expected=self.expected + none,
            log_tilted=self.log_tilted + (UNTILTED,) * more,
        )

    def add(self, propensities: ArrayLike, drawn: ArrayLike) -> PropensityCalibration:
        """With rows in their order: propensities [n, K] (0: not eligible), drawn arms [n]."""
        e = distributions(propensities, "propensities")
        number = len(self.drawn)
        arm = arms(drawn, "drawn", number)
        alike({"propensities": len(e), "drawn": len(arm)})
        if e.shape[1] != number:
            raise ExperimentError(f"propensities have {e.shape[1]} arms: give {number} columns")
        if not len(e):
            return self
        rows = np.arange(len(e))
        hits = np.zeros_like(e)
        hits[rows, arm] = 1.0
        seen, due = np.cumsum(hits, 0) + self.drawn, np.cumsum(e, 0) + self.expected
        excess = (LEAN + seen - hits) / (LEAN + due - e)
        excess_path = self.log_excess + np.cumsum(
            np.log(excess[rows, arm]) - np.log((e * excess).sum(1))
        )
        tempered = [_tempered(e, arm, power) for power in TEMPERS]
        paths = np.array(self.log_tempered)[:, None] + np.cumsum(tempered, 1)
        tilted = np.array(self.log_tilted) + np.cumsum(_tilted(e, hits), 0)
        impossible = e[rows, arm] <= 0.0  # what the log rules out refutes it outright
        mixed = _mixed(excess_path, paths, tilted)
        path = np.where(np.cumsum(impossible) > 0, np.inf, mixed)
        return PropensityCalibration(
            tuple(seen[-1].tolist()),
            tuple(due[-1].tolist()),
            float(excess_path[-1]),
            tuple(paths[:, -1].tolist()),
            tuple(tuple(each) for each in tilted[-1].tolist()),
            max(self.peak, float(path.max())),
        )

    @property
    def evidence(self) -> Evidence:
        """The greatest evidence at any row so far: an alarm stays."""
        return Evidence(self.peak)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of each arm, how often it was drawn over how often the log says; NaN if never."""
        return tuple(
            seen / due if due > 0 else math.nan
            for seen, due in zip(self.drawn, self.expected, strict=True)
        )


def _tempered(e: Floats, arm: np.ndarray, power: float) -> Floats:
    chance = np.maximum(e[np.arange(len(e)), arm], np.finfo(np.float64).tiny)
    told: Floats = (power - 1.0) * np.log(chance) - np.log((e**power).sum(1))
    return told


def _tilted(e: Floats, hits: Floats) -> Floats:
    """The logarithm of forecast over log at the drawn arm, [n, K, tilts].

    Tilted by f, the arm's probability e becomes f e / (1 + (f - 1) e), and the others' are divided
    by the same sum.
    """
    told = np.empty((*e.shape, len(TILTS)))
    for place, factor in enumerate(TILTS):
        told[..., place] = math.log(factor) * hits - np.log1p((factor - 1.0) * e)
    return told


def arm_weights(number: int) -> Floats:
    """Weights [K] of the arms' tilts in the order of their coming, never changed by a later one.

    The first ``EARLY`` weigh alike. The later have what these leave, by ROOM / (m (m + 1)) for
    m = ROOM, ROOM + 1, ..., which sums to 1 over arms without end.
    """
    place = ROOM + np.arange(max(number - EARLY, 0))
    later = (1.0 - EARLY * EARLY_WEIGHT) * ROOM / (place * (place + 1.0))
    return np.concatenate([np.full(min(number, EARLY), EARLY_WEIGHT), later])


def _mixed(excess: Floats, tempered: Floats, tilted: Floats) -> Floats:
    """The logarithm of E after each row [n]: of paths [n], [tempers, n] and [n, K, tilts]."""
    arms_weigh = arm_weights(tilted.shape[1])
    weights, kept = np.outer(arms_weigh, TILT_WEIGHTS).ravel(), 1.0 - arms_weigh.sum()
    flat = tilted.reshape(len(tilted), -1)
    top = np.maximum.reduce([excess, tempered.max(0), flat.max(1), np.zeros(len(excess))])
    values = (
        np.exp(excess - top),
        np.exp(tempered - top).mean(0),
        np.exp(flat - top[:, None]) @ weights + kept * np.exp(-top),
    )
    mixed: Floats = top + np.log(np.tensordot(KIND_WEIGHTS, values, 1))
    return mixed
