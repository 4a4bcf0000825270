"""What an experiment needs, by what is told or by what history shows, is what simulations need."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.metrics import METRICS
from experiments.offline.calibration import Plan, simulate
from experiments.offline.distributions import named
from experiments.offline.sizing import (
    Asked,
    Known,
    learned,
    need,
    quantile_factor,
    shown_by,
)
from experiments.statistics.fixed_horizon import Sums
from experiments.statistics.power import (
    Comparison,
    Sizes,
    Traffic,
    sizes_for,
    sizes_for_proportions,
)

RATE, MEAN, TAIL = METRICS["success_rate"], METRICS["latency_mean"], METRICS["latency_p95"]
TAIL_SD = math.sqrt(0.95 * 0.05) / stats.lognorm.pdf(stats.lognorm.ppf(0.95, 1.0), 1.0)
TAIL_KNOWN = Known(float(stats.lognorm.ppf(0.95, 1.0)), float(TAIL_SD))


def test_sizes_are_those_of_the_formulas() -> None:
    once = need(RATE, Known(0.8), Asked(0.05), None, sequential=False)
    assert once.sizes == sizes_for_proportions(0.8, 0.85, Comparison())
    assert once.days is None and "not known" in once.wait
    clustered = need(RATE, Known(0.8, 0.6), Asked(0.05), None, sequential=False)
    assert clustered.sizes == sizes_for(0.05, 0.6, Comparison())
    along = need(MEAN, Known(2.0, 3.0), Asked(-0.1, treatment_share=0.2), None, sequential=True)
    assert along.sizes == sizes_for(-0.2, 3.0, Comparison(0.05, 0.8, 0.2, sequential=True))


def test_days_by_the_traffic_and_the_least_effect_of_weeks() -> None:
    traffic = Traffic(500, exposed=0.5, measured=0.4)
    told = need(RATE, Known(0.8), Asked(0.05), traffic, sequential=False)
    assert told.days == pytest.approx(2 * 906 / 100)
    never = need(RATE, Known(0.8), Asked(0.05), Traffic(0), sequential=True)
    assert never.days is None and "never ends" in never.wait
    assert shown_by(RATE, Known(0.8), Asked(0.05), Traffic(0), True) == {1: None, 2: None, 4: None}
    shown = shown_by(MEAN, Known(2.0, 3.0), Asked(0.1), traffic, sequential=False)
    for weeks, effect in shown.items():
        assert effect is not None
        back = need(MEAN, Known(2.0, 3.0), Asked(effect), traffic, sequential=False)
        assert back.sizes.total == pytest.approx(700 * weeks, abs=2)
    along = shown_by(MEAN, Known(2.0, 3.0), Asked(0.1), traffic, sequential=True)
    assert along[1] is not None and shown[1] is not None
    assert along[1] / shown[1] == pytest.approx(1.5486, abs=1e-3)


def test_a_quantile_is_found_by_the_size_that_is_named() -> None:
    """300 seeded runs at the planned size: found in 80 % or more less 3 deviations (7 points)."""
    sizes = need(TAIL, TAIL_KNOWN, Asked(0.3), None, sequential=True).sizes
    plan = Plan(0.3, looks=20, sims=300, units=math.ceil(sizes.treatment / 20) * 20)
    assert simulate(TAIL, plan, named("lognormal_1"))["quantile_sequence"].share > 0.73


def test_the_price_of_looking_at_quantiles_is_that_of_the_test() -> None:
    """In the normal limit: at the factor's z the evidence of both arms is log(1 / alpha)."""
    n = 5_000
    z = quantile_factor(Sizes(n, n), 0.05) * stats.norm.ppf(0.975)
    assert z**2 / 2.0 - math.log1p(n / 20.0) == pytest.approx(math.log(20.0))
    shown = shown_by(TAIL, TAIL_KNOWN, Asked(0.3), Traffic(1_000), sequential=True)[1]
    fixed = shown_by(TAIL, TAIL_KNOWN, Asked(0.3), Traffic(1_000), sequential=False)[1]
    assert shown is not None and fixed is not None
    assert shown / fixed == pytest.approx(quantile_factor(Sizes(3_500, 3_500), 0.05))


