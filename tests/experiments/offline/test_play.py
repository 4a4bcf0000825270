"""A policy is told what it may know when it may know it, and measured on what is scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.offline.outcomes import of_frame
from experiments.offline.play import Played, Wanted, measure, play
from experiments.offline.streams import SCENARIOS, UNSCORED, Stream, focus_of, make
from experiments.offline.text_features import build
from learning.interaction import Interaction
from learning.policies.linear import Linear
from tests.experiments.offline.recorded import frame

OUTCOMES = of_frame(frame())
FEATURES = build("svd25", OUTCOMES)


def _played(scenario: str, kind: str = "linear", **parameters: Any) -> tuple[Stream, Played]:
    stream = make(OUTCOMES, scenario, 5, focus_of(OUTCOMES, scenario, 0.001))
    budget = 0.001 if kind == "linear" else None
    return stream, play(OUTCOMES, FEATURES, stream, Wanted(kind, parameters, budget), 5)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_played_and_measured(scenario: str) -> None:
    stream, played = _played(scenario)
    found = measure(stream, played, 0.001)
    assert all(np.isfinite(value) for value in found.values())
    assert ((played.propensity > 0) & (played.propensity <= 1)).all()
    rows = np.arange(len(stream.rows))
    assert np.array_equal(played.reward, stream.reward[rows, played.arm])
    scored = stream.phase != UNSCORED
    assert found["reward"] == pytest.approx(played.reward[scored].mean())


def test_the_same_seed_plays_the_same() -> None:
    one, two = _played("stationary")[1], _played("stationary")[1]
    assert np.array_equal(one.arm, two.arm) and np.array_equal(one.propensity, two.propensity)


def test_a_newcomer_is_not_drawn_before_it_comes() -> None:
    stream, played = _played("newmodel_mid", "uniform")
    start = next(iter(stream.events))
    assert (played.arm[:start] != stream.focus).all() and (played.arm[start:] == stream.focus).any()


def test_a_missing_rating_is_never_told_and_a_late_one_not_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[float, float]] = []
    latest = [0.0]
    learn = Linear.learn

    def listening(self: Linear, interaction: Interaction) -> None:
        if interaction.reward.quality is None:
            latest[0] = interaction.at_s
        else:
            told.append((interaction.at_s, latest[0]))
        learn(self, interaction)

    monkeypatch.setattr(Linear, "learn", listening)
    stream, _ = _played("delayed")
    assert stream.missing is not None and stream.delay is not None
    assert 0 < len(told) <= (~stream.missing).sum()
    steps = [round(at - 1e9) for at, _ in told]
    assert not stream.missing[steps].any()
    for step, (_, now) in zip(steps, told, strict=True):
        assert now - 1e9 >= step + stream.delay[step] - 1


def test_the_steps_of_a_fall_and_of_a_newcomer_are_counted() -> None:
    count = 300
    phase = np.repeat([1, 2, 3], 100)
    arm = np.zeros(count, dtype=np.int64)
    arm[130:210] = 1
    blank = np.zeros((count, 2))
    stream = Stream("quality", np.arange(count), blank, blank, phase, (0, 1), 0)
    played = Played(arm, np.ones(count), np.ones(count), np.ones(count), (50, 150))
    found = measure(stream, played, None)
    assert found["steps_to_halve"] == 55.0  # of the last 50, 26 are elsewhere
    assert found["steps_to_give_back"] == 49.0
    assert found["false_alarms"] == 1.0 and found["still_decisions"] == 100.0
