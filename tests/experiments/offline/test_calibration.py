"""No test is fooled by a hundred looks, except the one that must be; effects are found."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.errors import ExperimentError
from experiments.metrics import METRICS
from experiments.offline.calibration import Plan, Tally, report, simulate
from experiments.offline.distributions import USUAL, named, resampled
from tests.experiments.statistics.looks import allowed

SIMS = 400
KINDS = [
    ("success_rate", "bernoulli_0.9", 0.5), ("error_rate", "bernoulli_0.05", 0.1),
    ("reward", "beta_4", 0.5), ("tokens_out", "lognormal_2", 0.1),
    ("cost_per_success", "successes_1", 0.5), ("latency_p95", "lognormal_1", 0.5),
]  # fmt: skip


def simulated(slug: str, name: str, plan: Plan) -> dict[str, Tally]:
    return simulate(METRICS[slug], plan, named(name))


@pytest.mark.parametrize(("slug", "name", "share"), KINDS)
def test_every_kind_of_metric_under_a_hundred_looks(slug: str, name: str, share: float) -> None:
    """400 seeded runs: false positives of every test at most 5 % + 3 deviations (false alarm 0.1 %
    each, were the true rate 5 %; it is below 3), and the naive test fails the same check.
    """
    plan = Plan(sims=SIMS, units=1_000, treatment_share=share, seed=1)
    found = simulated(slug, name, plan)
    for method, tally in found.items():
        assert tally.runs == SIMS and tally.spoke > 0.9 * SIMS, method
        calm = tally.share <= allowed(0.05, SIMS)
        assert calm != method.startswith("naive"), f"{method}: {tally.share}"
    assert found["naive_z"].share > 0.2


def test_one_look_is_what_the_naive_test_was_made_for() -> None:
    """2,000 seeded runs with a single look: 5 +- 1.5 % (3 deviations)."""
    plan = Plan(looks=1, sims=2_000, units=1_000, seed=2)
    assert simulated("latency_mean", "exponential_1", plan)["naive_z"].share == pytest.approx(
        0.05, abs=0.015
    )


def test_a_small_arm_with_a_heavy_tail_is_not_fooled() -> None:
    """400 seeded runs of a fiftieth at sigma 2 are calm, where each arm's own variance would
    alarm in a quarter (the tests of mean_sequences show that it does in a tenth of units).
    """
    plan = Plan(sims=SIMS, units=500, treatment_share=0.02, seed=3)
    found = simulated("latency_mean", "lognormal_2", plan)["asymptotic_sequence"]
    assert found.spoke == SIMS and found.share <= allowed(0.05, SIMS)


@pytest.mark.parametrize(
    ("slug", "name", "effect", "method"),
    [("success_rate", "bernoulli_0.8", -0.1, "rate_e_process"),
     ("success_rate", "bernoulli_0.8", 0.1, "asymptotic_sequence"),
     ("quality", "bernoulli_0.8", 0.15, "betting"),
     ("quality", "beta_4", 0.15, "empirical_bernstein"),
     ("cost_per_request", "clustered_1", 0.4, "asymptotic_sequence"),
     ("ttft_p95", "exponential_0.5", 1.0, "quantile_sequence")],
)  # fmt: skip
def test_a_real_effect_is_found(slug: str, name: str, effect: float, method: str) -> None:
    """In 200 seeded runs more than nine of ten, half of them before the end."""
    plan = Plan(effect, looks=40, sims=200, units=2_000, seed=4)
    tally = simulated(slug, name, plan)[method]
    assert tally.share > 0.9
    assert tally.median_units is not None and tally.median_units < 4_000


def test_a_run_is_repeated_by_its_seed_and_not_by_another() -> None:
    plan = Plan(0.02, looks=20, sims=150, units=400, seed=5)
    one, two = (simulated("error_rate", "bernoulli_0.1", plan) for _ in range(2))
    assert one == two
    assert one != simulated("error_rate", "bernoulli_0.1", replace(plan, seed=6))


def test_runs_are_counted_in_batches() -> None:
    done: list[int] = []
    plan = Plan(looks=100, sims=1_100, units=2_000)
    simulate(METRICS["latency_mean"], plan, advance=done.append)
    assert sum(done) == 1_100 and len(done) > 1


def test_tallies_by_hand() -> None:
    tally = Tally(5, 3, 4, (30, 10, 20))
    assert tally.share == 0.6 and tally.median_units == 30
    assert Tally(5, 2, 5, (30, 10)).median_units is None
    told = tally.told(0.1)
    assert told["power"] == 0.6 and told["could_say"] == 0.8 and told["median_units"] == 30
    assert set(tally.told(0.0)) == {"false_positive_rate", "ci95", "could_say"}


def test_every_metric_is_reported() -> None:
    plan = Plan(looks=10, sims=10, units=200)
    for slug in USUAL:
        metric = METRICS[slug]
        told = report(metric, plan, "usual", simulate(metric, plan))
        assert told["metric"] == slug and told["units"] == {"treatment": 200, "control": 200}
        for row in told["methods"].values():
            assert 0.0 <= row["ci95"][0] <= row["false_positive_rate"] <= row["ci95"][1] <= 1.0
        assert any("naive" in name for name in told["methods"])


def test_history_can_be_looked_at() -> None:
    """A ratio of what was seen, drawn again: an A/A run of it is calm."""
    source = resampled(*named("clustered_1").draw(np.random.default_rng(0), (300,)))
    plan = Plan(looks=20, sims=200, units=600, seed=7)
    found = simulate(METRICS["cost_per_request"], plan, source)
    assert found["asymptotic_sequence"].share <= allowed(0.05, 200)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"looks": 0}, "looks is 0"), ({"sims": 0}, "sims is 0"),
     ({"units": 50}, "at least one a look"),
     ({"alpha": 1.5}, "alpha is 1.5"), ({"treatment_share": 0.0}, "treatment_share is 0.0"),
     ({"sims": 1_000_000, "units": 100_000}, "give fewer of either"),
     ({"units": 100_000, "treatment_share": 0.01}, "nearer to a half, at most 2000000"),
     ({"units": math.nan}, "units is nan")],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(settings: dict[str, float], told: str) -> None:
    with pytest.raises(ExperimentError, match=told):
        Plan(**settings)  # type: ignore[arg-type]
