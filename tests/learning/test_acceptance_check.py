"""A prediction is believed only where it surely beats a constant and length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.acceptance_check import Aside, Held, by_length, refit, shares
from learning.acceptance_fit import STRENGTHS
from tests.learning.test_acceptance_fit import rows

pytestmark = pytest.mark.slow

LENGTH_FIRST = ("log_tokens_in", "f1", "f2", "f3", "f4", "constant")


def test_what_is_there_is_believed_with_its_figures() -> None:
    found = refit(rows(1500), 0.7)
    assert isinstance(found, Held)
    standing, model = found.model.standing, found.model
    assert standing.brier < standing.constant_brier and standing.over_constant_high < 0.0
    assert standing.over_length_high < 0.0 and standing.auc_low > 0.5
    assert standing.over_length_auc_low > 0.0 and standing.held_out == 300
    assert model.bar == 0.7 and model.through == 1499
    assert model.tally.count.sum() == pytest.approx(1500.0) and len(STRENGTHS) > 1


def test_noise_steps_aside_and_says_why() -> None:
    noise = replace(rows(1500, sharp=0.0), x=rows(1500, seed=9).x)
    found = refit(noise, 0.7)
    assert isinstance(found, Aside) and found.standing is not None
    assert "not surely below that of the arms' shares" in found.reason
    assert found.tally.count.sum() == pytest.approx(1500.0)


def test_what_is_only_length_steps_aside() -> None:
    """All that it knows is in the length, which the baseline knows as well."""
    rng = np.random.default_rng(11)
    made = rows(1500, seed=11)
    x = made.x.copy()
    x[:, 1:-1] = rng.normal(size=x[:, 1:-1].shape)
    good = rng.random(len(made)) < 1.0 / (1.0 + np.exp(-1.5 * np.where(made.arm == 0, 1, -1)
                                                      * x[:, 0]))  # fmt: skip
    found = refit(replace(made, x=x, quality=good.astype(float), features=LENGTH_FIRST), 0.7)
    assert isinstance(found, Aside) and "length alone" in found.reason
    assert "the arms' shares" not in found.reason  # a constant it does beat


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quality": np.ones(1500)}, "of either kind are needed"),
        ({"quality": np.full(1500, np.nan)}, "not every quality is finite"),
    ],
)
def test_rows_that_cannot_be_fitted_are_told(change: dict[str, np.ndarray], said: str) -> None:
    found = refit(replace(rows(1500), **change), 0.7)  # type: ignore[arg-type]
    assert isinstance(found, Aside) and said in found.reason


def test_too_few_rows_are_told() -> None:
    found = refit(rows(100), 0.7)
    assert isinstance(found, Aside) and "at least 300" in found.reason and found.standing is None


def test_the_baselines_are_what_they_say() -> None:
    made = rows(1000)
    good = made.quality >= 0.7
    told = shares(made, 0.7)
    for arm in (0, 1):
        assert told[arm] == pytest.approx(good[made.arm == arm].mean(), abs=0.01)
    made = replace(made, features=LENGTH_FIRST)
    length = by_length(made, made, 0.7)
    assert np.corrcoef(length, np.where(made.arm == 0, 1, -1) * made.x[:, 0])[0, 1] > 0.8
