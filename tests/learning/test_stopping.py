"""The stop rule: calibrated by what was rated, set aside where signals say nothing, exact lots."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.stopping import (
    ASIDE,
    COLD,
    FITTED,
    Assessed,
    Lots,
    Signals,
    Step,
    StopRule,
    best_step,
    chance_of,
    fitted,
    odds,
)

unit = st.floats(0.0, 1.0)
maybe = st.none() | unit


def answers(count: int, slope: float, seed: int = 3) -> Assessed:
    """Answers whose acceptance hangs on the check (``slope``) and on the arm."""
    dice = np.random.default_rng(seed)
    arm = dice.integers(0, 2, count)
    said = dice.random(count) < 0.5
    signals = [Signals(0.6, verified=float(each)) for each in said]
    chance = 1.0 / (1.0 + np.exp(-(0.3 + 0.5 * arm + slope * (2.0 * said - 1.0))))
    good = (dice.random(count) < chance).astype(float)
    coded = np.array([each.coded() for each in signals]).reshape(count, 5)
    return Assessed(("cheap", "strong"), arm, coded, good, np.ones(count))


@settings(derandomize=True, max_examples=100)
@given(unit, st.none() | st.floats(-8.0, 0.0), maybe, maybe, maybe)
def test_a_chance_is_one_whatever_is_known(
    foreseen: float, logprob: float | None, verified: float | None, judged: float | None,
    below: float | None,
) -> None:  # fmt: skip
    signals = Signals(foreseen, logprob, verified, judged, below)
    assert all(map(math.isfinite, signals.coded()))
    assert 0.0 < StopRule({}).chance("anybody", signals) < 1.0


def test_before_anything_is_rated_it_tells_what_was_foreseen() -> None:
    rule = fitted(answers(0, 1.0))
    assert rule.state == COLD and rule.rated == 0
    assert rule.chance("cheap", Signals(0.7)) == pytest.approx(0.7)
    assert rule.chance("cheap", Signals(0.7, verified=1.0)) > 0.7
    assert rule.chance("cheap", Signals(0.7, verified=0.0)) < 0.7
    assert rule.chance("strong", Signals(0.7, below=0.1)) < 0.7, "a hard one is hard for all"


def test_what_was_rated_is_learned_and_calibrated() -> None:
    rule = fitted(answers(4_000, 1.5))
    assert rule.state == FITTED and rule.brier < rule.share_brier
    for at, arm in enumerate(("cheap", "strong")):
        for said in (0.0, 1.0):
            truth = chance_of(0.3 + 0.5 * at + 1.5 * (2.0 * said - 1.0))
            assert rule.chance(arm, Signals(0.6, verified=said)) == pytest.approx(truth, abs=0.04)


def test_signals_that_say_nothing_are_set_aside() -> None:
    """Of many worlds whose check is a coin; where it is set aside the shares are told."""
    found = [fitted(answers(400, 0.0, seed)) for seed in range(20)]
    aside = [rule for rule in found if rule.state == ASIDE]
    assert len(aside) >= 5
    for rule in aside:
        told = [rule.chance("cheap", Signals(0.6, verified=said)) for said in (0.0, 1.0)]
        assert told[0] == told[1]


def test_what_is_old_counts_less() -> None:
    made = answers(200, 1.0)
    good = np.concatenate([np.zeros(100), np.ones(100)])
    weight = np.concatenate([np.full(100, 0.01), np.ones(100)])
    found = fitted(Assessed(made.arms, made.arm, made.coded, good, weight))
    alike = fitted(Assessed(made.arms, made.arm, made.coded, good, np.ones(200)))
    assert found.chance("cheap", Signals(0.6)) > alike.chance("cheap", Signals(0.6))


@settings(derandomize=True, max_examples=100)
@given(unit, st.lists(st.tuples(unit, st.floats(0.0, 1.0)), min_size=1, max_size=4), unit)
def test_the_best_step_is_the_best(now: float, told: list[tuple[float, float]], w: float) -> None:
    steps = [Step(str(at), chance, cost) for at, (chance, cost) in enumerate(told)]
    at, gain = best_step(now, steps, w)
    assert gain == max(w * (s.chance - now) - s.cost_usd for s in steps)
    assert gain == steps[at].gain_usd(now, w)


def test_nothing_is_gained_where_there_is_no_step() -> None:
    assert best_step(0.1, [], 1.0) == (-1, 0.0)


@pytest.mark.parametrize("rule_goes", [0, 1, 2])
def test_the_probability_of_a_first_act_is_its_frequency(rule_goes: int) -> None:
    """20,000 runs; the tolerance is five standard errors."""
    dice, share, acts, runs = np.random.default_rng(8), 0.2, 3, 20_000
    done, told = np.zeros(acts), np.full(acts, np.nan)
    for _ in range(runs):
        act, probability = Lots(share, bool(dice.random() < share)).first(
            acts, rule_goes, float(dice.random())
        )
        done[act] += 1
        told[act] = probability
    assert told.sum() == pytest.approx(1.0)
    assert np.abs(done / runs - told).max() < 5.0 * math.sqrt(0.25 / runs)


@pytest.mark.parametrize("by_rule", [True, False])
@pytest.mark.parametrize("stops", [True, False])
def test_the_probability_of_a_later_act_is_its_frequency(by_rule: bool, stops: bool) -> None:
    """Among the runs that came there: whether they were by lot, nobody who only looks can tell."""
    dice, share, acts = np.random.default_rng(9), 0.3, 3
    came = stopped = 0
    told: dict[bool, float] = {}
    for _ in range(40_000):
        lots = Lots(share, bool(dice.random() < share))
        act, _ = lots.first(acts, 1 if by_rule else 0, float(dice.random()))
        if act != 1:
            continue
        came += 1
        stop, probability = lots.later(acts, by_rule, stops)
        stopped += stop
        told[stop] = probability
    assert sum(told.values()) == pytest.approx(1.0) or len(told) == 1
    assert stopped / came == pytest.approx(told.get(True, 0.0), abs=5 * math.sqrt(0.25 / came))


def test_odds_and_chances_are_each_others_inverse() -> None:
    for chance in (0.01, 0.3, 0.5, 0.99):
        assert chance_of(odds(chance)) == pytest.approx(chance)
