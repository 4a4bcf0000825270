"""The chance that each arm's answer to a request will be acceptable, known before it is made."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from learning.difficulty import NAMES, Demand
from learning.errors import SnapshotSchema
from learning.interaction import Vector
from learning.quality import Rows
from learning.regression import Matrix
from learning.snapshot import Frozen

KIND = "acceptance"
ASIDE = "acceptance.aside"
LAYOUT = 1
PRIOR_SPREAD = 0.25  # of ratings around a declared quality
LEAST = 0.001  # nothing is surer than that
SATED = 30.0  # a logistic map is at its end there
PRIOR_WEIGHT = 8.0  # rated answers that a declared quality is worth
ISOTONIC, LOGISTIC = "isotonic", "logistic"  # the forms of the last map


@dataclass(frozen=True, slots=True)
class Standing:
    """A fit on the newest rows, which it had not seen, beside what it must beat.

    Brier's scores of the fit, of the arms' shares (``constant``) and of length alone, and how far
    the fit's is below each (``..._high``: the upper bound of the paired difference, one side,
    97.7 %). AUC within arms, its lower bound, and the lower bound of what it has over length's.
    """

    rows: int
    held_out: int
    brier: float
    constant_brier: float
    length_brier: float
    over_constant_high: float
    over_length_high: float
    auc: float
    auc_low: float
    length_auc: float
    over_length_auc_low: float
    ece: float
    kind: str
    calibration: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Of each arm the weight of its rated answers [K], and of those that were acceptable."""

    arms: tuple[str, ...]
    count: Vector
    accepted: Vector

    @classmethod
    def of(cls, rows: Rows, bar: float) -> Tally:
        """From rated answers; weighted as they are."""
        count, accepted = np.zeros(len(rows.arms)), np.zeros(len(rows.arms))
        np.add.at(count, rows.arm, rows.weight)
        np.add.at(accepted, rows.arm, (rows.quality >= bar) * rows.weight)
        return cls(rows.arms, count, accepted)

    def plain(self) -> dict[str, list[float]]:
        """By arm: weight and accepted weight."""
        pairs = zip(self.count.tolist(), self.accepted.tolist(), strict=True)
        return dict(zip(self.arms, map(list, pairs), strict=True))


