"""Candidate questions: what taking a deployment out is worth, and what the log cannot say."""

from __future__ import annotations

import numpy as np

from experiments.errors import CannotSay
from experiments.reviewing.finding import Rates
from experiments.reviewing.questions import Gathering, spread_of, without
from experiments.reviewing.swapping import COST
from experiments.statistics.moments import Interval
from tests.experiments.reviewing.tables import RATES, drawn

DEAR = (0.001, 0.001, 0.004)


def test_taking_one_out_is_estimated_within_its_interval() -> None:
    missed = 0
    for seed in range(30):
        made = drawn(np.random.default_rng(seed), 1_500, DEAR)
        found = without(made, 2)
        assert not isinstance(found, CannotSay)
        truth = -0.003 * float(made.propensities[:, 2].sum())
        interval = found[0][COST].interval()
        missed += not interval.low <= truth <= interval.high
    assert missed <= 5  # 1.5 expected; P(more than 5) < 0.4 %


def test_what_promises_most_comes_first_and_without_rates_nothing_is_worth_anything() -> None:
    made = drawn(np.random.default_rng(1), 4_000, (0.001, 0.001, 0.01), (0.8, 0.8, 0.5))
    gathering = Gathering(RATES)
    gathering.add(made)
    found = gathering.candidates()
    values = [each.value for each in found]
    assert all(isinstance(each, Interval) for each in values)
    worth = {each.slug: each.value.estimate for each in found if isinstance(each.value, Interval)}
    assert worth["without-sage"] > 0.0 > worth["all-on-sage"]
    assert list(worth.values()) == sorted(worth.values(), reverse=True)
    unpriced = Gathering(Rates())
    unpriced.add(made)
    assert all(isinstance(each.value, CannotSay) for each in unpriced.candidates())
    few = Gathering(RATES)
    few.add(drawn(np.random.default_rng(2), 50))
    assert all(isinstance(each.value, CannotSay) for each in few.candidates())


def test_spread_of_nothing_is_nothing() -> None:
    assert spread_of([]) == (0.0, 0.0, 0)
    assert spread_of([np.array([1.0, 3.0])]) == (2.0, 2.0**0.5, 2)
