"""Verdicts: winners where the evidence separates, ties where it does not, and how often wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.benchmarking.trials import tables
from experiments.benchmarking.verdicts import Difficulty, by_task, overall
from experiments.statistics.moments import Interval, Moments
from tests.experiments.benchmarking.rig import trials

ARMS = ("small", "middle", "large")


def test_a_winner_is_named_where_every_difference_leaves_zero_out() -> None:
    quality = {"code": {"small": 0.2, "middle": 0.5, "large": 0.97}}
    found = by_task(tables(trials(quality, 80), ARMS), 7)[0]
    assert found.verdict.winner == "large" and found.verdict.tied == ("large",)
    assert all(found.pair("large", other).separated for other in ("small", "middle"))
    assert found.stability is not None and found.stability.first[2] == 1.0


def test_a_tie_is_a_tie() -> None:
    quality = {"code": {"small": 0.2, "middle": 0.9, "large": 0.92}}
    found = by_task(tables(trials(quality, 60), ARMS), 7)[0]
    assert found.verdict.winner is None
    assert set(found.verdict.tied) == {"middle", "large"} and "tie" in found.verdict.words
    assert found.pair("middle", "small").separated


def test_a_pair_can_be_turned_round() -> None:
    found = overall(tables(trials({"a": {"small": 0.3, "large": 0.8}}, 40), ("small", "large")), 7)
    one, other = found.pair("small", "large"), found.pair("large", "small")
    assert one.quality is not None and other.quality is not None
    assert one.quality.low == -other.quality.high and one.separated and other.separated
    with pytest.raises(KeyError):
        found.pair("small", "nobody")


def test_holm_never_contradicts_an_interval_that_leaves_zero_out() -> None:
    for seed in range(15):
        quality = {t: {"small": 0.4, "middle": 0.6, "large": 0.8} for t in ("a", "b")}
        for each in by_task(tables(trials(quality, 40, seed), ARMS), None):
            for pair in each.pairs:
                assert pair.p_holm is not None
                assert not pair.separated or pair.p_holm <= 0.05


@pytest.mark.slow
def test_false_winners_are_rare_over_all_tasks_together() -> None:
    """Three alike at three tasks, 120 benchmarks: any pair told apart in at most 5 % of them, up to
    three standard errors.
    """
    wrong = 0
    for seed in range(120):
        quality = {task: dict.fromkeys(ARMS, 0.7) for task in ("a", "b", "c")}
        found = by_task(tables(trials(quality, 25, seed), ARMS), None)
        wrong += any(pair.separated for each in found for pair in each.pairs)
    assert wrong / 120 <= 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / 120)


def test_the_difficulty_narrows_what_it_foretells() -> None:
    """Small is right on easy prompts alone; the 40 asked are of 2,000 known ones."""
    made, hard = [], {}
    rng = np.random.default_rng(4)
    for at, each in enumerate(trials({"a": {"small": 0.5, "large": 1.0}}, 40)):
        level = hard.setdefault(each.prompt, float(rng.random()))
        score = 1.0 - level if each.arm == "small" else 1.0
        made.append(
            type(each)(each.prompt, "a", each.arm, score, False, 1.0, None, 0.01 * (at + 1))
        )
    known = {"a": Moments.of(np.random.default_rng(5).random(2_000))}
    found = tables(made, ("small", "large"))
    plain = by_task(found, 7)[0].pairs[0]
    helped = by_task(found, 7, Difficulty(hard, known))[0].pairs[0]
    assert plain.quality is not None and helped.quality is not None
    assert helped.explained is not None and helped.explained > 0.9
    assert width(helped.quality) < width(plain.quality) / 3
    assert helped.quality.low <= -0.5 <= helped.quality.high


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_without_scores_there_is_no_verdict() -> None:
    made = [
        type(t)(t.prompt, t.task, t.arm, None, False, 1.0, None, 0.01)
        for t in trials({"a": {"small": 0.5, "large": 0.5}}, 5)
    ]
    found = by_task(tables(made, ("small", "large")), 7)[0]
    assert found.verdict.winner is None and "cannot say" in found.verdict.words
    assert found.of("small").quality is None and found.stability is None
