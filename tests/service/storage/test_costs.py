"""Spend by any labels adds up to the whole, to the micro-dollar; files that nothing runs."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from service.domain.catalog import Price
from service.domain.exporting import csv_lines
from service.domain.money import Charge, tariffs
from service.domain.records import Attempt, Caller, ErrorKind, Role, Usage
from service.reporting.showback import showback
from service.storage.cases import rows_of
from service.storage.costs import DIMENSIONS, SUMS, CostsAsked, costs, plain, write_parquet
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.history import Publisher, connect
from service.storage.spent import Span, cut_off, key_budgets, spent, unsaid
from tests.service.routing.world import deployment
from tests.service.storage.test_tables import decision

pytestmark = pytest.mark.slow
START = 1_790_000_000_000_000
DAY_US = 86_400_000_000
EVIL = "=HYPERLINK(1)"
ALL = CostsAsked((), 0, 4_000_000_000_000_000)


def made(number: int, rng: np.random.Generator) -> tuple[list[Any], list[Attempt]]:
    """A request with one to three calls, some failed, some beside the answer."""
    caller = Caller(
        f"k{number % 3}", str(rng.choice(["acme", "umbrella", ""])), "",
        str(rng.choice(["chat", EVIL, ""])), (("b", "a"), ("a",), ())[number % 3],
    )  # fmt: skip
    at_us = START + number * DAY_US // 50
    decided = decision(caller=caller, at_us=at_us, task=str(rng.choice(["code", "other"])))
    calls = []
    for call in range(1, int(rng.integers(1, 4)) + 1):
        failed = ErrorKind.CUT if rng.random() < 0.3 else None
        role = Role.FIRST if call == 1 else Role.SHADOW if rng.random() < 0.3 else Role.FALLBACK
        usage = Usage(int(rng.integers(1, 500)), 9, 0, int(rng.integers(0, 10**6)), bool(failed))
        name = str(rng.choice(["x", "y"]))
        calls.append(
            Attempt(decided.id, call, at_us + call, name, f"of-{name}", role, 200, failed, None,
                    0.1, usage)
        )  # fmt: skip
    return [decided, *calls], calls


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Database, list]]:  # type: ignore[type-arg]
    state = tmp_path_factory.mktemp("costs")
    database = Database(state / FILE)
    log = EventLog(database)
    log.start()
    rng, attempts = np.random.default_rng(0), []
    for number in range(200):
        records, calls = made(number, rng)
        attempts += calls
        if number == 7:
            records = records[1:]  # its decision was lost in a kill
        for each in records:
            log.append(each)
    log.append(Charge(attempts[0].decision_id, 1, START, "x", 5, 7, 2, 0))
    dated = deployment("x", model="gpt-x", prices=(Price(1, 2), Price(3, 4, from_us=START)))
    for each in tariffs([dated], START):
        log.append(each)
    log.flush().result(20)
    Publisher(database, state).publish(log.last_seq)
    yield state, database, attempts
    log.stop()
    database.close()


def test_every_division_adds_up_to_the_whole(past: tuple[Path, Database, list[Attempt]]) -> None:
    state, database, attempts = past
    whole = sum(a.usage.cost_micro_usd for a in attempts)
    history = connect(state)
    for by in (*((name,) for name in DIMENSIONS), *itertools.combinations(DIMENSIONS, 2),
               tuple(DIMENSIONS)):  # fmt: skip
        found = costs(database.cursor(), replace(ALL, by=by))
        assert found.total["cost_micro_usd"] == whole and found.total["calls"] == len(attempts)
        for name in SUMS:
            assert sum(row[name] for row in found.rows) == found.total[name], (by, name)
        if len(by) < 2:
            assert list(costs(history, replace(ALL, by=by)).rows) == list(found.rows)
    history.close()


def test_each_part_is_what_it_says(past: tuple[Path, Database, list[Attempt]]) -> None:
    _, database, attempts = past
    by = costs(database.cursor(), replace(ALL, by=("deployment",))).rows
    expected = Counter[str]()
    for each in attempts:
        expected[each.deployment] += each.usage.cost_micro_usd
    assert {row["deployment"]: row["cost_micro_usd"] for row in by} == expected
    total = costs(database.cursor(), ALL).total
    beside = [a for a in attempts if a.role.beside]
    failed = [a for a in attempts if a.error_kind and not a.role.beside]
    assert total["beside_micro_usd"] == sum(a.usage.cost_micro_usd for a in beside)
    assert total["failed_micro_usd"] == sum(a.usage.cost_micro_usd for a in failed)
    assert total["requests"] == 200 and total["reasoning_tokens"] == 7 and total["images"] == 2
    tags = {row["tag"] for row in costs(database.cursor(), replace(ALL, by=("tag",))).rows}
    assert tags == {"a + b", "a", "", "(unknown)"}, "tags together, in order: each call under one"
    models = {row["model"] for row in costs(database.cursor(), replace(ALL, by=("model",))).rows}
    assert models == {"gpt-x", "y"}


def test_a_tenant_sees_its_own_and_a_time_is_a_time(
    past: tuple[Path, Database, list[Attempt]],
) -> None:
    _, database, _ = past
    mine = costs(database.cursor(), replace(ALL, by=("tenant",), tenant="acme"))
    assert [row["tenant"] for row in mine.rows] == ["acme"]
    days = replace(ALL, by=("day",), since_us=START, until_us=START + 2 * DAY_US)
    found = costs(database.cursor(), days)
    rest = costs(database.cursor(), replace(days, since_us=days.until_us, until_us=ALL.until_us))
    assert 2 <= len(found.rows) <= 3
    whole = costs(database.cursor(), ALL).total["cost_micro_usd"]
    assert found.total["cost_micro_usd"] + rest.total["cost_micro_usd"] == whole


@pytest.mark.parametrize("by", [("planet",), ("tenant", "tenant"), ("tenant; drop",)])
def test_what_is_no_dimension_is_said(past: Any, by: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="dimension"):
        costs(past[1].cursor(), replace(ALL, by=by))


def test_files_hold_the_same_and_no_spreadsheet_runs_them(past: Any, tmp_path: Path) -> None:
    found = costs(past[1].cursor(), replace(ALL, by=("feature", "tenant")))
    text = "".join(csv_lines([*found.by, *SUMS], found.rows))
    read = list(csv.DictReader(io.StringIO(text)))
    assert {row["feature"] for row in read} == {f"'{EVIL}", "chat", "", "(unknown)"}
    assert sum(int(row["cost_micro_usd"]) for row in read) == found.total["cost_micro_usd"]
    write_parquet(tmp_path / "spend.parquet", found)
    table = pq.read_table(tmp_path / "spend.parquet")
    assert table.column("cost_micro_usd").to_pylist() == [r["cost_micro_usd"] for r in found.rows]
    assert str(table.schema.field("cost_micro_usd").type) == "int64"


def test_showback_adds_up_by_line_and_by_tenant(past: Any) -> None:
    asked = replace(ALL, by=("tenant", "feature", "deployment"))
    content = plain(costs(past[1].cursor(), asked), asked)
    report = showback(content["rows"], content["total"])
    assert report["total"]["cost_micro_usd"] == content["total"]["cost_micro_usd"]
    assert sum(each["share"] for each in report["tenants"]) == pytest.approx(1.0)
    for each in report["tenants"]:
        parts = ("answers_micro_usd", "failed_micro_usd", "beside_micro_usd")
        assert sum(each[name] for name in parts) == each["cost_micro_usd"]
        assert sum(line["cost_micro_usd"] for line in each["lines"]) == each["cost_micro_usd"]
    assert [each["tenant"] for each in showback(content["rows"], content["total"], "acme")[
        "tenants"]] == ["acme"]  # fmt: skip


def test_the_log_tells_what_is_spent_and_what_was_cut_off(past: Any) -> None:
    _, database, attempts = past
    span = Span(START + DAY_US, ALL.until_us, 10**9)
    groups = spent(database.cursor(), span)
    later = [a for a in attempts if a.at_us >= span.since_us]
    assert sum(g.micro_usd for g in groups) == sum(a.usage.cost_micro_usd for a in later)
    assert sum(g.calls for g in groups) == len(later)
    assert sum(g.squares for g in groups) == pytest.approx(
        sum(float(a.usage.cost_micro_usd) ** 2 for a in later)
    )
    assert len(cut_off(database.cursor(), Span(0, ALL.until_us, 10**9))) == 199  # no outcomes here
    assert key_budgets(database.cursor()) == []


def test_calls_that_no_caller_pays_for_are_told_apart_whatever_their_role() -> None:
    """Read from the log they count in the same budgets as they did when they ended."""
    database = Database(None)
    log = EventLog(database)
    log.start()
    decided = decision(caller=Caller("k", "acme"), at_us=START)
    log.append(decided)
    for number, role in enumerate(Role):
        usage = Usage(1, 1, 0, 2**number)
        log.append(Attempt(decided.id, number, START, "x", "p", role, 200, None, None, 0.1, usage))
    log.flush().result()
    beside = sum(2**number for number, role in enumerate(Role) if role.beside)
    assert costs(database.cursor(), ALL).total["beside_micro_usd"] == beside
    groups = spent(database.cursor(), Span(0, ALL.until_us, 10**9))
    assert sum(each.micro_usd for each in groups if each.beside) == beside
    log.stop()


def test_prices_are_logged_when_they_say_something_new(past: Any) -> None:
    dated = deployment("x", model="gpt-x", prices=(Price(1, 2), Price(3, 4, from_us=START)))
    assert unsaid(past[1].cursor(), tariffs([dated], 1)) == []
    dearer = replace(dated, prices=(Price(1, 2), Price(3, 5, from_us=START)))
    (one,) = unsaid(past[1].cursor(), tariffs([dearer], 1))
    assert one.output_micro_usd_mtok == 5
    rows = rows_of(past[1].cursor(), "SELECT count(*) AS n FROM tariffs")
    assert rows == [{"n": 2}]
