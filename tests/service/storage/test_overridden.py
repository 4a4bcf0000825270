"""What overrides touched beside what came shortly before and after, over known rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from experiments.errors import CannotSay
from experiments.statistics.moments import Interval
from service.domain.records import Mode, Override, OverrideEnd, Usage
from service.storage.errors import StorageError
from service.storage.history import connect
from service.storage.overridden import Overridden, overridden
from tests.service.storage.test_history import Kept
from tests.service.storage.test_tables import feedback, outcome
from tests.service.storage.test_views import HOUR, START, at

HOURS = 3_600


def asked(
    hour: float,
    cost: int,
    task: str = "code",
    override: str | None = None,
    rated: float | None = None,
) -> list[object]:
    """A request at an hour after the start, forced where an override is named, and its outcome."""
    mode = Mode.OVERRIDE if override else Mode.RANDOMISED
    made = at(int(hour * HOURS), task=task, mode=mode, override_id=override)
    ended = replace(
        outcome(made), at_us=made.at_us, mode=mode, usage=Usage(1, 2, 0, cost), latency_s=0.5
    )
    given = [] if rated is None else [feedback(made, quality=rated, at_us=made.at_us)]
    return [made, ended, *given]


def found(state: Path, *records: object) -> list[Overridden]:
    kept = Kept(state)
    kept.add(*records)
    kept.publish()
    kept.log.stop()
    kept.database.close()
    with connect(state) as connection:
        return overridden(connection)


def laid(name: str, hour: int, task: str) -> list[object]:
    """An override of an hour, lifted when half of it was over."""
    begins = START + hour * HOUR
    return [
        Override(name, begins, "force", "x", task, "an outage", "ann", begins, begins + HOUR),
        OverrideEnd(name, begins + HOUR // 2, "lifted", "ann", "over"),
    ]


def test_touched_less_near_of_the_same_task(tmp_path: Path) -> None:
    near = [
        asked(hour, cost, rated=0.5) for hour, cost in ((2, 100), (9, 300), (11, 100), (30, 300))
    ]
    touched = [
        asked(10.1 + 0.1 * each, 1_000 + 200 * (each % 2), override="o1") for each in range(4)
    ]
    far = [asked(-30, 9_000), asked(40, 9_000), asked(9, 9_000, task="chat"), asked(10.2, 9_000)]
    told = found(
        tmp_path, *laid("o1", 10, "code"), *laid("o2", 20, "chat"),
        *(each for rows in (*near, *touched, *far) for each in rows),
    )  # fmt: skip
    assert [each.id for each in told] == ["o1"], "o2 touched nothing"
    (one,) = told
    assert (one.decisions, one.near) == (4, 4)
    assert (one.action, one.deployment, one.reason, one.author) == (
        "force",
        "x",
        "an outage",
        "ann",
    )
    assert (one.ends_at - one.starts_at).total_seconds() == HOURS / 2
    cost = one.cost_usd
    assert isinstance(cost, Interval) and cost.estimate == pytest.approx((1_100 - 200) / 1e6)
    assert cost.low < cost.estimate < cost.high
    assert isinstance(one.quality, CannotSay), "none of its answers was rated"
    assert isinstance(one.latency_s, CannotSay), "the latencies do not vary"


def test_tasks_are_weighed_as_they_were_touched(tmp_path: Path) -> None:
    """Three of four touched were code, 100 dearer; one was chat, of which too few are near."""
    rows = [asked(hour, 100 + each, task="code") for each, hour in enumerate((6, 7, 8))]
    rows += [asked(10.1 + 0.1 * each, 200 + each, override="o1") for each in range(3)]
    rows += [asked(10.4, 5_000, task="chat", override="o1"), asked(9, 1, task="chat")]
    (one,) = found(tmp_path, *laid("o1", 10, ""), *(each for row in rows for each in row))
    assert isinstance(one.cost_usd, Interval)
    assert one.cost_usd.estimate == pytest.approx(100 / 1e6)
    assert one.decisions == 4


def test_a_history_that_cannot_be_read() -> None:
    with duckdb.connect() as empty, pytest.raises(StorageError, match="cannot be read"):
        overridden(empty)
