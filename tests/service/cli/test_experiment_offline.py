"""`headgate experiment simulate | plan`: tables, JSON alone, history, misuse named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.cli.test_commands import run
from tests.service.storage.published import publish

pytestmark = pytest.mark.slow

SMALL = ("--looks", "20", "--sims", "60", "--units", "400")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> str:
    made: Path = tmp_path_factory.mktemp("state")
    publish(made)
    return str(made)


def simulate(*arguments: str) -> tuple[int, str, str]:
    return run("experiment", "simulate", *arguments)


def plan(*arguments: str) -> tuple[int, str, str]:
    return run("experiment", "plan", *arguments)


def content(told: tuple[int, str, str]) -> Any:
    code, out, err = told
    assert code == 0, err
    return json.loads(out)


def test_a_simulation_is_json_alone_with_a_naive_control() -> None:
    asked = ("--metric", "error_rate", "--effect", "0", *SMALL, "--json")
    found = content(simulate(*asked))
    assert (found["metric"], found["effect"], found["looks"], found["sims"]) == (
        "error_rate", 0.0, 20, 60,
    )  # fmt: skip
    assert found["distribution"] == "bernoulli_0.02"
    rates = {name: row["false_positive_rate"] for name, row in found["methods"].items()}
    assert {"asymptotic_sequence", "betting", "empirical_bernstein", "rate_e_process"} < set(rates)
    assert [name for name in rates if "naive" in name] == ["naive_z"]
    assert found == content(simulate(*asked)), "the same seed, the same runs"


def test_power_and_a_table() -> None:
    found = content(simulate("--metric", "latency_p95", "--effect", "1.5", *SMALL, "--json"))
    row = found["methods"]["quantile_sequence"]
    assert row["power"] > 0.9 and 0 < row["median_units"] <= 800
    asked = ("--distribution", "exponential_2", "--treatment-share", "0.1")
    code, out, _ = simulate("--metric", "latency_mean", "--effect", "0.5", *SMALL, *asked)
    assert code == 0 and "asymptotic_sequence" in out and "median units" in out
    assert "exponential_2, effect 0.5 (relative)" in out and "400 and 3600 units" in out


@pytest.mark.parametrize(
    "slug", ["quality", "reward", "success_rate", "cost_per_success", "latency_p95",
             "fallback_rate", "rating_rate"],
)  # fmt: skip
def test_history_can_be_drawn_again(state: str, slug: str) -> None:
    """Where it has the metric: a reward needs the versions of a policy."""
    told = simulate("--metric", slug, *SMALL, "--state", state, "--json")
    if slug == "reward" and told[0] != 0:
        assert told[0] == 2 and "at least 2 are needed" in told[2]
        return
    found = content(told)
    assert found["distribution"] == "history"
    assert all(0.0 <= row["false_positive_rate"] <= 1.0 for row in found["methods"].values())


def test_a_plan_by_what_is_told() -> None:
    found = content(plan("--metric", "success_rate", "--baseline", "0.8", "--effect", "0.05",
                         "--traffic", "500", "--share-exposed", "0.5", "--rated-share", "0.4",
                         "--json"))  # fmt: skip
    assert found["fixed_horizon"] == {"control": 906, "treatment": 906, "total": 1812,
                                      "days": pytest.approx(18.12)}  # fmt: skip
    assert found["sequential"]["total"] / 1812 == pytest.approx(2.398, abs=0.01)
    assert found["useful_units_a_day"] == 100.0 and found["days_unknown_because"] is None
    weeks = [row["weeks"] for row in found["detectable"]]
    assert weeks == [1, 2, 4]
    assert found["detectable"][0]["sequential"] > found["detectable"][2]["sequential"]
    code, out, _ = plan("--metric", "success_rate", "--baseline", "0.8", "--effect", "0.05",
                        "--traffic", "500")  # fmt: skip
    assert code == 0 and "looking all along" in out and "906" in out and "useful units a day" in out
    code, out, _ = plan(
        "--metric", "latency_mean", "--baseline", "2", "--sd", "3", "--effect", "0.1"
    )
    assert code == 0 and "no days: the traffic of a day is not known" in out


def test_a_plan_by_history(state: str) -> None:
    """Four days of 400 requests; every tenth is a unit of its own."""
    found = content(plan("--metric", "quality", "--effect", "0.1", "--state", state, "--json"))
    assert 0.6 < found["baseline"] < 1.0 and found["sd"] > 0.1
    assert 5.0 < found["useful_units_a_day"] < 40.0
    assert found["sequential"]["days"] > found["fixed_horizon"]["days"] > 1.0
    assert found["notes"] == [], "a rating has no tail"
    asked = ("--metric", "cost_per_request", "--effect", "0.2", "--state", state)
    notes = content(plan(*asked, "--json"))["notes"]
    assert len(notes) == 1 and "heavy tails" in notes[0]
    assert "note: heavy tails" in plan(*asked)[1]
    told = content(plan("--metric", "quality", "--effect", "0.1", "--state", state, "--baseline",
                        "0.5", "--sd", "0.4", "--traffic", "1000", "--rated-share", "1",
                        "--json"))  # fmt: skip
    assert (told["baseline"], told["sd"], told["useful_units_a_day"]) == (0.5, 0.4, 1000.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--metric", "speed"), "no metric is called 'speed': use one of quality"),
     (("--metric", "quality", "--distribution", "lognormal_1"), "leaves [0, 1]"),
     (("--metric", "quality", "--distribution", "normal_1"), "use one of bernoulli_P"),
     (("--metric", "quality", "--looks", "0"), "looks is 0"),
     (("--metric", "judged_quality"), "simulate quality"),
     (("--metric", "judged_quality", "--state", "x"), "plan with --baseline and --sd"),
     (("--metric", "quality", "--effect", "5"), "leads out of [0, 1]"),
     (("--metric", "quality", "--state", "x", "--distribution", "beta_4"), "name one of them")],
)  # fmt: skip
def test_misuse_of_simulate_is_named(arguments: tuple[str, ...], told: str) -> None:
    code, _, err = simulate(*arguments)
    assert code == 2 and told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--metric", "quality", "--effect", "0.1"), "--baseline: give the metric's value now"),
     (("--metric", "latency_p95", "--effect", "0.1", "--baseline", "2"), "sd is not given"),
     (("--metric", "success_rate", "--effect", "0", "--baseline", "0.8"), "effect is 0"),
     (("--metric", "success_rate", "--effect", "0.1", "--baseline", "0.8", "--power", "2"),
      "power is 2.0"),
     (("--metric", "success_rate", "--effect", "0.1", "--baseline", "0.8", "--traffic", "-1"),
      "units is -1.0")],
)  # fmt: skip
def test_misuse_of_plan_is_named(arguments: tuple[str, ...], told: str) -> None:
    code, _, err = plan(*arguments)
    assert code == 2 and told in err


def test_history_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = plan("--metric", "quality", "--effect", "0.1", "--state", str(tmp_path))
    assert code == 1 and "no published history" in err
