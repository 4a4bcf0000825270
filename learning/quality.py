"""The quality model: what each arm's answer to a request will be worth, fitted from the history."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.errors import SnapshotSchema
from learning.interaction import Vector
from learning.policies.base import Prior
from learning.regression import Matrix
from learning.snapshot import Frozen

KIND = "quality"
ROWS = "quality.rows"
REFUSED = "quality.refused"
LAYOUT = 1
BINS = 10


@dataclass(frozen=True, slots=True)
class Rows:
    """Rated answers: whose (index into ``arms``) [n], the features [n, d], how good [n], the
    weight [n], and ``order`` [n], growing with the time at which each was learned.
    """

    arms: tuple[str, ...]
    features: tuple[str, ...]
    arm: NDArray[np.int64]
    x: Matrix
    quality: Vector
    weight: Vector
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.arm)

    def take(self, at: NDArray[np.int64] | slice) -> Rows:
        """Some of the rows."""
        return Rows(
            self.arms, self.features, self.arm[at], self.x[at], self.quality[at],
            self.weight[at], self.order[at],
        )  # fmt: skip

    def state(self) -> Frozen:
        """The rows at rest, for the process that fits them."""
        about = {"arms": list(self.arms), "features": list(self.features)}
        arrays: dict[str, NDArray[Any]] = {
            "arm": self.arm, "x": self.x.astype(np.float32), "quality": self.quality,
            "weight": self.weight, "order": self.order,
        }  # fmt: skip
        return Frozen(ROWS, about, arrays)

    @classmethod
    def of(cls, frozen: Frozen) -> Rows:
        """The rows that were frozen."""
        if frozen.kind != ROWS:
            raise SnapshotSchema(f"a snapshot of {frozen.kind!r}, not of rated answers")
        found = frozen.arrays
        return cls(
            tuple(frozen.about["arms"]), tuple(frozen.about["features"]), found["arm"],
            found["x"].astype(np.float64), found["quality"], found["weight"], found["order"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """How a fit did on the newest rows, which it had not seen.

    Errors are mean squares (Brier's score where ratings are yes or no). ``means_error`` is that
    of the arms' means, ``current_error`` that of the model in use, on ``current_rows`` rows
    that were new to both (``refit_error`` is that of the new fit there); none without one.
    ``ece`` and ``raw_ece``: the expected calibration error, and the one before calibration.
    """

    rows: int
    held_out: int
    error: float
    means_error: float
    ece: float
    raw_ece: float
    alpha: float
    current_rows: int = 0
    current_error: float | None = None
    refit_error: float | None = None


@dataclass(frozen=True, slots=True)
class QualityModel:
    """Arrays alone: what it needs is a product and an interpolation.

    ``theta`` [K, d] and ``offset`` give the score; the calibration is linear between the knots
    ``score`` -> ``quality`` [m]. ``linear`` [K, d] is the plane nearest to the calibrated
    prediction over the requests it was fitted on. ``deviation`` [K] is how far an arm's rating
    lies from the prediction, ``count`` [K] the rows of each arm, ``through`` the order of the
    newest row.
    """

    arms: tuple[str, ...]
    features: tuple[str, ...]
    theta: Matrix
    offset: float
    score: Vector
    quality: Vector
    linear: Matrix
    deviation: Vector
    count: NDArray[np.int64]
    through: int
    figures: Figures

    def scores(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Before calibration; ``x`` [d] or [n, d], the answer [K] or [n, K]."""
        found: NDArray[np.float64] = x.astype(np.float64) @ self.theta.T + self.offset
        return found

    def predict(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """The expected quality in [0, 1] of each arm; ``x`` [d] or [n, d]."""
        found: NDArray[np.float64] = np.interp(self.scores(x), self.score, self.quality)
        return found

    def prior(self) -> Prior:
        """What a linear policy can be drawn towards."""
        return Prior(self.arms, self.features, self.linear)

    def state(self) -> Frozen:
        """The model at rest."""
        about = {
            "layout": LAYOUT,
            "arms": list(self.arms),
            "features": list(self.features),
            "offset": self.offset,
            "through": self.through,
            "figures": asdict(self.figures),
        }
        arrays = {
            "theta": self.theta, "score": self.score, "quality": self.quality,
            "linear": self.linear, "deviation": self.deviation, "count": self.count,
        }  # fmt: skip
        return Frozen(KIND, about, arrays)

    @classmethod
    def of(cls, frozen: Frozen) -> QualityModel:
        """The model that was frozen; raises SnapshotSchema for anything else."""
        about = frozen.about
        if frozen.kind != KIND or about.get("layout") != LAYOUT:
            raise SnapshotSchema(f"a snapshot of {frozen.kind!r}, not of this quality model")
        return cls(
            tuple(about["arms"]), tuple(about["features"]), offset=about["offset"],
            through=about["through"], figures=Figures(**about["figures"]), **frozen.arrays,
        )  # fmt: skip


def calibration_error(predicted: Vector, quality: Vector) -> float:
    """The expected calibration error over ten bins of equal count (Naeini et al., AAAI 2015)."""
    order = np.argsort(predicted, kind="stable")
    off = 0.0
    for part in np.array_split(order, min(BINS, len(order))):
        off += abs(float((predicted[part] - quality[part]).sum()))
    return off / max(1, len(order))
