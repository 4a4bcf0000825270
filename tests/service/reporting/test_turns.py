"""Reviews by the clock: due when they are, made once, kept whole, tried again after a failure."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.config import child_environment
from service.reporting.turns import Reviews, due


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


class SetClock:
    """A clock that stands where it was put."""

    def __init__(self, text: str) -> None:
        self.now_us, self.passed_s = us(text), 0.0

    def wall_us(self) -> int:
        return self.now_us

    def monotonic_s(self) -> float:
        return self.passed_s


@pytest.mark.parametrize(
    ("now", "names"),
    [
        ("2026-11-23T05:59:59", ("2026-W46", "2026-10", "2026-Q3")),
        ("2026-11-23T06:00:00", ("2026-W47", "2026-10", "2026-Q3")),
        ("2026-12-01T06:00:00", ("2026-W48", "2026-11", "2026-Q3")),
        ("2027-01-01T05:59:00", ("2026-W52", "2026-11", "2026-Q3")),
        ("2027-01-01T06:00:00", ("2026-W52", "2026-12", "2026-Q4")),
    ],
)
def test_each_is_due_from_six_on_its_day(now: str, names: tuple[str, ...]) -> None:
    assert tuple(each.period for each in due(us(now))) == names


@pytest.mark.slow
def test_what_is_due_is_made_once_by_a_child_and_kept(marked: Path) -> None:
    reviews = Reviews(marked, SetClock("2026-11-23T06:00:30"), child_environment())
    asyncio.run(reviews.turn())
    names = sorted(path.name for path in (marked / "reports").iterdir())
    assert names == ["weekly-2026-W47.html", "weekly-2026-W47.json", "weekly-2026-W47.md"]
    assert not reviews.trouble and not list(marked.glob("reviewing-*"))
    before = (marked / "reports" / names[0]).stat().st_mtime_ns
    reviews.tried.clear()
    reviews.child = (sys.executable, "-c", "raise SystemExit(3)")
    asyncio.run(reviews.turn())  # the month's is due next, and fails
    assert reviews.trouble.startswith("monthly-2026-10") and "code 3" in reviews.trouble
    assert (marked / "reports" / names[0]).stat().st_mtime_ns == before


def test_a_failure_is_tried_again_later_and_leaves_nothing(tmp_path: Path) -> None:
    clock = SetClock("2026-11-23T06:00:30")
    child = (sys.executable, "-c", "raise SystemExit(3)")
    reviews = Reviews(tmp_path, clock, child_environment(), child)
    for _ in range(4):
        asyncio.run(reviews.turn())
    assert len(reviews.tried) == 3 and list(tmp_path.iterdir()) == []
    clock.passed_s = reviews.again_s
    asyncio.run(reviews.turn())
    assert reviews.tried["weekly-2026-W47"] == clock.passed_s
    (tmp_path / "reviewing-left").mkdir()
    reviews.clear()
    assert list(tmp_path.iterdir()) == []
