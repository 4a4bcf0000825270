"""A day's cells are counted from the log as they are by hand, and trends from the history."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.series import ALL, Cell
from experiments.trends import date
from service.domain.records import ErrorKind, Mode, Usage
from service.storage.daily import DAY_US, Span, cells_of, span, told_of, trends, usual_metric
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.history import Publisher, connect
from tests.service.cli.test_commands import run
from tests.service.storage.test_tables import attempt, decision, feedback, outcome

MONDAY = 20_549
PRICE = (1e-6, 4e-6)


def records(days: int, a_day: int, dearer_on: int) -> list[object]:
    """Requests at two deployments; from a day on ``y`` costs twice as much a token."""
    rng, made = np.random.default_rng(2), []
    for day in range(days):
        for number in range(a_day):
            at_us = (MONDAY + day) * DAY_US + number * 1_000_000
            name = "y" if number % 3 == 0 else "x"
            task = "code" if number % 2 else "chat"
            x, y = int(rng.integers(50, 500)), int(rng.integers(20, 300))
            factor = 2.0 if name == "y" and day >= dearer_on else 1.0
            usage = Usage(x, y, 0, round(1e6 * factor * (PRICE[0] * x + PRICE[1] * y)))
            one = decision(deployment=name, task=task, at_us=at_us)
            latency = float(rng.lognormal(0.0, 0.3))
            made += [
                one,
                attempt(one, at_us=at_us, deployment=name, status=200, error_kind=None,
                        usage=usage),
                replace(outcome(one), at_us=at_us, deployment=name, mode=Mode.RANDOMISED,
                        attempts=1, latency_s=latency, usage=usage),
            ]  # fmt: skip
            if number % 2 == 0:
                value = float(rng.random() < 0.8)
                made.append(feedback(one, at_us=at_us, value=value, quality=value))
    return made


def log_of(state: Path, rows: list[object]) -> tuple[Database, EventLog]:
    database = Database(state / FILE)
    log = EventLog(database)
    log.start()
    if rows:
        log.append_durable(*rows).result(60)
    return database, log


def test_a_days_cells_are_what_was_logged(tmp_path: Path) -> None:
    at = MONDAY * DAY_US
    failed = decision(deployment="x", at_us=at)
    rated = decision(deployment="y", at_us=at + 5)
    twice = {"value": 1.0, "quality": 1.0, "at_us": at + 9}
    rows: list[object] = [
        failed,
        attempt(failed, at_us=at, deployment="x"),
        attempt(failed, at_us=at, number=2, deployment="y", status=200, error_kind=None),
        replace(outcome(failed), at_us=at, deployment="y", latency_s=2.0,
                usage=Usage(10, 20, 0, 500_000)),
        rated,
        attempt(rated, at_us=at, deployment="y", status=400, error_kind=ErrorKind.INVALID),
        replace(outcome(rated), at_us=at, deployment="y", mode=Mode.STICKY, attempts=1,
                latency_s=4.0, usage=Usage(3, 5, 0, 100_000)),
        feedback(rated, **{**twice, "quality": 0.0}), feedback(rated, **twice),
        feedback(rated, **{**twice, "author": "late", "at_us": at + DAY_US + 6}),
        feedback(rated, **{**twice, "metric": "other"}),
        decision(deployment="x", at_us=at + DAY_US),
    ]  # fmt: skip
    database, log = log_of(tmp_path, rows)
    cells = cells_of(database.cursor(), MONDAY, MONDAY + 1, "rating")
    found = {(each.deployment, each.task): each for each in cells}
    log.stop()
    assert set(found) == {("x", "code"), ("x", ALL), ("y", "code"), ("y", ALL), (ALL, ALL)}
    cell = found["y", "code"]
    assert cell == replace(found["y", ALL], task="code")
    assert (cell.requests, cell.answered, cell.cost_usd) == (2, 2, 0.6)
    assert (cell.calls, cell.failed) == (1, 0)  # the fallback is no first call; 400 no fault
    assert (cell.rateable, cell.rated, cell.quality) == (1, 1, 1.0)  # revised, and in time
    assert (cell.tokens_in, cell.tokens_out, cell.out_squares) == (13, 25, 425)
    assert cell.bill.xy == 15.0 and cell.bill.xc == pytest.approx(0.3)
    assert cell.p95_s == pytest.approx(3.9) and cell.p95_error > 0.0
    assert found["x", "code"] == Cell(MONDAY, "x", "code", calls=1, failed=1)
    assert span(database.cursor()) == Span(MONDAY, MONDAY + 1)
    assert told_of(database.cursor(), "nothing", 0) == []
    database.close()


@pytest.mark.slow
def test_a_change_is_found_in_the_published_history(tmp_path: Path) -> None:
    database, log = log_of(tmp_path, records(24, 100, 18))
    by_day = [
        each
        for day in (0, 6, 20)
        for each in cells_of(database.cursor(), MONDAY + day, MONDAY + day + 1, "rating")
    ]
    Publisher(database, tmp_path).publish(log.last_seq, (MONDAY + 24.5) * 86_400.0)
    log.stop()
    database.close()
    connection = connect(tmp_path)
    assert usual_metric(connection) == "rating"
    together = [e for e in cells_of(connection, MONDAY, MONDAY + 24, "rating")
                if e.day - MONDAY in (0, 6, 20)]  # fmt: skip
    order = [sorted(cells, key=lambda e: (e.day, e.deployment, e.task))
             for cells in (by_day, together)]  # fmt: skip
    assert [(e.day, e.deployment, e.task, e.requests, e.rated) for e in order[0]] == [
        (e.day, e.deployment, e.task, e.requests, e.rated) for e in order[1]
    ]
    found = trends(connection)
    assert found is not None and date(found.last_day) == "2026-04-28"  # the last may not be whole
    code, out, _ = run("trends", "--state", str(tmp_path), "--json")
    told = json.loads(out)
    assert code == 0 and told["through"] == "2026-04-29"
    places = {(e["metric"], e["deployment"], e["task"]): e for e in told["findings"]}
    dearer = places["cost_per_request", "y", ""]
    assert dearer["since"] == "2026-04-24" and dearer["severe"]
    parts = dearer["parts"]
    assert parts["prices"] == pytest.approx(parts["after"] - parts["before"], rel=0.15)
    assert math.isclose(
        parts["tasks"] + parts["deployments"] + parts["within"], parts["after"] - parts["before"],
        rel_tol=1e-9,
    )  # fmt: skip
    assert {key[1] for key in places} <= {"y", ""}


def test_an_empty_log_has_no_trends_and_a_missing_one_is_said(tmp_path: Path) -> None:
    database, log = log_of(tmp_path, [])
    assert span(database.cursor()) is None and trends(database.cursor()) is None
    Publisher(database, tmp_path).publish(log.last_seq)
    log.stop()
    database.close()
    code, out, _ = run("trends", "--state", str(tmp_path))
    assert code == 0 and "nothing was judged yet" in out
    code, _, err = run("trends", "--state", str(tmp_path / "gone"))
    assert code == 1 and "no published history" in err
