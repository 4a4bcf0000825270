"""Distributions have the mean that they say, effects move it as asked, misfits are refused."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import ExperimentError
from experiments.metrics import METRICS, Kind
from experiments.offline.distributions import USUAL, effect_on, named, resampled, usual

COUNT = 200_000


@pytest.mark.parametrize(
    "name",
    ["bernoulli_0.98", "beta_4", "lognormal_1", "exponential_0.5", "geometric_0.9", "clustered_1",
     "successes_0.5"],
)  # fmt: skip
def test_the_mean_is_what_is_said(name: str) -> None:
    """200,000 seeded values: within 4 standard errors (false alarm below 0.01 % each)."""
    source = named(name)
    values, per = source.draw(np.random.default_rng(1), (COUNT,))
    assert values.shape == (COUNT,) and (per is not None) == source.clustered
    error = values.std() / np.sqrt(COUNT)
    assert abs(values.mean() - source.mean) < 4.0 * error
    assert source.bounded == (name.startswith(("bernoulli", "beta")))
    if per is not None:
        rate = 0.97 if name.startswith("successes") else 1.0
        assert per.mean() == pytest.approx(5.0 * rate, abs=0.03)


@pytest.mark.parametrize(
    ("slug", "name", "effect"),
    [("success_rate", "bernoulli_0.9", -0.05), ("quality", "bernoulli_0.8", 0.1),
     ("reward", "beta_4", -0.2), ("latency_mean", "exponential_1", 0.25)],
)  # fmt: skip
def test_an_effect_is_absolute_for_rates_and_relative_otherwise(
    slug: str, name: str, effect: float
) -> None:
    source, metric, rng = named(name), METRICS[slug], np.random.default_rng(2)
    values = effect_on(metric, source, effect).on(source.draw(rng, (COUNT,))[0], rng)
    moved = effect if metric.kind is Kind.RATE else effect * source.mean
    error = values.std() / np.sqrt(COUNT)
    assert abs(values.mean() - source.mean - moved) < 4.0 * error
    if source.bounded:
        assert values.min() >= 0.0 and values.max() <= 1.0


def test_no_effect_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    for slug, name in (("latency_mean", "lognormal_1"), ("quality", "beta_4")):
        values = named(name).draw(rng, (50,))[0]
        assert np.array_equal(effect_on(METRICS[slug], named(name), 0.0).on(values, rng), values)


def test_history_is_drawn_again() -> None:
    source = resampled(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0]))
    values, per = source.draw(np.random.default_rng(4), (1_000,))
    assert per is not None and set(zip(values, per, strict=True)) == {(1, 1), (2, 1), (4, 2)}
    assert source.clustered and not source.bounded and source.mean == pytest.approx(7 / 3)
    assert resampled(np.array([0.0, 1.0])).bounded


def test_every_metric_has_a_usual_distribution_that_fits() -> None:
    judged = {slug for slug, each in METRICS.items() if each.kind is Kind.JUDGED}
    assert set(USUAL) | judged == set(METRICS) and not set(USUAL) & judged
    for slug in judged:
        with pytest.raises(ExperimentError, match="simulate quality"):
            usual(METRICS[slug])
        with pytest.raises(ExperimentError, match="simulate quality"):
            effect_on(METRICS[slug], named("beta_4"), 0.0)
    for slug, name in USUAL.items():
        effect_on(METRICS[slug], named(name), 0.0)


@pytest.mark.parametrize(
    ("slug", "name", "effect", "told"),
    [("quality", "lognormal_1", 0.0, r"leaves \[0, 1\]"),
     ("quality", "clustered_1", 0.0, "not for"),
     ("cost_per_request", "lognormal_1", 0.0, "use clustered_S"),
     ("error_rate", "beta_4", 0.0, "is not of 0 and 1"), ("quality", "beta_4", 0.3, "leads out of"),
     ("success_rate", "bernoulli_0.9", 0.2, "from a mean of 0.9"),
     ("latency_mean", "lognormal_1", -1.0, "must be above -1"),
     ("latency_mean", "lognormal_1", float("nan"), "finite number, 0 for none")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(slug: str, name: str, effect: float, told: str) -> None:
    with pytest.raises(ExperimentError, match=told):
        effect_on(METRICS[slug], named(name), effect)


@pytest.mark.parametrize("name", ["normal_1", "bernoulli", "bernoulli_x", "", "lognormal_"])
def test_an_unknown_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(ExperimentError, match="use one of bernoulli_P, beta_A"):
        named(name)


@pytest.mark.parametrize("name", ["bernoulli_1", "bernoulli_0", "lognormal_nan", "geometric_2"])
def test_a_parameter_out_of_range(name: str) -> None:
    with pytest.raises(ExperimentError, match="give a number between 0 and"):
        named(name)


def test_too_little_history_is_refused() -> None:
    with pytest.raises(ExperimentError, match="at least 2 are needed"):
        resampled(np.ones(1))
    with pytest.raises(ExperimentError, match="one a value"):
        resampled(np.ones(3), np.ones(2))
