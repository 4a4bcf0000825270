"""People's labels of tasks, and whether a classifier that has learned from them is no worse."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from learning.errors import SnapshotSchema
from learning.interaction import Vector
from learning.snapshot import Frozen

KIND, REFUSED = "labels", "labels.refused"
COMPARED = "compared"  # where the snapshot of a refit tells what it was held against
HELD_OUT = 5  # the newest fifth
LEAST_LABELS = 60
LEAST_TASKS = 2
MOST_WEIGHT = 20.0  # in a fit: one label that was drawn by a small lot must not be the fit
SURE = 2.0  # standard errors
LEAST_CHANCE = 1e-6  # of the label: a classifier that rules it out pays no infinite price


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels in the order in which they were given: features [n, d], the place of the task in
    ``tasks`` [n], and how many requests each stands for [n] (one over its probability).
    """

    tasks: tuple[str, ...]
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    weight: Vector

    def __len__(self) -> int:
        return len(self.y)

    def part(self, at: slice) -> Labels:
        """Some of them."""
        return Labels(self.tasks, self.x[at], self.y[at], self.weight[at])

    @property
    def clipped(self) -> Vector:
        """The weights as a fit takes them: of mean 1, and none above ``MOST_WEIGHT``."""
        mean = float(self.weight.mean()) if len(self.weight) else 1.0
        return np.minimum(self.weight / mean, MOST_WEIGHT)

    def state(self) -> Frozen:
        """The labels at rest, for the process that fits them."""
        arrays: dict[str, NDArray[Any]] = {"x": self.x, "y": self.y, "weight": self.weight}
        return Frozen(KIND, {"tasks": list(self.tasks)}, arrays)

    @classmethod
    def of(cls, frozen: Frozen) -> Labels:
        """The labels that were frozen."""
        if frozen.kind != KIND:
            raise SnapshotSchema(f"a snapshot of {frozen.kind!r}, not of labels")
        found = frozen.arrays
        return cls(tuple(frozen.about["tasks"]), found["x"], found["y"], found["weight"])


class Classifying(Protocol):
    """A classifier: of each of its tasks the probability."""

    @property
    def tasks(self) -> tuple[str, ...]: ...

    def of_features(self, x: NDArray[np.float32]) -> Vector:
        """From the features of one request [d]; [T]."""

    def state(self) -> Frozen:
        """At rest."""


Fit = Callable[[Mapping[str, Any], Labels, str], Classifying]  # what it is to be; labels; version


@dataclass(frozen=True, slots=True)
class Compared:
    """Log losses on the labels that were held out, each weighted by what it stands for; the
    difference is the refit's less the other's, with its interval.
    """

    held_out: int
    loss: float
    before: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Relearned:
    """A refit that was no worse, fitted again on all labels."""

    classifier: Classifying
    compared: Compared


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a refit is not taken; what was compared, where it came so far."""

    reason: str
    compared: Compared | None = None


def relearn(
    fit: Fit, wanted: Mapping[str, Any], labels: Labels, current: Classifying | None, version: str
) -> Relearned | Refused:
    """A classifier that knows the labels too, or why there is none. Nothing in it is random.

    The newest fifth of the labels is held out, and a fit of the rest held against ``current`` (or,
    without one of the same tasks, against a fit without labels) there: it is refused unless its
    loss is no greater on average. ``current`` may have learned from some of them; that counts
    against the refit.
    """
    wrong = _unfit(labels)
    if wrong:
        return Refused(wrong)
    cut = len(labels) - len(labels) // HELD_OUT
    held = labels.part(slice(cut, None))
    if current is None or current.tasks != labels.tasks:
        current = fit(wanted, labels.part(slice(0, 0)), version)
    trial = fit(wanted, labels.part(slice(cut)), version)
    compared = compare(trial, current, held)
    if compared.difference > 0.0:
        sure = "surely " if compared.low > 0.0 else ""
        return Refused(
            f"on the newest {compared.held_out} labels its log loss {compared.loss:.4f} is "
            f"{sure}above {compared.before:.4f} (difference {compared.low:+.4f} to "
            f"{compared.high:+.4f})",
            compared,
        )
    return Relearned(fit(wanted, labels, version), compared)


def compare(one: Classifying, other: Classifying, held: Labels) -> Compared:
    """Paired, and weighted by what each label stands for (Horvitz and Thompson, JASA 1952; the
    error of their ratio).
    """
    losses = [_losses(each, held) for each in (one, other)]
    weight = held.weight / held.weight.sum()
    away = losses[0] - losses[1]
    mean = float(weight @ away)
    count = len(held)
    error = math.sqrt(float((weight**2 * (away - mean) ** 2).sum()) * count / max(count - 1, 1))
    return Compared(
        count, float(weight @ losses[0]), float(weight @ losses[1]), mean, mean - SURE * error,
        mean + SURE * error,
    )  # fmt: skip


def _losses(classifier: Classifying, held: Labels) -> Vector:
    place = {task: at for at, task in enumerate(classifier.tasks)}
    found = np.empty(len(held))
    for at, (x, y) in enumerate(zip(held.x, held.y, strict=True)):
        known = place.get(held.tasks[int(y)])
        chance = 0.0 if known is None else float(classifier.of_features(x)[known])
        found[at] = -math.log(max(chance, LEAST_CHANCE))
    return found


def _unfit(labels: Labels) -> str:
    if len(labels) < LEAST_LABELS:
        return f"{len(labels)} labels; at least {LEAST_LABELS} are needed"
    if len(np.unique(labels.y)) < LEAST_TASKS:
        return "all labels are of one task"
    if not (np.isfinite(labels.x).all() and np.isfinite(labels.weight).all()):
        return "not every number is finite"
    if not (labels.weight > 0.0).all():
        return "a label's weight is not above zero"
    return ""
