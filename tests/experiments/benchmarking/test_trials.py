"""Trials to tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.benchmarking.trials import Trial, tables
from experiments.errors import ExperimentError


def trial(prompt: str, arm: str, score: float | None, failed: bool = False) -> Trial:
    return Trial(prompt, prompt[0], arm, score, failed, 1.0, 0.2, 0.01)


def test_a_prompt_is_one_row_however_often_it_was_asked() -> None:
    made = tables([trial("a1", "x", 1.0), trial("a1", "x", 0.0), trial("a1", "y", 1.0)], ["x", "y"])
    assert made.quality.tolist() == [[0.5, 1.0]] and made.trials.tolist() == [[2, 1]]
    assert made.task_names == ("a",) and made.column("y") == 1


def test_a_failure_is_worth_nothing_but_has_no_latency() -> None:
    made = tables([trial("a1", "x", None, failed=True), trial("a1", "y", 0.8)], ["x", "y"])
    assert made.quality.tolist() == [[0.0, 0.8]]
    assert np.isnan(made.answered[0, 0]) and np.isnan(made.latency_s[0, 0])
    assert made.failed.tolist() == [[1.0, 0.0]] and made.cost_usd[0, 0] == 0.01
    untold = replace(trial("a1", "x", None, failed=True), cost_usd=None)
    made = tables([untold, trial("a1", "x", 1.0), replace(untold, prompt="a2")], ["x"])
    assert made.cost_usd[0, 0] == 0.01, "what nobody tells is not taken for nothing"
    assert np.isnan(made.cost_usd[1, 0])


def test_what_could_not_be_scored_counts_for_nobody() -> None:
    made = tables([trial("a1", "x", None), trial("a1", "y", None, failed=True)], ["x", "y"])
    assert np.isnan(made.quality).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ExperimentError, match="none of the arms"):
        tables([trial("a1", "z", 1.0)], ["x"])
    with pytest.raises(ExperimentError, match="give 0 to 1"):
        tables([trial("a1", "x", 1.5)], ["x"])
    other = Trial("a1", "b", "x", 1.0, False, 1.0, None, 0.0)
    with pytest.raises(ExperimentError, match="two tasks"):
        tables([trial("a1", "x", 1.0), other], ["x"])
