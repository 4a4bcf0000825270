"""Reviews made by the clock: each in a child process, and kept."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from service.domain.clock import Clock
from service.feedback.child import run_child
from service.reporting.periods import month_of, quarter_of, week_of
from service.reporting.shelf import has

log = logging.getLogger("headgate.reporting")

HOUR = 6  # UTC, from when on a review is due on its day
CHILD = (sys.executable, "-m", "service.reporting.making")
WORK = "reviewing-"


@dataclass(frozen=True, slots=True)
class Due:
    """A review that should be there: its kind and period."""

    kind: str
    period: str

    @property
    def name(self) -> str:
        """As it is kept."""
        return f"{self.kind}-{self.period}"


def due(now_us: int) -> tuple[Due, ...]:
    """The last review of each kind that should be there: of the week on Monday, of the month on
    the 1st, of the quarter on its 1st, each from 06:00 UTC on.
    """
    moment = datetime.fromtimestamp(now_us / 1e6, UTC) - timedelta(hours=HOUR)
    today = moment.date()
    return (
        Due("weekly", week_of(today - timedelta(days=7)).name),
        Due("monthly", month_of(_before(month_of(today).first)).name),
        Due("quarterly", quarter_of(_before(quarter_of(today).first)).name),
    )


def _before(day: date) -> date:
    return day - timedelta(days=1)


@dataclass(slots=True)
class Reviews:
    """Makes what is due, one at a time. ``limit_s``: how long a child may take; one that failed is
    tried again after ``again_s``, one that had nothing to review in the next period.
    """

    state_dir: Path
    clock: Clock
    environment: Mapping[str, str]
    child: tuple[str, ...] = CHILD
    limit_s: int = 1_800
    again_s: float = 21_600.0
    tried: dict[str, float] = field(default_factory=dict)
    trouble: str = ""

    async def turn(self) -> None:
        """Make the first that is due and not there."""
        now_s = self.clock.monotonic_s()
        for each in due(self.clock.wall_us()):
            last = self.tried.get(each.name)
            if last is not None and now_s - last < self.again_s:
                continue
            if await asyncio.to_thread(has, self.state_dir, each.name):
                continue
            self.tried[each.name] = now_s
            await self._make(each)
            return

    async def _make(self, each: Due) -> None:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=WORK, dir=self.state_dir))
        try:
            command = (*self.child, str(self.state_dir.resolve()), each.kind, each.period)
            said = await run_child(command, folder, self.limit_s, self.environment)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)
        self.trouble = f"{each.name}: {said}" if said else ""
        if said:
            log.warning("the review %s could not be made: %s", each.name, said)
        else:
            log.info("the review %s was made, or there was nothing to review", each.name)

    def clear(self) -> None:
        """Delete what a killed process left."""
        for leftover in self.state_dir.glob(WORK + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
