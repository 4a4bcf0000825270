"""A classifier that learned from labels is taken only where it is no worse, by weighted losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.errors import SnapshotSchema
from learning.interaction import Vector
from learning.labels import MOST_WEIGHT, Labels, Refused, Relearned, compare, relearn
from learning.snapshot import Frozen, freeze, thaw

TASKS = ("code", "maths", "other")


@dataclass(frozen=True)
class Table:
    """Says the task that the first feature names, with this chance."""

    right: float
    tasks: tuple[str, ...] = TASKS

    def of_features(self, x: NDArray[np.float32]) -> Vector:
        found = np.full(len(self.tasks), (1.0 - self.right) / (len(self.tasks) - 1))
        found[int(x[0])] = self.right
        return found

    def state(self) -> Frozen:
        return Frozen("table", {"right": self.right}, {})


def labels(count: int = 100, wrong: int = 0, weight: float = 1.0) -> Labels:
    """Of each task in turn; the last ``wrong`` ones are not what the features say."""
    y = np.arange(count) % 3
    x = y.astype(np.float32)[:, None].copy()
    y[count - wrong :] = (y[count - wrong :] + 1) % 3
    weights = np.ones(count)
    weights[::7] = weight
    return Labels(TASKS, x, y.astype(np.int64), weights)


class Fits:
    """A fit whose quality hangs on how many labels it has seen."""

    def __init__(self, better: bool) -> None:
        self.better, self.seen = better, list[int]()

    def __call__(self, wanted: Mapping[str, Any], known: Labels, version: str) -> Table:
        self.seen.append(len(known))
        return Table(0.9 if self.better else 0.4)


def test_a_better_one_is_taken_and_fitted_on_all_labels() -> None:
    fits = Fits(better=True)
    found = relearn(fits, {}, labels(), Table(0.6), "v")
    assert isinstance(found, Relearned) and fits.seen == [80, 100]
    assert found.compared.held_out == 20 and found.compared.high < 0.0
    assert found.compared.loss == pytest.approx(-np.log(0.9))


def test_a_worse_one_is_refused_in_words() -> None:
    found = relearn(Fits(better=False), {}, labels(), Table(0.6), "v")
    assert isinstance(found, Refused) and "surely above" in found.reason
    assert found.compared is not None and found.compared.low > 0.0


def test_one_that_is_the_same_is_no_worse_and_the_newest_fifth_decides() -> None:
    assert isinstance(relearn(Fits(better=True), {}, labels(), Table(0.9), "v"), Relearned)
    turned = relearn(Fits(better=True), {}, labels(wrong=20), Table(0.5), "v")
    assert isinstance(turned, Refused)  # what is confident and wrong on the newest is worse


def test_without_one_of_the_same_tasks_it_is_held_against_a_fit_without_labels() -> None:
    for current in (None, Table(0.99, ("code", "other"))):
        fits = Fits(better=True)
        assert isinstance(relearn(fits, {}, labels(), current, "v"), Relearned)
        assert fits.seen == [0, 80, 100]


def test_a_label_weighs_what_it_stands_for() -> None:
    held = Labels(TASKS, np.array([[0.0], [0.0]], np.float32), np.array([0, 1]),
                  np.array([1.0, 99.0]))  # fmt: skip
    found = compare(Table(0.9), Table(0.4), held)
    losses = np.array([-np.log(0.9) + np.log(0.4), -np.log(0.05) + np.log(0.3)])
    assert found.difference == pytest.approx(0.01 * losses[0] + 0.99 * losses[1])
    assert labels(weight=1_000.0).clipped.max() <= MOST_WEIGHT


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_holds_the_truth_of_weighted_draws(seed: int) -> None:
    rng, inside = np.random.default_rng(seed), 0
    for _ in range(200):
        y = rng.integers(0, 3, 1_000)
        x = np.where(rng.random(1_000) < 0.8, y, (y + 1) % 3).astype(np.float32)[:, None]
        chance = np.where(x[:, 0] == 0, 0.5, 0.1)
        kept = rng.random(1_000) < chance
        held = Labels(TASKS, x[kept], y[kept], 1.0 / chance[kept])
        truth = 0.8 * (np.log(0.6) - np.log(0.8)) + 0.2 * (np.log(0.2) - np.log(0.1))
        found = compare(Table(0.8), Table(0.6), held)
        inside += found.low <= truth <= found.high
    assert inside >= 180  # 95 % would be 190; seldom below 180


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(labels(59), "at least 60"),
     (Labels(TASKS, labels(80).x, np.zeros(80, np.int64), np.ones(80)), "one task"),
     (Labels(TASKS, labels(80).x, labels(80).y, np.zeros(80)), "above zero"),
     (Labels(TASKS, labels(80).x * np.float32("nan"), labels(80).y, np.ones(80)), "finite")],
    ids=["few", "one task", "no weight", "not finite"],
)  # fmt: skip
def test_labels_that_cannot_be_learned_from(wrong: Labels, said: str) -> None:
    found = relearn(Fits(better=True), {}, wrong, None, "v")
    assert isinstance(found, Refused) and said in found.reason


def test_labels_at_rest() -> None:
    one = labels()
    other = Labels.of(thaw(freeze(one.state())))
    assert other.tasks == one.tasks and (other.x == one.x).all() and (other.y == one.y).all()
    assert (other.weight == one.weight).all()
    with pytest.raises(SnapshotSchema, match="not of labels"):
        Labels.of(Frozen("else", {}, {}))
