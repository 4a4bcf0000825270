"""The references bound one another, and know what the scenario changes."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.offline.outcomes import of_frame
from experiments.offline.references import references
from experiments.offline.streams import focus_of, make
from experiments.offline.text_features import build
from tests.experiments.offline.recorded import frame

OUTCOMES = of_frame(frame())
FEATURES = build("svd25", OUTCOMES)


def _of(scenario: str, budget: float | None):
    stream = make(OUTCOMES, scenario, 3, focus_of(OUTCOMES, scenario, budget))
    return references(stream, FEATURES, OUTCOMES.names, budget)


@pytest.mark.parametrize("budget", [0.0005, 0.002, None])
def test_the_oracle_is_above_the_ridge_and_the_ridge_above_the_mix(budget: float | None) -> None:
    found = _of("stationary", budget)
    assert found.oracle >= found.full_information_ridge >= found.best_static_mix - 0.01
    assert found.oracle >= found.random


def test_who_knows_the_prompt_beats_the_mix_at_a_tight_budget() -> None:
    found = _of("stationary", 0.0006)
    assert found.full_information_ridge > found.best_static_mix + 0.05
    assert sum(found.mix) == pytest.approx(1.0)


def test_a_fall_of_quality_lowers_them_all() -> None:
    fallen, well = _of("quality", 0.001), _of("stationary", 0.001)
    assert fallen.full_information_ridge < well.full_information_ridge
    assert fallen.best_static_mix < well.best_static_mix and fallen.oracle < well.oracle


def test_a_newcomer_counts_only_when_it_is_there() -> None:
    early, midway = _of("newmodel", 0.001), _of("newmodel_mid", 0.001)
    assert midway.full_information_ridge <= early.full_information_ridge + 1e-9


def test_a_budget_below_everybody_is_refused() -> None:
    with pytest.raises(CannotSay, match="below the cheapest"):
        _of("stationary", 1e-6)


def test_without_a_budget_the_mix_is_the_best_deployment() -> None:
    found = _of("stationary", None)
    scored = OUTCOMES.reward[OUTCOMES.scored]
    assert found.best_static_mix == pytest.approx(scored.mean(0).max())
    assert np.isclose(max(found.mix), 1.0)
