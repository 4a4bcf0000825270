"""Who rates: whether ratings come as often for every deployment's answers, and words if not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.statistics.response_rate import (
    Cell,
    Quality,
    Rate,
    Report,
    Verdict,
    judge,
    qualities,
)
from service.domain.clock import Clock

WINDOW_US = 6 * 86_400_000_000  # and the day in which it begins
SETTLE_US = 600_000_000  # younger answers may still be rated

Counts = Callable[[int, int], list[Cell]]  # from, until (microseconds): the drawn answers


@dataclass(frozen=True, slots=True)
class Responses:
    """What was seen at the last look."""

    report: Report
    qualities: tuple[Quality, ...]
    in_task: tuple[Quality, ...]  # in the task that the report names

    def warning(self) -> str:
        """In words, that rates differ and what that means; empty where nothing says so."""
        if self.report.verdict is not Verdict.UNEVEN or len(self.report.in_task) < 2:
            return ""
        in_order = sorted(self.report.in_task, key=lambda rate: rate.interval.estimate)
        most, least = in_order[-1], in_order[0]
        bounds = {each.deployment: each.bounds for each in self.in_task}
        spans = " and ".join(
            f"{rate.deployment}'s {word} {bounds[rate.deployment].low:.2f} to "
            f"{bounds[rate.deployment].high:.2f}"
            for rate, word in ((most, "mean lies in"), (least, "in"))
        )
        return (
            f"ratings come for {_percent(most)} of {most.deployment}'s answers and "
            f"{_percent(least)} of {least.deployment}'s (task {self.report.task}): quality is "
            "learned from those who rate; whatever the others think, "
            f"{spans}"
        )


def _percent(rate: Rate) -> str:
    return f"{100.0 * rate.interval.estimate:.0f} %"


class ResponseBoard:
    """Looks at the last seven days; the verdict holds however often it looks."""

    def __init__(self, counts: Counts, clock: Clock) -> None:
        self._counts, self._clock = counts, clock
        self.current = seen([])

    def evaluate(self) -> Responses:
        """Count and judge anew; blocks, so call it off the loop."""
        until_us = self._clock.wall_us() - SETTLE_US
        self.current = seen(self._counts(until_us - WINDOW_US, until_us))
        return self.current

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        return [self.current.warning()] if self.current.warning() else []


def seen(cells: Sequence[Cell]) -> Responses:
    """What the counts say."""
    report = judge(cells)
    of_task = [cell for cell in cells if cell.task == report.task]
    return Responses(report, qualities(cells), qualities(of_task))
