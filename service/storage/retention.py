"""What the published history lets go: old days of the tables that traffic fills."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from service.storage.compaction import DAY_S, by_day

# The other tables are small, and a restore needs all of them: keys, versions, checkpoints,
# promotions, experiments, overrides, shadows, reviews, marks, and what people did.
DROPPED = (
    "decisions", "attempts", "outcomes", "feedback", "updates", "weights", "shadow_decisions",
    "judgements", "judgings", "refusals", "charges",
)  # fmt: skip
PATIENCE_S = 3_600.0
HOUR_S = 3_600.0

# The last update that every checkpoint in use holds: later ones are needed to come back to what was
# learned. Null where there is no checkpoint; then all of them are. In use are the checkpoints of
# versions that were saved within a day of the newest one.
NEEDED = """
    SELECT min(seq) FROM (SELECT max(update_seq) AS seq, max(ts) AS ts FROM checkpoints
                          GROUP BY version_id)
    WHERE ts >= (SELECT max(ts) FROM checkpoints) - INTERVAL 1 DAY"""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What of a table is gone: the days before ``before`` (YYYY-MM-DD), and how many rows."""

    before: str
    rows: int


class Retention:
    """Counts on the monotonic clock how long a day has been too old, so that a jump of the wall
    clock that is set right within the hour drops nothing.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._since_s: dict[str, float] = {}

    def expired(
        self, files: Mapping[str, Sequence[str]], now: float, keep_days: int | None
    ) -> dict[str, list[str]]:
        """The files by table whose day is more than ``keep_days`` before today."""
        if keep_days is None:
            self._since_s.clear()
            return {}
        first = time.strftime("%Y-%m-%d", time.gmtime(now - HOUR_S - keep_days * DAY_S))
        old = {
            name: [(day, path) for day, paths in by_day(files.get(name, ())).items()
                   for path in paths if day < first]
            for name in DROPPED
        }  # fmt: skip
        days = {day for entries in old.values() for day, _ in entries}
        now_s = self._monotonic_s()
        self._since_s = {day: self._since_s.get(day, now_s) for day in days}
        return {
            name: gone
            for name, entries in old.items()
            if (gone := [p for day, p in entries if now_s - self._since_s[day] >= PATIENCE_S])
        }


def dropped_now(before: Dropped | None, gone: Sequence[str], rows: int) -> Dropped:
    """What of a table is gone, with these files and their rows."""
    last = max(path.split("/")[1].removeprefix("day=") for path in gone)
    next_day = (date.fromisoformat(last) + timedelta(days=1)).isoformat()
    if before is None:
        return Dropped(next_day, rows)
    return Dropped(max(before.before, next_day), before.rows + rows)
