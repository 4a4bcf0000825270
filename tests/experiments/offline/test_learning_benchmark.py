"""The report: every policy beside the same references, with intervals and a verdict."""

from __future__ import annotations

import json

import pytest

from experiments.errors import CannotSay
from experiments.offline.learning_benchmark import (
    Bench,
    check_policies,
    jobs,
    question,
    report,
    run_all,
)
from experiments.offline.outcomes import of_frame
from experiments.offline.text_features import build
from tests.experiments.offline.recorded import frame

OUTCOMES = of_frame(frame(600))


def _report(scenario: str, budget: float | None, names: list[str], seeds: int = 3) -> dict:
    asked = question(OUTCOMES, scenario, budget, "svd25")
    bench = Bench(OUTCOMES, build("svd25", OUTCOMES), asked, {})
    return report(asked, OUTCOMES.names, run_all(bench, jobs(names, seeds)))


def test_the_default_beats_random_and_the_mix_and_keeps_the_budget() -> None:
    found = _report("stationary", 0.001, ["default", "random"])
    default, random = found["policies"]["default"], found["policies"]["random"]
    low, high = default["reward_ci95"]
    assert low <= default["reward"] <= high
    assert default["reward"] > random["reward"] + 0.05
    assert default["reward"] > found["references"]["best_static_mix"]
    assert default["spend_over_budget"] == pytest.approx(1.0, abs=0.1)
    assert default["gap_closed"] > 0.5 and "can gain" in found["advice"]
    json.dumps(found, allow_nan=False)


def test_where_one_deployment_dominates_it_says_so() -> None:
    asked = question(OUTCOMES, "stationary", None, "none")
    bench = Bench(OUTCOMES, build("none", OUTCOMES), asked, {})
    found = report(asked, OUTCOMES.names, run_all(bench, jobs(["random"], 1)))
    assert found["advice"].startswith("do not route")
    assert found["policies"]["random"]["gap_closed"] is None


def test_jobs_put_the_policies_of_a_seed_side_by_side() -> None:
    found = jobs(["a", "b"], 2)
    assert [(job.policy, job.seed) for job in found] == [
        ("a", 1000), ("b", 1000), ("a", 1001), ("b", 1001),
    ]  # fmt: skip


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(CannotSay, match=r"unknown policy wizard; known: default, random, linear"):
        check_policies(["default", "wizard"])
    with pytest.raises(CannotSay, match="there are: small, middle, large"):
        question(OUTCOMES, "quality", None, "svd25", "huge")
