"""What is simulated is what is shipped: every vectorised verdict is that of the real test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.metrics import METRICS, Metric
from experiments.offline.distributions import effect_on, named
from experiments.offline.peeking import (
    Arm,
    Streams,
    Verdicts,
    applicable,
    asymptotic_sequence,
    betting,
    empirical_bernstein,
    naive_z,
    quantile_sequence,
    rate_e_process,
)
from experiments.statistics.bounded_means import Betting, WeightedSequence
from experiments.statistics.evidence import Evidence
from experiments.statistics.fixed_horizon import Sums, welch
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.quantiles import QuantileSequence
from experiments.statistics.rates import rate_guardrail

PATHS, LOOKS = 8, 12


def streams(
    slug: str, name: str, effect: float, blocks: tuple[int, int] = (40, 40), seed: int = 0
) -> Streams:
    """Half of the paths with the effect, so that both verdicts are there."""
    metric, source, rng = METRICS[slug], named(name), np.random.default_rng(seed)
    treated, per = source.draw(rng, (PATHS, LOOKS, blocks[0]))
    moved = effect_on(metric, source, effect).on(treated, rng)
    moved[: PATHS // 2] = treated[: PATHS // 2]
    other = Arm(*source.draw(rng, (PATHS, LOOKS, blocks[1])))
    return Streams(metric, Arm(moved, per), other, 0.05)


def seen(arm: Arm, path: int, look: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The values of a path up to a look, and the denominators."""
    per = None if arm.per is None else arm.per[path, : look + 1].ravel()
    return arm.values[path, : look + 1].ravel(), per


def both(found: Verdicts) -> None:
    """Some are rejected and some are not, so that agreement says something."""
    assert found.rejected.any() and not found.rejected.all()


@pytest.mark.parametrize(
    ("slug", "name", "effect", "blocks"),
    [("latency_mean", "lognormal_1", 0.8, (40, 40)), ("latency_mean", "lognormal_2", 3.0, (20, 90)),
     ("success_rate", "bernoulli_0.97", -0.07, (40, 40)), ("quality", "beta_4", -0.1, (40, 60)),
     ("cost_per_request", "clustered_1", 0.8, (40, 40))],
)  # fmt: skip
def test_the_sequence_of_means_and_ratios(
    slug: str, name: str, effect: float, blocks: tuple[int, int]
) -> None:
    made = streams(slug, name, effect, blocks)
    found = asymptotic_sequence(made)
    both(found)
    sequence = AsymptoticSequence(0.05, made.best_at)
    for path in range(PATHS):
        for look in range(LOOKS):
            arms = []
            for arm in (made.treatment, made.control):
                values, per = seen(arm, path, look)
                arms.append(Moments.of(values) if per is None else Sums(values, per).linearised())
            told = sequence.evidence_of_difference(*arms)
            assert found.spoke[path, look] == isinstance(told, Evidence)
            rejected = isinstance(told, Evidence) and told.rejects(0.05)
            assert found.rejected[path, look] == rejected


def test_bets_on_pairs() -> None:
    made = streams("quality", "bernoulli_0.6", 0.5)
    found = betting(made)
    both(found)
    for path in range(PATHS):
        for look in range(LOOKS):
            (x, _), (y, _) = (seen(arm, path, look) for arm in (made.treatment, made.control))
            told = Betting.of((1.0 + x - y) / 2.0).log_e(0.5)[-1]
            assert found.rejected[path, look] == (told >= math.log(20.0))


@pytest.mark.parametrize("blocks", [(40, 40), (30, 80)])
def test_intervals_of_each_arm_that_lie_apart(blocks: tuple[int, int]) -> None:
    made = streams("success_rate", "bernoulli_0.8", -0.35, blocks)
    found = empirical_bernstein(made)
    both(found)
    for path in range(PATHS):
        for look in range(LOOKS):
            spans = []
            for arm in (made.treatment, made.control):
                values, _ = seen(arm, path, look)
                spans.append(WeightedSequence().add(np.ones(len(values)), values).interval(0.025))
            one, two = spans
            assert isinstance(one, Interval) and isinstance(two, Interval)
            assert found.rejected[path, look] == (one.low > two.high or two.low > one.high)


@pytest.mark.parametrize(("slug", "effect"), [("success_rate", -0.3), ("error_rate", 0.3)])
def test_the_guardrail_counts_the_worse_outcome(slug: str, effect: float) -> None:
    made = streams(slug, "bernoulli_0.5", effect, (20, 60))
    found = rate_e_process(made)
    both(found)
    for path in range(PATHS):
        for look in range(LOOKS):
            counts = [seen(arm, path, look)[0] for arm in (made.treatment, made.control)]
            worse = [int((x == (1.0 if slug == "error_rate" else 0.0)).sum()) for x in counts]
            assert found.rejected[path, look] == rate_guardrail(*worse, 0.25).rejects(0.05)


def test_quantiles_are_rejected_from_the_first_look_at_which_the_test_does() -> None:
    made = streams("latency_p95", "lognormal_0.5", 1.0, (50, 70))
    found, sequence = quantile_sequence(made), QuantileSequence(0.95)
    both(found)
    for path in range(PATHS):
        rejected = False
        for look in range(LOOKS):
            arms = [seen(arm, path, look)[0] for arm in (made.treatment, made.control)]
            rejected |= sequence.evidence_of_difference(*arms).rejects(0.05)
            assert found.rejected[path, look] == rejected


def test_the_naive_test_is_the_z_test() -> None:
    made = streams("latency_mean", "exponential_1", 0.3)
    found = naive_z(made)
    for path in range(PATHS):
        arms = [Moments.of(seen(arm, path, LOOKS - 1)[0]) for arm in (made.control, made.treatment)]
        told = welch(*arms)
        assert not isinstance(told, CannotSay)
        z = told.difference.estimate / told.standard_error
        assert found.rejected[path, -1] == (abs(z) > 1.959964)
    assert not found.spoke[:, 0].any(), "the burn-in holds for it too"


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.slug)
def test_every_metric_has_tests_and_a_naive_one_last(metric: Metric) -> None:
    names = list(applicable(metric, 0.5))
    assert len(names) >= 2 and [name for name in names if "naive" in name] == names[-1:]
    assert "betting" not in applicable(metric, 0.1), "pairs need equal arms"