def frame(rows: int = 4_000) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Rows of some 800 units over 8 days; two in ten without an outcome."""
    rng = np.random.default_rng(0)
    units = rng.integers(0, 800, rows)
    status = np.where(rng.random(rows) < 0.9, 200.0, 503.0)
    status[rng.random(rows) < 0.2] = np.nan
    level = np.exp(0.5 * np.random.default_rng(1).standard_normal(800))[units]
    made = {"status": status, "latency_s": level * rng.lognormal(0.0, 0.5, rows),
            "cost_micro_usd": 100.0 * level}  # fmt: skip
    return made, units, np.linspace(0.0, 8 * 86_400.0, rows)


def test_history_tells_the_baseline_the_deviation_and_the_traffic() -> None:
    made, units, at_s = frame()
    found = learned(MEAN, made, units, at_s)
    assert not isinstance(found, CannotSay)
    sums = Sums.by_unit(units, made["latency_s"], np.ones(len(units)))
    assert found.known.baseline == pytest.approx(made["latency_s"].mean())
    assert found.known.sd == pytest.approx(math.sqrt(sums.linearised().variance))
    assert found.known.sd > made["latency_s"].std() / math.sqrt(5.0), "units' rows are alike"
    assert found.units == len(np.unique(units)) and found.measured == 1.0
    assert found.units_a_day == pytest.approx(found.units / 8.0) and found.span_days == 8.0
    rate = learned(RATE, made, units, at_s)
    assert not isinstance(rate, CannotSay)
    assert rate.known.baseline == pytest.approx(np.nanmean(made["status"] == 200.0) / 0.8, abs=0.02)
    tail = learned(TAIL, made, units, at_s)
    assert not isinstance(tail, CannotSay) and tail.units_a_day == 500.0


def test_the_deviation_of_a_quantile_is_the_densitys() -> None:
    """Of 50,000 seeded lognormal values within a tenth."""
    values = named("lognormal_1").draw(np.random.default_rng(2), (50_000,))[0]
    found = learned(TAIL, {"latency_s": values}, np.arange(50_000), np.arange(50_000.0))
    assert not isinstance(found, CannotSay)
    assert found.known.baseline == pytest.approx(TAIL_KNOWN.baseline, rel=0.03)
    assert found.known.sd == pytest.approx(TAIL_SD, rel=0.1)


@pytest.mark.parametrize(("sigma", "heavy"), [(0.8, False), (1.6, True)])
def test_heavy_tails_are_noted_where_an_experiment_is_planned(sigma: float, heavy: bool) -> None:
    made = {"latency_s": np.random.default_rng(3).lognormal(0.0, sigma, 5_000)}
    place = np.arange(5_000)
    found = learned(MEAN, made, place, place.astype(np.float64))
    assert not isinstance(found, CannotSay)
    assert (found.heavy is not None and found.heavy > 1.5) == heavy
    assert any("declare a cap" in note for note in found.notes) == heavy
    tail = learned(TAIL, made, place, place.astype(np.float64))
    assert not isinstance(tail, CannotSay) and tail.notes == (), "a quantile does not mind"


def test_thin_history_cannot_say() -> None:
    made, units, at_s = frame(25)
    told = learned(MEAN, made, units, at_s)
    assert isinstance(told, CannotSay) and "30 units with latency_mean" in str(told)
    for slug, alike in (("latency_mean", 2.0), ("latency_p95", 2.0)):
        told = learned(
            METRICS[slug], {"latency_s": np.full(90, alike)}, np.arange(90), np.arange(90.0)
        )
        assert isinstance(told, CannotSay) and "is 2 in every row" in str(told)
    failed = {"cost_micro_usd": np.ones(90), "status": np.full(90, 503.0)}
    told = learned(METRICS["cost_per_success"], failed, np.arange(90), np.arange(90.0))
    assert isinstance(told, CannotSay) and "divides by nothing" in str(told)
    even = {"cost_micro_usd": np.full(90, 5.0), "status": np.full(90, 200.0)}
    told = learned(METRICS["cost_per_request"], even, np.arange(90), np.arange(90.0))
    assert isinstance(told, CannotSay) and "is 5 of every unit" in str(told)


@pytest.mark.parametrize(
    ("slug", "known", "effect", "told"),
    [("latency_mean", Known(2.0), 0.1, "sd is not given"),
     ("latency_mean", Known(0.0, 1.0), 0.1, "baseline is 0"),
     ("latency_mean", Known(2.0, -1.0), 0.1, "sd is -1"),
     ("latency_mean", Known(2.0, 1.0), 0.0, "effect is 0"),
     ("success_rate", Known(0.98), 0.05, "treatment is 1.03")],
)  # fmt: skip
def test_what_cannot_be_sized_is_refused(slug: str, known: Known, effect: float, told: str) -> None:
    with pytest.raises(ExperimentError, match=told):
        need(METRICS[slug], known, Asked(effect), None, sequential=False)
