"""A share given to another: the same terms as the statistics', the truth within its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.reviewing.swapping import COST, LATENCY, QUALITY, swaps
from experiments.statistics.adaptive import LoggedDecisions, doubly_robust_terms
from tests.experiments.reviewing.tables import NAMES, drawn

DEAR = (0.001, 0.001, 0.004)


def test_a_swap_is_the_mean_of_the_doubly_robust_terms() -> None:
    made = drawn(np.random.default_rng(0), 2_000, DEAR)
    found = next(each for each in swaps(made) if (each.deployment, each.other) == ("sage", "brook"))
    log = LoggedDecisions(made.drawn, made.propensities, made.values[COST], made.foretold[COST])
    weights = np.zeros_like(made.propensities)
    weights[:, 2], weights[:, 0] = -made.propensities[:, 2], made.propensities[:, 2]
    terms = doubly_robust_terms(log, weights)
    assert found.changes[COST].total == pytest.approx(float(terms.sum()), rel=1e-9)
    assert found.moved == pytest.approx(float(made.propensities[:, 2].sum()))
    rated = np.isfinite(made.values[QUALITY])
    part = LoggedDecisions(*(each[rated] for each in (
        made.drawn, made.propensities, made.values[QUALITY], made.foretold[QUALITY])))  # fmt: skip
    mean = float(doubly_robust_terms(part, weights[rated]).mean())
    assert found.changes[QUALITY].total == pytest.approx(mean * len(made), rel=1e-9)


def test_intervals_cover_the_truth() -> None:
    missed = 0
    for seed in range(20):
        made = drawn(np.random.default_rng(seed), 1_500, DEAR)
        truth = -0.003 * float(made.propensities[:, 2].sum())
        found = next(each for each in swaps(made)
                     if (each.deployment, each.other) == ("sage", "brook"))  # fmt: skip
        interval = found.changes[COST].interval()
        missed += not interval.low <= truth <= interval.high
    assert missed <= 4  # 1 expected; P(more than 4) < 0.3 %


def test_tenants_are_parts_of_the_task() -> None:
    made = drawn(np.random.default_rng(1), 4_000, DEAR)
    found = [each for each in swaps(made, ("acme", "bolt"))
             if (each.deployment, each.other) == ("sage", "brook")]  # fmt: skip
    whole, acme, bolt = (next(each for each in found if each.tenant == name)
                         for name in ("", "acme", "bolt"))  # fmt: skip
    assert acme.moved + bolt.moved == pytest.approx(whole.moved)
    parts = acme.changes[COST].total + bolt.changes[COST].total
    assert parts == pytest.approx(whole.changes[COST].total, rel=0.05)


def test_too_few_draws_are_refused_and_predictions_may_lack() -> None:
    made = drawn(np.random.default_rng(2), 60)
    assert all(each.refused for each in swaps(made))
    whole = drawn(np.random.default_rng(3))
    assert all(LATENCY in each.changes for each in swaps(whole))
    rare = replace(whole, drawn=np.where(whole.drawn == 2, 0, whole.drawn))
    refused = {(each.deployment, each.other): each.refused for each in swaps(rare)}
    assert refused["brook", "sage"] is not None and "draws" in str(refused["brook", "sage"])
    assert refused["brook", "granite"] is None
    unseen = replace(whole, propensities=whole.propensities * [1.0, 1.0, 0.0])
    assert {each.other for each in swaps(unseen)} == set(NAMES[:2])
