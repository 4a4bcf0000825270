"""What becomes of an arm whose quality changes: cut to what is new, keep the old, give it back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.drift import CLIP, Cusum
from learning.interaction import Vector
from learning.regression import Fit, Matrix, Sums, add_outer

ROWS = 64
LEAST_RATED = 30.0
KEEP = 4.0  # what is left of the old answers after an alarm, in answers
ODDS_AT_FIRST, ODDS_LEAST, ODDS_ENOUGH = -1.0, -1.0, 2.5
ODDS_PRIOR = -0.7
PATIENCE = 300.0  # answers against the old state, after which it is looked for ever less
GREATEST_TERM = 4.5


@dataclass(slots=True)
class Kept:
    """An arm's state before the change, and the log odds that it fits again."""

    gram: Matrix
    moment: Vector
    square: float
    count: float
    theta: Vector
    noise: float
    odds: float
    against: float = 0.0  # answers that spoke against it

    def least(self) -> float:
        """How low the odds may fall: what may return at any time is never ruled out, but the
        longer it stays away the less it is looked for, so that in the end looking costs nothing
        (the share falls as one over the answers spent on it).
        """
        return ODDS_LEAST - math.log1p(max(0.0, self.against - PATIENCE) / PATIENCE)

    def add(self, x: Vector, y: float, weight: float) -> None:
        """One answer more, or with a negative weight one less."""
        add_outer(self.gram, weight * x, x)
        self.moment += (weight * y) * x
        self.square += weight * y * y
        self.count += weight

    def chance(self) -> float:
        """The probability that the old state holds again."""
        return 1.0 / (1.0 + math.exp(-(self.odds + ODDS_PRIOR)))


@dataclass(frozen=True, slots=True)
class Rated:
    """A rated answer as the watch needs it: ``error`` off the prediction, ``spread`` its
    predicted standard deviation; ``trust`` in [0, 1]: how far its rating is believed.
    """

    x: Vector
    quality: float
    weight: float
    error: float
    spread: float
    at_s: float
    trust: float = 1.0


