"""Changes over days are found with their cause, chance is not, and a mix is told from a mean."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from experiments.errors import ExperimentError
from experiments.series import Cell
from experiments.trends import WEEKS, Options, Trend, Trends, date, find, window
from tests.experiments.days import MONDAY, Change, traffic

ONSET = 35


def later(change: Change) -> Change:
    """From the onset on."""

    def apply(day: int, task: str, deployment: str, figures: dict[str, Any]) -> None:
        if day >= ONSET:
            change(day, task, deployment, figures)

    return apply


def longer(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    f["out"] *= 1.4 if (deployment, task) == ("weak", "code") else 1.0


def dearer(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    if deployment == "strong":
        f["prices"] = tuple(1.3 * each for each in f["prices"])


def moved(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    f["requests"] *= {"weak": 0.6, "middle": 1.0, "strong": 1.4}[deployment]


def failing(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    f["error"] = 0.07 if deployment == "middle" else f["error"]


def slower(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    f["p95"] *= 1.5 if deployment == "strong" else 1.0


def silent(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    f["rated"] = 0.1


def poorer(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    f["quality"] -= 0.12 if deployment == "strong" else 0.0


def by_place(found: Trends) -> dict[tuple[str, str, str], Trend]:
    return {(each.metric, each.deployment, each.task): each for each in found.findings}


CASES = [
    (longer, ("cost_per_request", "weak", "code"), "answers"),
    (dearer, ("cost_per_request", "strong", ""), "prices"),
    (moved, ("cost_per_request", "", ""), "deployments"),
    (failing, ("error_rate", "middle", ""), "within"),
    (slower, ("latency_p95", "strong", ""), None),
    (silent, ("response_rate", "", ""), "within"),
    (poorer, ("quality", "strong", ""), "within"),
]


@pytest.mark.parametrize(
    ("change", "place", "cause"), CASES, ids=lambda each: getattr(each, "__name__", str(each))[:30]
)
def test_a_change_is_found_within_five_days_with_its_cause(
    change: Change, place: tuple[str, str, str], cause: str | None
) -> None:
    cells = traffic(ONSET + 6, 1, later(change))
    found = by_place(find(cells, MONDAY + ONSET + 5))
    assert place in found, sorted(found)
    trend = found[place]
    assert trend.harmful and trend.severe and abs(trend.since - MONDAY - ONSET) <= 1
    if cause is None:
        assert trend.parts is None
    else:
        assert trend.parts is not None
        assert abs(getattr(trend.parts, cause)) >= 0.7 * abs(trend.parts.change)
    assert all(each.since >= MONDAY + ONSET - 3 for each in found.values())
    # The level before and after are those of the days, and what the interval holds.
    low, high = sorted((trend.change.low, trend.change.high))
    assert low < trend.after - trend.before < high and low * high > 0.0
    json.dumps(trend.to_dict(), allow_nan=False)


def test_traffic_that_moved_is_no_change_within() -> None:
    found = by_place(find(traffic(45, 2, later(moved)), MONDAY + 44))
    whole = found["cost_per_request", "", ""]
    assert whole.parts is not None
    assert abs(whole.parts.within) < 0.1 * whole.parts.change
    assert not [key for key in found if key[0] == "cost_per_request" and key[2]]
    assert "traffic that moved between deployments" in whole.words
    assert whole.usd_a_day is not None and whole.usd_a_day > 0.0


def test_without_change_nothing_is_found() -> None:
    # Three worlds of 82 series at two looks each; at most 0.05 of such lists may hold anything.
    for seed in range(3):
        cells = traffic(63, 100 + seed)
        for last in (41, 62):
            assert find(cells, MONDAY + last).findings == ()


@pytest.mark.slow
def test_without_change_nothing_is_found_at_any_look_of_a_week() -> None:
    # 20 worlds, every day of two weeks: at most 0.05 of the worlds a week, so 2 of 40; found 0.
    wrong = 0
    for seed in range(20):
        cells = traffic(63, 500 + seed, noise=0.05)
        wrong += any(find(cells, MONDAY + last).findings for last in range(49, 63))
    assert wrong <= 2


def test_days_without_traffic_and_thin_cells_are_left_out() -> None:
    def gone(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
        if day in (10, 11, 30) or (task == "maths" and deployment == "weak"):
            f["requests"] = 0.0
        if task == "maths" and deployment == "middle":
            f["requests"] = 10.0

    found = find(traffic(45, 4, gone), MONDAY + 44)
    assert found.findings == () and found.tested > 40
    assert any("days with data are needed" in why for why in found.silent)
    assert find([], MONDAY + 44).tested == 0


def test_the_window_begins_on_a_monday_and_only_grows_within_a_week() -> None:
    assert date(MONDAY) == "2026-04-06"
    firsts = [window(MONDAY + 63 + day) for day in range(8)]
    assert firsts[:7] == [MONDAY + 63 - 7 * WEEKS] * 7 and firsts[7] == firsts[0] + 7


def test_what_is_better_is_told_and_never_severe() -> None:
    def cheaper(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
        f["prices"] = tuple(0.7 * each for each in f["prices"])

    found = find(traffic(42, 6, later(cheaper)), MONDAY + 41)
    costs = [each for each in found.findings if each.metric == "cost_per_request"]
    assert costs and not any(each.harmful or each.severe for each in costs)
    assert all("fell by" in each.words for each in costs)


def test_bad_options_and_the_plain_form() -> None:
    with pytest.raises(ExperimentError, match="0"):
        Options(alpha=0.0)
    told = find(traffic(20, 1), MONDAY + 19).to_dict()
    assert told["through"] == "2026-04-25" and told["findings"] == []
    assert math.isclose(told["alpha"], 0.05)
    assert Cell(0, "a", "b").requests == 0.0
