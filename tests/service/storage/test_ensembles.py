"""What each arm of an ensemble has shown, read from the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.domain.ensembles import Ensembled
from service.domain.records import Mode, Usage
from service.storage.database import Database
from service.storage.ensembles import evidence, read_ensembled
from service.storage.event_log import EventLog
from tests.service.storage.test_tables import decision, feedback, outcome

ROW = Ensembled(
    "", 0, "votes", "d1", 1, "maths", "ensemble", 0.85, ("x", "y"), (1, 2),
    ("answered", "cancelled"), ("A", ""), (1.0, 0.0), "vote", 1, "x", False, "first 1", "because",
    300, 100, 3.0, 0.5,
)  # fmt: skip


@pytest.fixture
def log() -> Iterator[EventLog]:
    database = Database(None)
    made = EventLog(database, flush_s=0.005)
    made.start()
    made.cursor = database.cursor  # type: ignore[attr-defined]
    yield made
    made.stop()
    database.close()


def answered(log: EventLog, arm: str, status: int = 200, **rated: float) -> str:
    """One request of an arm, rated by kind."""
    made = decision(task="maths")
    ended = replace(outcome(made), status=status, mode=Mode.ENSEMBLE, usage=Usage(1, 1, 0, 300))
    row = replace(ROW, decision_id=made.id, at_us=made.at_us, arm=arm)
    beside = 100 if arm == "ensemble" else 0
    for record in (made, ended, replace(row, beside_micro_usd=beside)):
        log.append(record)
    for kind, quality in rated.items():
        log.append(feedback(made, quality=quality, kind=kind, metric="rating"))
    return made.id


def test_arms_are_told_apart_and_failures_are_worth_nothing(log: EventLog) -> None:
    first = answered(log, "ensemble", user=1.0)
    answered(log, "ensemble", judge=0.5)
    answered(log, "ensemble")
    answered(log, "single", user=0.5)
    answered(log, "single", status=503)
    answered(log, "aside", user=0.0)
    log.flush().result(10)
    cursor = log.cursor()  # type: ignore[attr-defined]
    (arms,) = evidence(cursor, 0, "rating", 0.001, ()).values()
    ours, single = arms["ensemble"], arms["single"]
    assert set(arms) == {"ensemble", "single"}
    assert (ours.answers, ours.quality.count, ours.quality.mean) == (3, 2, 0.75)
    assert ours.usd == pytest.approx(0.0004), "with what the judges cost"
    assert ours.utility.mean == pytest.approx(0.75 - 0.4)
    assert ours.quality.variance == pytest.approx(0.125)
    assert (single.answers, single.quality.count, single.quality.mean) == (2, 2, 0.25)
    (judged,) = evidence(cursor, 0, "rating", 0.001, ("d1",)).values()
    assert (judged["ensemble"].quality.count, judged["ensemble"].quality.mean) == (1, 1.0)
    found = read_ensembled(cursor, first)
    assert found is not None and replace(found, decision_id="", at_us=0) == ROW
