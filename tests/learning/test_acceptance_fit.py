"""The fit: scikit-learn's own to the last digit, calibrated, by whichever way predicts better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from learning import acceptance_fit
from learning.acceptance import Tally, mapped
from learning.acceptance_fit import AcceptanceFit, calibrate, fit
from learning.quality import Rows
from learning.quality_fit import SHARED, levels

ARMS, D = ("x", "y"), 6


def rows(n: int = 1200, seed: int = 3, sharp: float = 1.5, binary: bool = True) -> Rows:
    """Answers of two arms that good requests tell apart in opposite senses."""
    rng = np.random.default_rng(seed)
    x = np.hstack([rng.normal(size=(n, D - 1)), np.ones((n, 1))])
    arm = rng.integers(0, 2, n)
    sense = np.where(arm == 0, 1.0, -1.0)
    chance = expit(sharp * sense * x[:, 0] + 0.5 * x[:, 1])
    quality = (rng.random(n) < chance).astype(float) if binary else chance
    names = ("f0", "f1", "log_tokens_in", "f3", "f4", "constant")
    return Rows(ARMS, names, arm, x, quality, np.ones(n), np.arange(n))


def test_the_score_is_scikit_learns_logistic_regression() -> None:
    made = rows(300)
    found = acceptance_fit._logistic(made, 0.7, 0.1, rooted=True)
    scale = levels(D)
    blocks = np.zeros((len(made), 2 * D))
    for i, arm in enumerate(made.arm):
        blocks[i, arm * D : (arm + 1) * D] = made.x[i] * scale
    design = np.hstack([SHARED * made.x * scale, blocks])
    known = LogisticRegression(C=0.1, fit_intercept=False, max_iter=300, tol=1e-4)
    known.fit(design, made.quality >= 0.7)
    assert found.scores(made) == pytest.approx(known.decision_function(design), abs=1e-9)
    chance = expit(found.scores(made))
    x = made.x[made.arm == 1]
    curve = (chance * (1 - chance))[made.arm == 1]
    gram = x.T @ (x * curve[:, None]) + np.diag(10.0 / (scale**2 * (1 + SHARED**2)))
    one = made.x[0]
    assert np.square(found.root[1] @ one).sum() == pytest.approx(one @ np.linalg.solve(gram, one))


def test_the_maps_are_scikit_learns() -> None:
    rng = np.random.default_rng(7)
    score, weight = rng.normal(size=500), rng.random(500)
    good = rng.random(500) < expit(score)
    form, knots = calibrate(score, good, weight, "isotonic")
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    isotonic.fit(score, good.astype(float), sample_weight=weight)
    wanted = np.clip(isotonic.predict(score), 0.001, 0.999)
    assert mapped(form, knots, score) == pytest.approx(wanted, abs=1e-9)
    form, knots = calibrate(score, good, weight, "platt")
    platt = LogisticRegression(C=1e3).fit(score[:, None], good, sample_weight=weight)
    assert mapped(form, knots, score) == pytest.approx(
        platt.predict_proba(score[:, None])[:, 1], abs=1e-9
    )
    _, cold = calibrate(3.0 * score, good, weight, "temperature")
    _, warm = calibrate(score, good, weight, "temperature")
    assert cold[0, 0] == pytest.approx(warm[0, 0] / 3.0, rel=1e-3)


@pytest.mark.parametrize("kind", ["logistic", "quality"])
def test_either_way_finds_what_there_is(kind: str) -> None:
    made, later = rows(), rows(seed=4)
    found = fit(made, 0.7, (kind,))
    assert isinstance(found, AcceptanceFit) and found.kind == kind
    off = found.chances(later) - later.quality
    assert (off**2).mean() < 0.19 and abs(off.mean()) < 0.04
    assert later.quality.var() > 0.24


def test_ratings_that_are_no_yes_or_no_tell_more_by_the_quality() -> None:
    made = rows(sharp=0.6, binary=False)
    assert fit(made, 0.7).kind in acceptance_fit.KINDS
    assert Tally.of(made, 0.7).accepted.sum() == pytest.approx((made.quality >= 0.7).sum())


def test_equal_rows_give_an_equal_fit() -> None:
    one, two = fit(rows(400), 0.7), fit(rows(400), 0.7)
    assert one.scored.theta.tobytes() == two.scored.theta.tobytes()
    assert one.knots.tobytes() == two.knots.tobytes()
