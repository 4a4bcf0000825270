"""Mismatched shares and wrong propensities are found; right ones are left in peace."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import stats

from experiments.errors import ExperimentError
from experiments.statistics.sample_ratio import (
    ALPHA,
    EARLY,
    KIND_WEIGHTS,
    LEAN,
    TEMPERS,
    TILT_WEIGHTS,
    TILTS,
    PropensityCalibration,
    arm_weights,
    log_evidence,
    sample_ratio,
)
from tests.experiments.statistics.looks import allowed, ever

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.98, 0.01, 0.01)])
def test_right_shares_raise_no_alarm_though_chi_square_does(shares: tuple[float, ...]) -> None:
    """2,000 seeded streams, 100 looks to 10,000 units: at most alpha + 3 deviations at 5 % and at
    0.1 %; chi-square at 5 % on the same counts alarms in more than a quarter.
    """
    rng = np.random.default_rng(1)
    found = rng.multinomial(100, shares, (2_000, 100)).cumsum(1)
    told = log_evidence(found, shares)
    for alpha in (0.05, ALPHA):
        assert ever(told >= -math.log(alpha)) <= allowed(alpha, 2_000)
    due = found.sum(2, keepdims=True) * np.array(shares)
    chi = ((found - due) ** 2 / due).sum(2)
    assert ever(stats.chi2.sf(chi, len(shares) - 1) < 0.05) > 0.25


def test_a_mismatch_is_found() -> None:
    """52 to 48 instead of halves is found at 0.1 % within 20,000 units in 90 % of 500 streams."""
    found = np.random.default_rng(2).multinomial(200, (0.52, 0.48), (500, 100)).cumsum(1)
    assert ever(log_evidence(found, (0.5, 0.5)) >= -math.log(ALPHA)) > 0.9


def test_evidence_is_the_product_of_forecasts() -> None:
    """Unit by unit: the Dirichlet's forecast over the share meant."""
    shares, concentration = np.array([0.7, 0.2, 0.1]), 5.0
    counts, told = np.zeros(3), 0.0
    for arm in (0, 2, 2, 1, 0, 0, 2):
        forecast = (concentration * shares + counts) / (concentration + counts.sum())
        told += math.log(forecast[arm] / shares[arm])
        counts[arm] += 1
    assert float(log_evidence(counts, shares, concentration)) == pytest.approx(told)
    assert sample_ratio([0, 0], [0.5, 0.5]).log_e == pytest.approx(0.0)


