"""Another policy's value is right on average, and refused where the log cannot carry it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.adaptive import LoggedDecisions, doubly_robust_terms
from experiments.statistics.off_policy import (
    Estimator,
    Limits,
    PolicyValue,
    off_policy_value,
    switch_threshold,
)

E = np.array([0.6, 0.3, 0.1])
RATES = np.array([0.5, 0.7, 0.9])
TARGET = np.array([0.1, 0.3, 0.6])
TRUTH = float((TARGET * RATES).sum())


def logged(seed: int, count: int = 800, off: float = 0.1) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    drawn = rng.choice(3, count, p=E)
    rewards = (rng.random(count) < RATES[drawn]).astype(np.float64)
    return LoggedDecisions(drawn, np.tile(E, (count, 1)), rewards, np.tile(RATES - off, (count, 1)))


def target(count: int) -> np.ndarray:
    return np.tile(TARGET, (count, 1))


def test_ips_and_dr_are_unbiased_exactly() -> None:
    """Every drawn arm and reward of one row, weighted by its chance; predictions are wrong."""
    totals = {"ips": 0.0, "dr": 0.0}
    for arm, reward in itertools.product(range(3), (0.0, 1.0)):
        chance = E[arm] * (RATES[arm] if reward else 1.0 - RATES[arm])
        for name, predicted in (("ips", 0.0), ("dr", 0.37)):
            log = LoggedDecisions(np.array([arm]), E[None], np.array([reward]),
                                  np.full((1, 3), predicted))  # fmt: skip
            totals[name] += chance * doubly_robust_terms(log, TARGET[None])[0]
    assert totals == pytest.approx({"ips": TRUTH, "dr": TRUTH})


@pytest.mark.parametrize("estimator", list(Estimator))
def test_intervals_cover(estimator: Estimator) -> None:
    """500 seeded logs of 800: 95 % intervals hold the truth in at least 92.1 % (3 deviations)."""
    hits = 0
    for seed in range(500):
        told = off_policy_value(logged(seed), target(800), estimator)
        assert isinstance(told, PolicyValue)
        hits += told.mean.low <= TRUTH <= told.mean.high
        assert (told.threshold is not None) == (estimator is Estimator.SWITCH)
    assert hits / 500 >= 0.921


def test_the_formulas_by_hand() -> None:
    log = logged(1, 800)
    w = TARGET[log.drawn] / E[log.drawn]
    ips = off_policy_value(log, target(800), Estimator.IPS)
    snips = off_policy_value(log, target(800), Estimator.SNIPS)
    assert isinstance(ips, PolicyValue) and isinstance(snips, PolicyValue)
    assert ips.mean.estimate == pytest.approx((w * log.rewards).mean())
    ratio = (w * log.rewards).sum() / w.sum()
    assert snips.mean.estimate == pytest.approx(ratio)
    error = np.sqrt((w**2 * (log.rewards - ratio) ** 2).sum()) / w.sum()
    assert snips.mean.high - ratio == pytest.approx(1.96 * error, rel=0.005)
    assert ips.ess == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert ips.greatest_weight == pytest.approx(6.0)


def test_good_predictions_narrow_and_switch_drops_what_is_heavy() -> None:
    rng, count = np.random.default_rng(3), 4_000
    e, wanted = np.array([0.999, 0.001]), np.array([0.9, 0.1])
    drawn = rng.choice(2, count, p=e)
    rewards = (rng.random(count) < np.array([0.5, 0.6])[drawn]).astype(np.float64)
    log = LoggedDecisions(drawn, np.tile(e, (count, 1)), rewards, np.tile([0.5, 0.6], (count, 1)))
    plain = np.tile(wanted, (count, 1))
    free = Limits(least_ess=1.0, least_ess_share=0.0)
    dr = off_policy_value(log, plain, Estimator.DR, limits=free)
    ips = off_policy_value(log, plain, Estimator.IPS, limits=free)
    assert isinstance(dr, PolicyValue) and isinstance(ips, PolicyValue)
    assert dr.mean.high - dr.mean.low < ips.mean.high - ips.mean.low
    heavy = np.tile([0.995, 0.005], (count, 1))
    kept = switch_threshold(log, heavy, greatest_error=0.05)
    assert kept < 5.0, "a weight of 5 costs more variance than its mass could bias"
    assert switch_threshold(log, heavy) == np.inf, "unless predictions may be off by anything"


def test_what_the_log_cannot_carry_is_refused() -> None:
    log = logged(4, 120)
    told = off_policy_value(log, target(120))
    assert isinstance(told, CannotSay) and "an effective sample of 100 is needed" in str(told)
    big = logged(5, 5_000)
    told = off_policy_value(big, target(5_000), limits=Limits(greatest_weight=5.0))
    assert isinstance(told, CannotSay) and "a row weighs 6, at most 5" in str(told)
    told = off_policy_value(big, target(5_000), limits=Limits(least_ess_share=0.9))
    assert isinstance(told, CannotSay) and "effective" in str(told)
    assert isinstance(
        off_policy_value(big, target(5_000), Estimator.SWITCH, limits=Limits(greatest_weight=5.0)),
        PolicyValue,
    )
    rows = np.zeros(500, dtype=np.int64)
    void = LoggedDecisions(rows, np.tile([1.0, 0.0, 0.0], (500, 1)), np.ones(500),
                           np.zeros((500, 3)))  # fmt: skip
    for estimator in Estimator:
        told = off_policy_value(void, target(500), estimator)
        assert isinstance(told, CannotSay) and "in 500 of 500 rows" in str(told)
    assert isinstance(off_policy_value(logged(6, 1), target(1)), CannotSay)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ExperimentError, match="target is"):
        off_policy_value(logged(7), target(3))
    with pytest.raises(ExperimentError, match="target of row 0 sums to"):
        off_policy_value(logged(7), target(800) / 2)
    with pytest.raises(ExperimentError, match="greatest_weight is 0"):
        Limits(greatest_weight=0.0)
    with pytest.raises(ExperimentError, match="least_ess_share is 2"):
        Limits(least_ess_share=2.0)
    with pytest.raises(ExperimentError, match="greatest_error is 0"):
        switch_threshold(logged(7), target(800), greatest_error=0.0)
