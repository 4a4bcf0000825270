"""Streams are what their scenario says, and the same for every policy of a seed."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.offline.outcomes import of_frame
from experiments.offline.streams import SCENARIOS, UNSCORED, focus_of, make, scored_only
from tests.experiments.offline.recorded import MODELS, frame

OUTCOMES = of_frame(frame())


def stream(scenario: str, seed: int = 1):
    return make(OUTCOMES, scenario, seed, focus_of(OUTCOMES, scenario, 0.002))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_seed_is_a_stream(scenario: str) -> None:
    one, two, other = stream(scenario), stream(scenario), stream(scenario, 2)
    assert np.array_equal(one.rows, two.rows) and np.array_equal(one.reward, two.reward)
    assert not np.array_equal(one.rows, other.rows)
    assert (one.phase == UNSCORED).sum() == 100 and one.phase[0] == UNSCORED
    assert set(one.rows[one.phase == UNSCORED]) == set(np.flatnonzero(~OUTCOMES.scored))


def test_a_price_drop_is_of_the_dearest_and_for_the_middle_third() -> None:
    announced, silent = stream("price_drop"), stream("price_drop_silent")
    assert MODELS[announced.focus or 0] == "large" and not silent.events
    middle = announced.phase == 2
    ratio = announced.cost_usd[middle, 2].mean() / announced.cost_usd[~middle, 2].mean()
    assert ratio == pytest.approx(0.1, rel=0.1)
    first, last = sorted(announced.events)
    assert announced.phase[first] == 2 and announced.phase[last] == 3
    assert announced.events[first].factor * announced.events[last].factor == pytest.approx(1.0)


def test_quality_falls_to_three_quarters_or_by_half() -> None:
    found = stream("quality")
    assert MODELS[found.focus or 0] == "middle"
    assert (found.reward[found.phase == 2, 1] == 0.75).all()
    weak = frame().assign(reward=lambda f: f.reward * 0.5)
    low = make(of_frame(weak), "quality", 1, 1)
    assert low.reward[low.phase == 2, 1].mean() == pytest.approx(0.2, abs=0.02)
    binary = frame().assign(reward=lambda f: (f.reward > 0.6).astype(float))
    flipped = make(of_frame(binary), "quality", 1, 2)
    assert flipped.reward[flipped.phase == 2, 2].mean() == pytest.approx(0.5, abs=0.15)
    assert set(np.unique(flipped.reward[:, 2])) <= {0.0, 1.0}


def test_a_newcomer_comes_when_scoring_begins_or_midway() -> None:
    early, midway, bad = stream("newmodel"), stream("newmodel_mid"), stream("newbad")
    assert early.focus not in early.starting and len(early.starting) == 2
    assert early.phase[next(iter(early.events))] == 1
    assert early.phase[next(iter(early.events)) - 1] == UNSCORED
    assert midway.phase[next(iter(midway.events))] == 2
    focus = bad.focus or 0
    assert bad.reward[:, focus].mean() == pytest.approx(early.reward[:, focus].mean() / 2, rel=0.05)


def test_ratings_come_late_or_never() -> None:
    late, sparse = stream("delayed"), stream("sparse10")
    assert late.missing is not None and late.delay is not None and sparse.missing is not None
    assert late.missing.mean() == pytest.approx(0.7, abs=0.08)
    assert late.delay.min() >= 50 and late.delay.max() <= 350
    assert sparse.missing.mean() == pytest.approx(0.9, abs=0.06)


def test_an_unknown_scenario_is_named_and_two_models_take_no_newcomer() -> None:
    with pytest.raises(CannotSay, match="stationary, price_drop"):
        make(OUTCOMES, "storm", 1, None)
    with pytest.raises(CannotSay, match="at least two deployments"):
        focus_of(of_frame(frame(), ["small", "large"]), "newmodel", None)


@pytest.mark.parametrize("scenario", ["price_drop", "newmodel_mid", "delayed"])
def test_scored_only_begins_with_the_first_scored_request(scenario: str) -> None:
    whole = make(OUTCOMES, scenario, 3, focus_of(OUTCOMES, scenario, None))
    part, first = scored_only(whole), int((whole.phase == UNSCORED).sum())
    assert len(part.rows) == len(whole.rows) - first and (part.phase != UNSCORED).all()
    assert np.array_equal(part.reward, whole.reward[first:])
    assert {step + first for step in part.events} == set(whole.events)
    if whole.delay is not None and part.delay is not None:
        assert np.array_equal(part.delay, whole.delay[first:])