@dataclass(frozen=True, slots=True)
class AcceptanceModel:
    """Arrays alone: a product and one map.

    ``theta`` [K, D] gives the score; ``knots`` [2, m] map it to a chance, linearly between them
    (isotonic), or are ``[[slope], [level]]`` of a logistic map. ``root`` [K, D, D]: ``|root x|`` is
    the score's posterior standard deviation (Laplace's approximation, each arm by itself, so that
    it errs on the wide side). D are the request's features with the three scores of its text
    before the constant. ``seconds``: of CPU that the fit took.
    """

    arms: tuple[str, ...]
    features: tuple[str, ...]
    bar: float
    theta: Matrix
    form: str
    knots: Matrix
    root: NDArray[np.float64]
    tally: Tally
    through: int
    standing: Standing
    seconds: float = 0.0

    def chances(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores, of any shape, to chances in (0, 1)."""
        return mapped(self.form, self.knots, score)

    def state(self) -> Frozen:
        """The model at rest."""
        about = {
            "layout": LAYOUT, "arms": list(self.arms), "features": list(self.features),
            "bar": self.bar, "form": self.form, "through": self.through,
            "standing": asdict(self.standing), "seconds": self.seconds,
        }  # fmt: skip
        arrays = {"theta": self.theta, "knots": self.knots, "root": self.root,
                  "count": self.tally.count, "accepted": self.tally.accepted}  # fmt: skip
        return Frozen(KIND, about, arrays)

    @classmethod
    def of(cls, frozen: Frozen) -> AcceptanceModel:
        """The model that was frozen; raises SnapshotSchema."""
        if frozen.kind != KIND or frozen.about.get("layout") != LAYOUT:
            raise SnapshotSchema(f"a snapshot of {frozen.kind!r} that is no acceptance model")
        about, arrays = frozen.about, frozen.arrays
        arms = tuple(about["arms"])
        return cls(
            arms, tuple(about["features"]), about["bar"], arrays["theta"], about["form"],
            arrays["knots"], arrays["root"], Tally(arms, arrays["count"], arrays["accepted"]),
            about["through"], Standing(**about["standing"]), about["seconds"],
        )  # fmt: skip


def mapped(form: str, knots: Matrix, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores to chances by the map of that form, held a little away from 0 and 1."""
    if form == ISOTONIC:
        found = np.interp(score, knots[0], knots[1])
    else:
        found = expit(knots[0, 0] * score + knots[1, 0])
    clipped: NDArray[np.float64] = np.minimum(np.maximum(found, LEAST), 1.0 - LEAST)
    return clipped


def map_of_one(form: str, knots: Matrix) -> Callable[[float], float]:
    """The same map for one score at a time: in plain numbers, which for a few is far cheaper."""
    xs: list[float] = knots[0].tolist()
    ys: list[float] = knots[-1].tolist()
    last = len(xs) - 1

    def steps(score: float) -> float:
        at = bisect_right(xs, score) - 1
        if at < 0 or at >= last:
            found = ys[max(at, 0)]
        else:
            found = ys[at] + (ys[at + 1] - ys[at]) / (xs[at + 1] - xs[at]) * (score - xs[at])
        return min(max(found, LEAST), 1.0 - LEAST)

    slope, level = xs[0], ys[0]

    def logistic(score: float) -> float:
        away = min(max(slope * score + level, -SATED), SATED)
        return min(max(1.0 / (1.0 + math.exp(-away)), LEAST), 1.0 - LEAST)

    return steps if form == ISOTONIC else logistic


def prior_chance(quality: float, bar: float) -> float:
    """What a declared mean quality says of the chance to reach the bar, before any rating."""
    return float(np.clip(ndtr((quality - bar) / PRIOR_SPREAD), 0.02, 0.98))


def joined(features: Matrix, scores: Matrix) -> Matrix:
    """Features [n, d], the constant last, with scores from 0 to 100 [n, 3] before it; [n, d + 3].

    Scores that are not known (NaN) count as the middle of those that are.
    """
    centred = scores / 100.0 - 0.5
    known = np.isfinite(centred)
    total = np.where(known, centred, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    filled = np.where(known, centred, total)
    return np.hstack([features[:, :-1], filled, features[:, -1:]])


def with_scores(names: Sequence[str]) -> tuple[str, ...]:
    """The names of the joined features."""
    return (*names[:-1], *NAMES, names[-1])


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Chances of each arm of a catalogue [K], and how unsure each is (standard deviation)."""

    chance: Vector
    deviation: Vector


class Foresight:
    """A model, or none, for the arms of a catalogue; what it does not know stands at the prior."""

    def __init__(
        self,
        arms: Mapping[str, float],
        bar: float,
        model: AcceptanceModel | None = None,
        tally: Tally | None = None,
    ) -> None:
        """``arms``: name to declared quality. ``tally``: where there is no model."""
        self.names, self.bar, self.model = tuple(arms), bar, model
        known = model.tally if model is not None else tally
        self.chance, self.weight = _from_tally(arms, bar, known)
        self._prior: list[float] = self.chance.tolist()
        self._deviation = np.sqrt(self.chance * (1.0 - self.chance) / (self.weight + 1.0))
        self._rows = self._places = np.zeros(0, dtype=np.int64)
        self._place_of: dict[int, int] = {}
        if model is None:
            return
        known_arms = [name for name in self.names if name in model.arms]
        at = [model.arms.index(name) for name in known_arms]
        fitted = [i for i, each in enumerate(at) if model.tally.count[each] >= PRIOR_WEIGHT]
        self._rows = np.array([at[i] for i in fitted], dtype=np.int64)
        self._places = np.array([self.names.index(known_arms[i]) for i in fitted], np.int64)
        self._place_of = {at: place for place, at in enumerate(self._places.tolist())}
        self._theta = np.ascontiguousarray(model.theta[self._rows])
        size = model.theta.shape[1]
        self._root = np.ascontiguousarray(model.root[self._rows]).reshape(-1, size)
        self._x = np.ones(size)
        self._chance_of = map_of_one(model.form, model.knots)
        self._all = len(self._places) == len(self.names) and bool(
            (self._places == np.arange(len(self.names))).all()
        )

    def chances(self, features: NDArray[np.floating], of_text: Demand) -> Vector:
        """The chance of each arm [K]."""
        if self.model is None:
            return self.chance
        return np.array(self.told(features, of_text))

    def told(self, features: NDArray[np.floating], of_text: Demand) -> list[float]:
        """The same as plain numbers."""
        if self.model is None:
            return self._prior.copy()
        scores: list[float] = np.dot(self._theta, self._vector(features, of_text)).tolist()
        if self._all:
            return list(map(self._chance_of, scores))
        found = self._prior.copy()
        for arm, score in zip(self._place_of, scores, strict=True):
            found[arm] = self._chance_of(score)
        return found

    def foreseen(self, features: NDArray[np.floating], of_text: Demand) -> Foreseen:
        """The same, and how unsure each is."""
        return Foreseen(self.chances(features, of_text), self.deviations(features, of_text))

    def deviations(self, features: NDArray[np.floating], of_text: Demand) -> Vector:
        """How unsure each chance is [K]: half of what the map makes of one deviation of the score
        to either side.
        """
        model = self.model
        if model is None:
            return self._deviation
        x = self._vector(features, of_text)
        score, turned = self._theta @ x, self._root @ x
        turned *= turned
        spread = np.sqrt(turned.reshape(len(score), -1).sum(1))
        both = model.chances(np.concatenate((score + spread, score - spread)))
        reach = (both[: len(score)] - both[len(score) :]) / 2.0
        if self._all:
            return reach
        deviation = self._deviation.copy()
        deviation[self._places] = reach
        return deviation

    def deviations_of(
        self, arms: Sequence[int], features: NDArray[np.floating], of_text: Demand
    ) -> list[float]:
        """The same of some arms alone, by their places."""
        if self.model is None:
            return [float(self._deviation[arm]) for arm in arms]
        x, size, found = self._vector(features, of_text), len(self._x), []
        for arm in arms:
            place = self._place_of.get(arm)
            if place is None:
                found.append(float(self._deviation[arm]))
                continue
            turned = np.dot(self._root[place * size : (place + 1) * size], x)
            score, spread = float(np.dot(self._theta[place], x)), math.sqrt(np.dot(turned, turned))
            found.append((self._chance_of(score + spread) - self._chance_of(score - spread)) / 2.0)
        return found

    def _vector(self, features: NDArray[np.floating], of_text: Demand) -> Vector:
        x, at = self._x, len(features) - 1
        x[:at] = features[:at]
        x[at] = of_text.complexity / 100.0 - 0.5
        x[at + 1] = of_text.ambiguity / 100.0 - 0.5
        x[at + 2] = of_text.difficulty / 100.0 - 0.5
        return x


def _from_tally(
    arms: Mapping[str, float], bar: float, tally: Tally | None
) -> tuple[Vector, Vector]:  # fmt: skip
    """Declared qualities as chances, drawn to what was rated; and the weight behind each."""
    chance = np.array([prior_chance(quality, bar) for quality in arms.values()])
    weight = np.full(len(chance), PRIOR_WEIGHT)
    if tally is not None:
        for at, name in enumerate(arms):
            if name in tally.arms:
                place = tally.arms.index(name)
                count, accepted = float(tally.count[place]), float(tally.accepted[place])
                chance[at] = (PRIOR_WEIGHT * chance[at] + accepted) / (PRIOR_WEIGHT + count)
                weight[at] += count
    return chance, weight


def tally_of(plain: Mapping[str, Sequence[float]]) -> Tally:
    """A tally as it was told."""
    return Tally(
        tuple(plain),
        np.array([float(each[0]) for each in plain.values()]),
        np.array([float(each[1]) for each in plain.values()]),
    )


def finite(standing: Standing) -> dict[str, Any]:
    """A standing for JSON: what cannot be told is None."""
    told = asdict(standing)
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in told.items()}
