"""Design against reality."""

from __future__ import annotations

from experiments.benchmarking.reality import Declared, beside, dominated, performers
from experiments.benchmarking.trials import tables
from experiments.benchmarking.verdicts import overall
from tests.experiments.benchmarking.rig import trials

ARMS = ("small", "middle", "large")


def test_what_is_off_beyond_the_interval_is_told_and_which_way() -> None:
    quality = {"a": {"small": 0.95, "middle": 0.5, "large": 0.7}}
    found = overall(tables(trials(quality, 80), ARMS), 7)
    declared = {
        "small": Declared(0.6, 5.0, 0.001), "middle": Declared(0.9, 0.01),
        "large": Declared(0.7, 0.4, 0.02),
    }  # fmt: skip
    told = {(each.arm, each.figure): each for each in beside(found, declared)}
    assert told["small", "quality"].off and told["small", "quality"].better
    assert told["small", "latency_s"].better and not told["middle", "latency_s"].better
    assert told["middle", "latency_s"].off and ("middle", "cost_usd") not in told
    assert not told["small", "cost_usd"].off and not told["large", "quality"].off
    assert performers(tuple(told.values())) == (("small",), ("middle",))


def test_who_is_worse_and_dearer_is_dominated_by_the_best_beside_it() -> None:
    quality = {"a": {"small": 0.97, "middle": 0.75, "large": 0.2}}
    found = overall(tables(trials(quality, 80), ARMS), 7)
    told = {each.arm: each for each in dominated(found)}
    assert set(told) == {"middle", "large"} and told["large"].by == "small"
    assert told["large"].quality.low > 0 and told["large"].cost_usd.low > 0


def test_the_dear_and_good_is_dominated_by_nobody() -> None:
    quality = {"a": {"small": 0.3, "large": 0.9}}
    assert dominated(overall(tables(trials(quality, 60), ("small", "large")), 7)) == ()
