"""The fit of the task classifier: scikit-learn's own, calibrated, and refused where it is worse."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from learning.taxonomies.default import signals_of
from learning.taxonomy import UNREAD, Classifier, LabelledRows, classifier_features
from learning.taxonomy_fit import (
    TOLERANCE,
    RefitRefused,
    balanced,
    calibration_error,
    checked,
    fit,
)

pytestmark = pytest.mark.slow

TASKS = ("a", "b", "c", "other")


def world(seed: int, n: int = 400, noise: float = 1.0, tasks: int = 4) -> LabelledRows:
    """Clouds around one corner a task."""
    chance = np.random.default_rng(seed)
    y = chance.integers(0, tasks, n)
    x = np.eye(4, 6)[y] * 2.0 + noise * chance.standard_normal((n, 6))
    return LabelledRows(TASKS, x.astype(np.float32), y, np.ones(n))


@pytest.mark.parametrize("tasks", [2, 4])
def test_numpy_says_what_scikit_learn_says(tasks: int) -> None:
    rows = world(1, tasks=tasks)
    made = fit(rows, "v1", strengths=(1.0,))
    theirs = LogisticRegression(C=1.0, tol=TOLERANCE, max_iter=2_000)
    theirs.fit(rows.x.astype(np.float64), rows.y, sample_weight=balanced(rows))
    ours = np.stack([made.of_features(x) for x in rows.x])
    assert made.version == "v1" and made.tasks == TASKS
    assert (ours[:, tasks:] == 0.0).all()  # of which there was no row
    # At their temperature of 1: the same probabilities.
    flat = Classifier(made.tasks, "", made.coef, made.intercept, 1.0, {})
    said = np.stack([flat.of_features(x) for x in rows.x])[:, :tasks]
    assert np.abs(said - theirs.predict_proba(rows.x.astype(np.float64))).max() < 1e-9


def test_a_fit_tells_how_much_it_saw_of_other_scripts() -> None:
    texts = ["переведи на английский", "спой мне песню", "what goes into pesto", "sing to me"] * 3
    x = np.stack([classifier_features(signals_of(text)) for text in texts])
    rows = LabelledRows(("a", "b"), x, np.array([0, 1] * 6), np.ones(12))
    assert fit(rows, strengths=(1.0,)).about[UNREAD] == 6
    english = np.arange(12)[np.arange(12) % 4 > 1]
    assert UNREAD not in fit(rows.take(english), strengths=(1.0,)).about


def test_it_is_calibrated_on_what_it_has_not_seen() -> None:
    """Seeded; the error of 4,000 rows in ten bins is below 0.05 with room."""
    made = fit(world(2, 800, noise=1.5))
    test = world(3, 4_000, noise=1.5)
    p = np.stack([made.of_features(x) for x in test.x])
    right = p.argmax(1) == test.y
    assert calibration_error(p.max(1), right, np.ones(len(right))) < 0.05
    assert made.about["ece"] < 0.08 and 0.5 < made.about["held_out_accuracy"] < 1.0


def test_rows_of_one_group_are_held_out_together() -> None:
    """Copies of a row would make a fit look sure; held out together they do not."""
    rows = world(4, 60, noise=3.0)
    at = np.repeat(np.arange(60), 8)
    alone = LabelledRows(TASKS, rows.x[at], rows.y[at], np.ones(480))
    together = LabelledRows(TASKS, rows.x[at], rows.y[at], np.ones(480), at)
    assert fit(together).about["log_loss"] > fit(alone).about["log_loss"] + 0.05


def test_a_worse_refit_is_refused_and_a_better_one_taken() -> None:
    good = fit(world(5, 1_000))
    chance = np.random.default_rng(6)
    rows = world(7, 400)
    wrong = LabelledRows(TASKS, rows.x, chance.permutation(rows.y), rows.weight)
    assert isinstance(checked(rows, good), Classifier)
    poor = Classifier(TASKS, "", -good.coef, good.intercept, 1.0, {})
    taken = checked(rows, poor, "v2")
    assert isinstance(taken, Classifier) and taken.version == "v2"
    # Labels that are noise, held against what knew the truth of half of them.
    y = np.where(np.arange(400) % 2 == 0, rows.y, wrong.y)
    sure = Classifier(TASKS, "", good.coef, good.intercept, 1.0, {})
    small = LabelledRows(TASKS, rows.x[:130], y[:130], np.ones(130))
    flat = checked(LabelledRows(TASKS, np.zeros_like(rows.x), rows.y, rows.weight), sure)
    assert isinstance(flat, Classifier | RefitRefused)
    found = checked(small, fit(LabelledRows(TASKS, rows.x, y, rows.weight)))
    assert isinstance(found, RefitRefused) and "surely above" in found.reason
    assert found.figures["refit_log_loss"] > found.figures["current_log_loss"]


def test_one_task_alone_cannot_be_fitted() -> None:
    rows = world(8, 50, tasks=1)
    with pytest.raises(ValueError, match="two tasks"):
        fit(rows)
