"""Charts: names do not hide each other, all lies within the picture, gaps stay gaps."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.reporting import charts

COLOUR = charts.colours(["brook", "granite", "a-deployment-with-a-long-name"])


def numbers(svg: str, name: str) -> list[float]:
    return [float(each) for each in re.findall(rf'[ "]{name}="(-?[0-9.]+)"', svg)]


def within(svg: str) -> None:
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert found is not None
    wide, high = float(found[1]), float(found[2])
    assert all(-0.1 <= each <= wide + 0.1 for each in numbers(svg, "x") + numbers(svg, "cx"))
    assert all(-0.1 <= each <= high + 0.1 for each in numbers(svg, "y") + numbers(svg, "cy"))
    assert "nan" not in svg and "inf" not in svg


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 150.0), min_size=1, max_size=8))
def test_names_keep_their_distance_and_their_order(places: list[float]) -> None:
    moved = charts.spread(places, 13.0, 0.0, 150.0)
    order = sorted(range(len(places)), key=lambda at: places[at])
    told = [moved[at] for at in order]
    assert all(b - a >= 13.0 - 1e-9 for a, b in itertools.pairwise(told))
    assert max(told) <= 150.0


def test_shares_have_axes_names_and_gaps() -> None:
    half: list[float | None] = [0.5] * 56
    half[10:20] = [None] * 10
    svg = charts.shares("write", {"brook": half, "granite": half}, COLOUR)
    within(svg)
    assert svg.count("<polygon") == 4 and "brook 50%" in svg and "100%" in svg and "Sun" in svg


@pytest.mark.parametrize("scale", [0.001, 1.0, 5_000.0])
def test_columns_fit_at_every_scale(scale: float) -> None:
    by = {"brook": [scale] * 7, "granite": [scale, 0.0, *[2 * scale] * 5]}
    svg = charts.columns("US dollars a day", by, COLOUR)
    within(svg)
    assert svg.count("<rect") == 13 + 2 and "$" in svg


def test_dots_and_bands() -> None:
    rows = [{"deployment": name, "mean": 0.8, "low": 0.7, "high": 0.9} for name in COLOUR]
    svg = charts.dots("write", rows, COLOUR)
    within(svg)
    assert "a-deployment…" in svg and svg.count("<circle") == 3
    day = {"p50": 1.0, "p90": 2.0, "p95": 3.0}
    svg = charts.bands("write", [day, None, day, day, None, day, day])
    within(svg)
    assert svg.count("<polyline") == 3 and "4 s" in svg


def test_a_colour_for_each_name() -> None:
    assert len(set(COLOUR.values())) == 3
