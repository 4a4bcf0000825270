"""Steps stand below what they wait for, nothing lies on anything, and lines end where they lead."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

from service.console.flow import HIGH, WIDE, Step, depths, flow


def spec_of(steps: list[Step]) -> dict[str, Any]:
    tag, given, children = flow("A graph", steps)
    assert tag == "flow" and not children and given["label"] == "A graph"
    return dict(json.loads(json.dumps(given["spec"])))


def test_a_chain_stands_in_one_column() -> None:
    steps = [Step("a", "a"), Step("b", "b", needs=("a",)), Step("c", "c", needs=("b",))]
    spec = spec_of(steps)
    assert len({each["x"] for each in spec["boxes"]}) == 1
    assert [each["title"] for each in sorted(spec["boxes"], key=lambda e: e["y"])] == [
        "a",
        "b",
        "c",
    ]
    assert len(spec["lines"]) == 2 and all(each["ends"] for each in spec["lines"])


def test_any_graph_is_laid_out_without_overlaps() -> None:
    rng = random.Random(4)
    for _ in range(40):
        count = rng.randint(1, 14)
        steps = [
            Step(str(i), f"step {i}", needs=tuple(str(j) for j in range(i) if rng.random() < 0.3))
            for i in range(count)
        ]
        spec, depth = spec_of(steps), depths({each.id: each.needs for each in steps})
        assert len(spec["boxes"]) == count
        rows: dict[float, list[float]] = {}
        for each in spec["boxes"]:
            rows.setdefault(each["y"], []).append(each["x"])
            assert each["x"] >= 0 and each["x"] + WIDE <= spec["width"]
            assert each["y"] + HIGH <= spec["height"]
        assert len(rows) == max(depth.values()) + 1
        for row in rows.values():
            assert all(right - left >= WIDE for left, right in pairwise(sorted(row)))
        assert sum(each["ends"] for each in spec["lines"]) == sum(_needed(steps).values())


def _needed(steps: list[Step]) -> dict[str, int]:
    """How many lines lead to each: to what is reached by another way, none."""
    needs = {each.id: each.needs for each in steps}

    def reaches(start: str, goal: str) -> bool:
        return any(each == goal or reaches(each, goal) for each in needs[start])

    return {
        name: sum(not any(reaches(other, each) for other in of) for each in of)
        for name, of in needs.items()
    }


def test_what_waits_in_a_circle_is_left_out_and_long_names_are_cut() -> None:
    steps = [Step("a", "a" * 60), Step("b", "b", needs=("c",)), Step("c", "c", needs=("b",))]
    spec = spec_of(steps)
    assert [each["title"][-1] for each in spec["boxes"]] == ["…"] and not spec["lines"]
    assert spec["boxes"][0]["told"].startswith("a" * 60)
    assert spec_of([])["boxes"] == []
