"""The report: every policy beside the same references, with intervals and a verdict."""

from __future__ import annotations

import json
from dataclasses import replace

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
from experiments.offline.play import known_before
from experiments.offline.streams import make
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


def test_who_is_told_the_unscored_prompts_begins_where_others_end() -> None:
    asked = question(OUTCOMES, "stationary", None, "svd25")
    features, wanted = build("svd25", OUTCOMES), jobs(["default"], 3)
    cold = run_all(Bench(OUTCOMES, features, asked, {}), wanted)
    warm = run_all(Bench(OUTCOMES, features, replace(asked, warm=True), {}), wanted)
    for one, other in zip(cold, warm, strict=True):
        assert one.references == other.references  # the same scored requests
        assert other.figures["still_decisions"] == 450.0 < one.figures["still_decisions"]
        assert other.curve[0] > 0.8
    assert sum(r.figures["reward"] for r in warm) > sum(r.figures["reward"] for r in cold)
    assert report(replace(asked, warm=True), OUTCOMES.names, warm)["warm"] is True


def test_nobody_is_told_of_a_newcomer_beforehand() -> None:
    stream = make(OUTCOMES, "newmodel", 3, 1)
    told = known_before(OUTCOMES, build("svd25", OUTCOMES), stream)
    assert told.arms == ("small", "large") and told.count.tolist() == [150.0, 150.0]