class Changes:
    """Detects a change of an arm's quality from standardised residuals, and answers it.

    On alarm the arm's sums are cut to ``KEEP`` answers' worth and the answers since the change
    are kept whole; the state before is put aside. Fresh answers
    weigh the old state against the new one (a log likelihood ratio, reflected at
    ``Kept.least``); at ``ODDS_ENOUGH`` the old one returns.
    """

    def __init__(self, arms: int, dimension: int, drift: float, threshold: float) -> None:
        self.cusum = Cusum.of(arms, drift, threshold)
        self.kept: dict[int, Kept] = {}
        self.alarms = np.zeros(arms, dtype=np.int64)
        self.cut_s = np.full(arms, -math.inf)
        self.cut = np.ones(arms)
        self.void_s = np.zeros((arms, 2))  # from when until when answers were given up for good
        self._rows = np.zeros((arms, ROWS, dimension), dtype=np.float32)
        self._values = np.zeros((arms, ROWS, 4))  # quality, weight, time, residual
        self._seen = np.zeros(arms, dtype=np.int64)

    def scale(self, factor: float) -> None:
        """Rescale after the clock moved."""
        self._values[:, :, 1] *= factor
        for kept in self.kept.values():
            kept.gram *= factor
            kept.moment *= factor
            kept.square *= factor
            kept.count *= factor

    def worth(self, at: int, at_s: float) -> float:
        """What an answer of that time still counts in the arm's sums."""
        if self.void_s[at, 0] <= at_s < self.void_s[at, 1]:
            return 0.0
        return float(self.cut[at]) if at_s < self.cut_s[at] else 1.0

    def told(
        self, at: int, x: Vector, change: tuple[float | None, float | None],
        weights: tuple[float, float], at_s: float,
    ) -> None:  # fmt: skip
        """A rating came, was revised or taken back (``change``: what it was and is, ``weights``:
        what either counts): where the answer is of before the cut, the state put aside knows it;
        where it is still among the newest answers, they do.
        """
        old, new = change
        kept = self.kept.get(at)
        if kept is not None and at_s < self.cut_s[at]:
            for value, weight in ((old, -weights[0]), (new, weights[1])):
                if value is not None:
                    kept.add(x, value, weight)
        if old is not None:
            values = self._values[at]
            for slot in np.flatnonzero((values[:, 2] == at_s) & (values[:, 0] == old)):
                values[slot, 0] = old if new is None else new
                values[slot, 1] = 0.0 if new is None else _held(values[slot, 1], weights)

    def observe(self, at: int, rated: Rated, sums: Sums, fit: Fit, discount: float) -> bool:
        """Take an answer that the sums hold already; whether the arm's sums were changed.

        A late rating of before the cut says nothing of now.
        """
        if rated.at_s < self.cut_s[at] or not rated.weight:
            return False
        if at in self.kept and self._fits_again(at, rated, sums):
            return True
        slot = self._seen[at] % ROWS
        self._rows[at, slot] = rated.x
        residual = rated.error / rated.spread * rated.trust
        self._values[at, slot] = rated.quality, rated.weight, rated.at_s, residual
        self._seen[at] += 1
        if sums.count[at] * discount < LEAST_RATED:
            return False
        side = self.cusum.push(at, residual)
        if side is None:
            return False
        self._alarm(at, self.cusum.run[at][side], sums, fit)
        return True

    def _fits_again(self, at: int, rated: Rated, sums: Sums) -> bool:
        kept = self.kept[at]
        then = rated.quality - float(kept.theta @ rated.x)
        new = min(0.5 * (rated.error / rated.spread) ** 2, GREATEST_TERM)
        old = min(0.5 * then * then / kept.noise, GREATEST_TERM)
        kept.against += rated.trust * float(old > new)
        told = rated.trust * new, rated.trust * old
        kept.odds = max(kept.least(), kept.odds + told[0] - told[1])
        if kept.odds <= ODDS_ENOUGH:
            return False
        sums.gram[at], sums.moment[at] = kept.gram, kept.moment
        sums.square[at], sums.count[at] = kept.square, kept.count
        del self.kept[at]
        self.void_s[at] = self.cut_s[at], math.nextafter(rated.at_s, math.inf)
        self._begin(at)
        return True

    def _alarm(self, at: int, run: int, sums: Sums, fit: Fit) -> None:
        count = int(min(run, ROWS, self._seen[at]))
        slots = (self._seen[at] - count + np.arange(count)) % ROWS
        slots = slots[count - _newest(self._values[at][slots, 3]) :]
        count = len(slots)
        rows = self._rows[at][slots].astype(np.float64)
        quality, weight, time_s, _ = self._values[at][slots].T
        for x, y, w in zip(rows, quality, weight, strict=True):
            sums.add(at, x, float(y), -float(w))
        if at not in self.kept:
            self.kept[at] = Kept(
                sums.gram[at].copy(), sums.moment[at].copy(), float(sums.square[at]),
                float(sums.count[at]), fit.theta[at].copy(), float(fit.noise[at]), ODDS_AT_FIRST,
            )  # fmt: skip
        newest = float(weight.max()) if count else 1.0
        factor = min(1.0, KEEP * newest / max(float(sums.count[at]), 1e-9))
        sums.scale(factor, at)
        self.cut[at] *= factor
        self.cut_s[at] = float(time_s.min()) if count else self.cut_s[at]
        for x, y, w in zip(rows, quality, weight, strict=True):
            sums.add(at, x, float(y), float(w))
        self.alarms[at] += 1
        self._begin(at)

    def _begin(self, at: int) -> None:
        self.cusum.rest(at)
        self._seen[at] = 0
        if at not in self.kept:
            self.cut[at], self.cut_s[at] = 1.0, -math.inf

    # rest -------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state at rest; kept states are stacked in the order of their arms."""
        kept = [self.kept[at] for at in sorted(self.kept)]
        dimension = self._rows.shape[2]
        return {
            "change_level": np.array(self.cusum.level), "change_run": np.array(self.cusum.run),
            "change_alarms": self.alarms, "change_cut_s": self.cut_s, "change_cut": self.cut,
            "change_void_s": self.void_s,
            "change_rows": self._rows, "change_values": self._values, "change_seen": self._seen,
            "kept_arm": np.array(sorted(self.kept), dtype=np.int64),
            "kept_gram": np.array([k.gram for k in kept]).reshape(-1, dimension, dimension),
            "kept_moment": np.array([k.moment for k in kept]).reshape(-1, dimension),
            "kept_theta": np.array([k.theta for k in kept]).reshape(-1, dimension),
            "kept_numbers": np.array(
                [(k.square, k.count, k.noise, k.odds, k.against) for k in kept]
            ).reshape(-1, 5),
        }  # fmt: skip

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], arms: Mapping[int, int],
        known: NDArray[np.int64], was: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Take a state: arm ``arms[at]`` and the features ``was`` of it as ``at`` and ``known``."""
        self.kept.clear()
        place = {int(arm): i for i, arm in enumerate(arrays["kept_arm"])}
        for at, old in arms.items():
            self.cusum.level[at] = arrays["change_level"][old].tolist()
            self.cusum.run[at] = arrays["change_run"][old].tolist()
            for mine, name in ((self.alarms, "alarms"), (self.cut_s, "cut_s"), (self.cut, "cut")):
                mine[at] = arrays[f"change_{name}"][old]
            self._seen[at] = arrays["change_seen"][old]
            self.void_s[at] = arrays["change_void_s"][old]
            self._values[at] = arrays["change_values"][old]
            self._rows[at][:, known] = arrays["change_rows"][old][:, was]
            if old not in place:
                continue
            i, dimension = place[old], self._rows.shape[2]
            square, count, noise, odds, *more = arrays["kept_numbers"][i].tolist()
            kept = Kept(
                np.zeros((dimension, dimension)), np.zeros(dimension), square, count,
                np.zeros(dimension), noise, odds, *more,
            )  # fmt: skip
            kept.gram[np.ix_(known, known)] = arrays["kept_gram"][i][np.ix_(was, was)]
            kept.moment[known] = arrays["kept_moment"][i][was]
            kept.theta[known] = arrays["kept_theta"][i][was]
            self.kept[at] = kept


def _held(weight: float, weights: tuple[float, float]) -> float:
    """What an answer weighs when the trust in its rating has changed meanwhile."""
    before, now = weights
    return weight if before in (now, 0.0) else weight * now / before


def _newest(residuals: Vector) -> int:
    """How many of the newest residuals [n] make the likeliest changed segment.

    The largest squared sum over its length: the likelihood ratio of a shift of unknown size
    (Hinkley, Biometrika 1970), within the run of the detector.
    """
    sums = np.cumsum(np.clip(residuals[::-1], -CLIP, CLIP))
    lengths = np.arange(1, len(sums) + 1)
    return int((sums * sums / lengths).argmax()) + 1 if len(sums) else 0