def _wandering(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Propensities of three arms that change with every decision, floor 2 %."""
    raw = rng.dirichlet((2.0, 1.0, 0.5), rows)
    return 0.02 + 0.94 * raw


def _drawn(rng: np.random.Generator, propensities: np.ndarray) -> np.ndarray:
    return (rng.random((len(propensities), 1)) > propensities.cumsum(1)).sum(1).clip(0, 2)


def test_true_propensities_raise_no_alarm() -> None:
    """500 seeded logs of 1,000 decisions, each row a look: at most 5 % + 3 deviations."""
    rng, alarms = np.random.default_rng(3), 0
    for _ in range(500):
        e = _wandering(rng, 1_000)
        alarms += PropensityCalibration.of(3).add(e, _drawn(rng, e)).evidence.rejects(0.05)
    assert alarms / 500 <= allowed(0.05, 500)


def test_100_000_true_propensities_raise_no_alarm() -> None:
    """One seeded log: a false alarm has a chance of at most 0.1 %."""
    rng = np.random.default_rng(9)
    e, state = _wandering(rng, 100_000), PropensityCalibration.of(3)
    drawn = _drawn(rng, e)
    for rows in np.split(np.arange(100_000), 20):
        state = state.add(e[rows], drawn[rows])
    assert not state.evidence.rejects(ALPHA)


def _alarm(logged: np.ndarray, drawn: np.ndarray) -> float:
    """After how many rows, to the next 500, the test alarms at 0.1 %; infinite if it never does."""
    state = PropensityCalibration.of(logged.shape[1])
    for start in range(0, len(drawn), 500):
        block = slice(start, start + 500)
        state = state.add(logged[block], drawn[block])
        if state.evidence.rejects(ALPHA):
            return start + 500.0
    return math.inf


@pytest.mark.parametrize(("factor", "least"), [(1.1, 20), (1.0 / 1.1, 19)])
def test_propensities_off_by_a_tenth_are_found_within_20_000(factor: float, least: int) -> None:
    """One arm logged 1.1 times too likely: found at 0.1 % in all of 20 seeded logs; too unlikely:
    in 19 of them; by 12,000 in half.
    """
    rng, rows = np.random.default_rng(4), []
    for _ in range(20):
        e = _wandering(rng, 20_000)
        logged = e * np.array([factor, 1.0, 1.0])
        logged /= logged.sum(1, keepdims=True)
        rows.append(_alarm(logged, _drawn(rng, e)))
    assert sum(when <= 20_000 for when in rows) >= least
    assert np.median(rows) <= 12_000


@pytest.mark.parametrize("factor", [1.1, 1.0 / 1.1])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5, 0.8, 0.95])
def test_an_error_of_a_tenth_is_found_soon_after_a_test_that_knows_it(
    share: float, factor: float
) -> None:
    """Of four arms, at any share. The likelihood ratio of the truth needs ln(1 / alpha) over the
    row's divergence in the mean, and no test can do with less: in most of 8 seeded logs the alarm
    comes within twice that.
    """
    rng, at = np.random.default_rng(10), 2
    e = np.full(4, (1.0 - share) / 3.0)
    e[at] = share
    logged = e * np.where(np.arange(4) == at, factor, 1.0)
    logged /= logged.sum()
    limit = -math.log(ALPHA) / float(e @ np.log(e / logged))
    budget = int(2.0 * limit)
    drawn = (rng.random((8, budget, 1)) > e.cumsum()).sum(2).clip(0, 3)
    rows = [_alarm(np.tile(logged, (budget, 1)), each) for each in drawn]
    assert np.median(rows) <= budget
    assert np.median(rows) > limit / 2.0, "that would be luck or a leak"


@pytest.mark.parametrize("power", [0.8, 1.25])
def test_propensities_too_sharp_or_too_flat_are_found(power: float) -> None:
    """Each arm's total may be right, yet the log is more or less certain than the draws were."""
    rng = np.random.default_rng(5)
    e = _wandering(rng, 10_000)
    e[5_000:] = e[5_000:, ::-1]
    logged = e**power / (e**power).sum(1, keepdims=True)
    told = PropensityCalibration.of(3).add(logged, _drawn(rng, e))
    assert told.evidence.rejects(ALPHA)
    sharper = int(np.argmax(told.log_tempered))
    assert TEMPERS[sharper] == pytest.approx(1.0 / power)


def _value(excess: float, tempered: ArrayLike, tilted: ArrayLike) -> float:
    """The evidence, not its logarithm, of the sums after a row."""
    weights = arm_weights(len(np.array(tilted)))
    tilts = weights @ np.exp(tilted) @ np.array(TILT_WEIGHTS) + 1.0 - weights.sum()
    kinds = (math.exp(excess), float(np.exp(tempered).mean()), float(tilts))
    return sum(weight * value for weight, value in zip(KIND_WEIGHTS, kinds, strict=True))


def test_calibration_is_the_product_of_forecasts_in_any_batches() -> None:
    rng = np.random.default_rng(6)
    e = _wandering(rng, 60)
    e[20:40] = e[20:40] * (1.0, 1.0, 0.0)  # the third was not eligible for a while
    e /= e.sum(1, keepdims=True)
    drawn = _drawn(rng, e)
    seen, due, excess, tempered = np.zeros(3), np.zeros(3), 0.0, np.zeros(len(TEMPERS))
    tilted, peak = np.zeros((3, len(TILTS))), 0.0
    for row, arm in zip(e, drawn, strict=True):
        forecast = row * (LEAN + seen) / (LEAN + due)
        excess += math.log(forecast[arm] / forecast.sum() / row[arm])
        for place, power in enumerate(TEMPERS):
            tempered[place] += math.log(row[arm] ** power / (row**power).sum() / row[arm])
        for other in range(3):
            for place, factor in enumerate(TILTS):
                forecast = row * np.where(np.arange(3) == other, factor, 1.0)
                tilted[other, place] += math.log(forecast[arm] / forecast.sum() / row[arm])
        peak = max(peak, math.log(_value(excess, tempered, tilted)))
        seen[arm] += 1
        due += row
    whole, parts = PropensityCalibration.of(3).add(e, drawn), PropensityCalibration.of(3)
    for rows in np.split(np.arange(60), [1, 1, 25]):
        parts = parts.add(e[rows], drawn[rows])
    for told in (whole, parts):
        assert told.log_excess == pytest.approx(excess)
        assert told.log_tempered == pytest.approx(tempered)
        assert np.array(told.log_tilted) == pytest.approx(tilted)
        assert told.peak == pytest.approx(peak)
        assert told.drawn == tuple(seen) and told.expected == pytest.approx(due)


def test_an_arm_that_had_no_chance_refutes_the_log() -> None:
    state = PropensityCalibration.of(2).add([[0.5, 0.5], [1.0, 0.0]], [0, 1])
    assert state.evidence.log_e == math.inf
    assert state.add([[0.5, 0.5]], [0]).evidence.rejects(1e-9), "an alarm stays"
    assert math.isnan(PropensityCalibration.of(2).ratios[0])


def test_an_arm_that_comes_later_leaves_every_forecast_as_it_was() -> None:
    """Added when it comes, or there from the start and never eligible: the same evidence."""
    rng = np.random.default_rng(7)
    e = _wandering(rng, 400)
    e[:250, 2] = 0.0
    e /= e.sum(1, keepdims=True)
    drawn = _drawn(rng, e)
    whole = PropensityCalibration.of(3).add(e, drawn)
    before = PropensityCalibration.of(2).add(e[:250, :2], drawn[:250])
    grown = before.widened(3)
    assert grown.evidence == before.evidence and grown.log_excess == before.log_excess
    assert grown.drawn == (*before.drawn, 0.0) and grown.widened(3) == grown
    grown = grown.add(e[250:], drawn[250:])
    assert grown.peak == pytest.approx(whole.peak)
    assert grown.log_excess == pytest.approx(whole.log_excess)
    assert grown.log_tempered == pytest.approx(whole.log_tempered)
    assert np.array(grown.log_tilted) == pytest.approx(np.array(whole.log_tilted))
    with pytest.raises(ExperimentError, match="give at least the 3 there are"):
        grown.widened(2)


def test_with_an_arm_that_comes_later_the_evidence_is_a_martingale_exactly() -> None:
    """After every prefix, over all that may be drawn next: the mean evidence is today's."""
    rows = [(0.7, 0.3), (0.4, 0.6), (0.5, 0.2, 0.3), (0.1, 0.1, 0.8), (0.05, 0.0, 0.95)]

    def evidence(state: PropensityCalibration) -> float:
        return _value(state.log_excess, state.log_tempered, state.log_tilted)

    def follow(state: PropensityCalibration, at: int) -> int:
        if at == len(rows):
            return 1
        before = evidence(state)
        state = state.widened(max(len(rows[at]), len(state.drawn)))
        assert evidence(state) == pytest.approx(before, rel=1e-12), "room for an arm is no evidence"
        chances = {arm: chance for arm, chance in enumerate(rows[at]) if chance > 0.0}
        after = {arm: state.add([rows[at]], [arm]) for arm in chances}
        mean = sum(chance * evidence(after[arm]) for arm, chance in chances.items())
        assert mean == pytest.approx(evidence(state), rel=1e-12)
        return sum(follow(each, at + 1) for each in after.values())

    assert follow(PropensityCalibration.of(2), 0) == 2 * 2 * 3 * 3 * 2


def test_an_arm_keeps_its_weight_whatever_comes_later() -> None:
    many = arm_weights(10_000)
    assert many.min() > 0.0 and many.sum() < 1.0 and many.sum() == pytest.approx(1.0, abs=1e-3)
    for number in (2, EARLY, EARLY + 1, 40):
        assert arm_weights(number) == pytest.approx(many[:number])
    assert sum(TILT_WEIGHTS) == pytest.approx(1.0) and sum(KIND_WEIGHTS) == pytest.approx(1.0)


def test_beyond_the_early_arms_the_evidence_is_a_martingale_exactly() -> None:
    """The ninth and tenth come after some rows: the mean over the next draw is today's evidence."""
    rng, state = np.random.default_rng(11), PropensityCalibration.of(EARLY)
    for number in (EARLY, EARLY + 1, EARLY + 1, EARLY + 2, EARLY + 2):
        e = rng.dirichlet(np.ones(number))
        before = _value(state.log_excess, state.log_tempered, state.log_tilted)
        state = state.widened(number)
        after = [state.add([e], [arm]) for arm in range(number)]
        values = [_value(each.log_excess, each.log_tempered, each.log_tilted) for each in after]
        assert float(e @ values) == pytest.approx(before, rel=1e-12)
        state = after[int(rng.choice(number, p=e))]


def test_arms_that_come_later_raise_no_false_alarm() -> None:
    """500 seeded logs whose third arm comes after 300 of 1,000: at most 5 % + 3 deviations."""
    rng, alarms = np.random.default_rng(8), 0
    for _ in range(500):
        e = _wandering(rng, 1_000)
        e[:300, 2] = 0.0
        e /= e.sum(1, keepdims=True)
        drawn = _drawn(rng, e)
        state = PropensityCalibration.of(2).add(e[:300, :2], drawn[:300])
        alarms += state.widened(3).add(e[300:], drawn[300:]).evidence.rejects(0.05)
    assert alarms / 500 <= allowed(0.05, 500)


def test_bad_input_is_refused() -> None:
    for shares in ((0.5, 0.4), (1.0, 0.0), (0.2, 0.3, 0.5)):
        with pytest.raises(ExperimentError, match="give one share above 0 for each"):
            sample_ratio([10, 10], shares)
    with pytest.raises(ExperimentError, match="found must be counts"):
        sample_ratio([1.5, 2.0], [0.5, 0.5])
    with pytest.raises(ExperimentError, match="number of arms is 1"):
        PropensityCalibration.of(1)
    with pytest.raises(ExperimentError, match="give 3 columns"):
        PropensityCalibration.of(3).add([[0.5, 0.5]], [0])
