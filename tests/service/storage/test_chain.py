"""The chain over what was done: whatever is changed, lost, moved or put in is found, and where."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from service.storage.chain import GENESIS, Head, hash_of, links, verify
from service.storage.database import FILE, Database, migrations
from service.storage.history import FOLDER
from service.storage.manifest import read_manifest
from service.storage.restore import open_live, rebuild
from service.storage.trail import Looked, Wanted, acts, all_acts, look, look_published
from tests.service.storage.test_history import Kept, act

pytestmark = pytest.mark.slow

ROWS = 12


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    for number in range(ROWS):
        made.add(act(f"a{number}"))
    made.publish()
    yield made
    made.log.stop()
    made.database.close()


def looked(kept: Kept, known: str = "") -> Looked:
    head = read_manifest(kept.state).head
    return look(kept.database.cursor(), head, known)


def test_every_act_is_chained_in_the_writers_order(kept: Kept) -> None:
    found = looked(kept)
    assert found.holds and found.anchored and found.verdict.rows == ROWS
    rows = list(links(kept.database.cursor(), "acts"))
    assert rows[0].prev_hash == GENESIS
    assert all(b.prev_hash == a.hash for a, b in itertools.pairwise(rows))
    assert rows[0].hash == hash_of(rows[0].values, GENESIS)
    assert looked(kept, known=str(rows[3].hash)).holds
    lost = looked(kept, known="ab" * 32)
    assert not lost.holds and "that was known" in lost.verdict.breaks[0].what


CHANGES = {
    "a field": "UPDATE acts SET reason = 'x' WHERE log_seq = 6",
    "a letter of the detail": "UPDATE acts SET detail = replace(detail, 'a5', 'a6') "
    "WHERE log_seq = 6",
    "the time by a microsecond": "UPDATE acts SET ts = ts + INTERVAL 1 MICROSECOND "
    "WHERE log_seq = 6",
    "a field to null": "UPDATE acts SET author = NULL WHERE log_seq = 6",
    "the stored hash": "UPDATE acts SET hash = repeat('0', 64) WHERE log_seq = 6",
    "the link": "UPDATE acts SET prev_hash = repeat('0', 64) WHERE log_seq = 6",
    "taken out of the chain": "UPDATE acts SET hash = NULL, prev_hash = NULL WHERE log_seq = 6",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_was_changed_is_named(kept: Kept, change: str) -> None:
    kept.database.execute(CHANGES[change])
    found = looked(kept)
    assert not found.holds
    assert found.verdict.breaks[0].seq == 6 and found.verdict.breaks[0].id == "a5"
    assert found.verdict.broken <= 3, "one row that was changed is not the whole trail"


def test_a_row_that_is_missing_is_found(kept: Kept) -> None:
    kept.database.execute("DELETE FROM acts WHERE log_seq = 6")
    told = looked(kept).verdict.breaks
    assert told[0].seq == 7 and "does not follow row 5" in told[0].what
    assert f"{ROWS} rows up to this one were published, {ROWS - 1} are there" in told[1].what


def test_the_first_row_that_is_missing_is_found(kept: Kept) -> None:
    kept.database.execute("DELETE FROM acts WHERE log_seq = 1")
    assert looked(kept).verdict.breaks[0].seq == 2


def test_rows_that_changed_places_are_found(kept: Kept) -> None:
    kept.database.execute(
        "UPDATE acts SET log_seq = CASE log_seq WHEN 5 THEN 6 ELSE 5 END WHERE log_seq IN (5, 6)"
    )
    assert {each.seq for each in looked(kept).verdict.breaks} >= {5, 6}


def test_a_cut_tail_is_found_by_what_was_published(kept: Kept) -> None:
    kept.database.execute(f"DELETE FROM acts WHERE log_seq > {ROWS - 2}")
    found = looked(kept)
    assert found.verdict.broken == 1 and found.verdict.breaks[0].seq == ROWS
    assert "was published" in found.verdict.breaks[0].what
    assert look(kept.database.cursor(), None).holds, "without it a shorter chain is a chain"


def test_a_chain_made_again_after_a_change_is_found_by_what_was_published(kept: Kept) -> None:
    kept.database.execute("UPDATE acts SET reason = 'x' WHERE log_seq = 6")
    head = GENESIS
    for link in list(links(kept.database.cursor(), "acts")):
        new = hash_of(link.values, head)
        kept.database.execute(
            f"UPDATE acts SET prev_hash = '{head}', hash = '{new}' WHERE log_seq = {link.seq}"
        )
        head = new
    assert look(kept.database.cursor(), None).holds
    told = looked(kept).verdict.breaks
    assert told[0].seq == ROWS and "not the one that was published" in told[0].what


def test_a_flipped_byte_of_a_published_file_names_the_file(kept: Kept) -> None:
    (path,) = list(read_manifest(kept.state).files["acts"])
    whole = kept.state / FOLDER / path
    data = bytearray(whole.read_bytes())
    data[len(data) // 3] ^= 1
    whole.write_bytes(bytes(data))
    found = look_published(kept.state)
    assert not found.holds and found.unread == (path,)


def test_a_field_of_a_published_file_names_the_row(kept: Kept) -> None:
    (path,) = read_manifest(kept.state).files["acts"]
    whole = kept.state / FOLDER / path
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE t AS FROM read_parquet('{whole}')")
        connection.execute("UPDATE t SET actor = 'nobody' WHERE log_seq = 4")
        connection.execute(f"COPY t TO '{whole}' (FORMAT parquet)")
    found = look_published(kept.state)
    assert found.unread == (path,) and found.verdict.breaks[0].seq == 4
    assert found.verdict.breaks[0].id == "a3"


def test_the_published_chain_holds_also_over_many_files(kept: Kept) -> None:
    for number in range(6):
        kept.add(act(f"b{number}", day=number % 3))
        kept.publish()
    found = look_published(kept.state)
    assert found.holds and found.anchored and found.verdict.rows == ROWS + 6
    assert found.verdict.head == read_manifest(kept.state).head


def test_it_goes_on_after_a_restart_and_a_restore(kept: Kept) -> None:
    kept.log.stop()
    kept.database.close()
    database, _ = rebuild(kept.state, "a test")
    database.close()
    again = Kept(kept.state)
    again.add(act("after"))
    again.publish()
    assert looked(again).holds and looked(again).verdict.rows == ROWS + 1
    assert look_published(kept.state).holds
    again.log.stop()
    again.database.close()


def test_a_kill_leaves_a_chain_that_holds(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal\n"
        "from tests.service.storage.test_history import Kept, act\n"
        f"kept = Kept(pathlib.Path({str(tmp_path)!r}))\n"
        "for number in range(30):\n"
        "    kept.add(act(f'k{number}'))\n"
        "    if number == 20: kept.publish()\n"
        "kept.log.append(act('in the air'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    database, restored = open_live(tmp_path)
    database.close()
    assert restored is None
    again = Kept(tmp_path)
    again.add(act("after"))
    found = looked(again)
    assert found.holds and found.anchored and found.verdict.rows in (31, 32)
    again.log.stop()
    again.database.close()


def test_rows_from_before_the_chain_are_covered_by_its_first_link(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER)")
        for number, step in migrations().items():
            if number < 8:
                connection.execute(step)
                connection.execute("INSERT INTO schema_version VALUES (?)", [number])
        for number in range(1, 4):
            connection.execute(
                "INSERT INTO acts VALUES (?, ?, '2026-01-01', 'ann', 'tested', '', '', '{}')",
                [number, f"old{number}"],
            )
    kept = Kept(tmp_path)
    kept.publish()
    assert read_manifest(tmp_path).head is None
    kept.add(act("new"), act("newer"))
    kept.publish()
    assert looked(kept).holds and look_published(tmp_path).holds
    assert read_manifest(tmp_path).head == Head(
        5, str(list(links(kept.database.cursor(), "acts"))[-1].hash), 5
    )
    kept.database.execute("UPDATE acts SET actor = 'eve' WHERE log_seq = 2")
    told = looked(kept).verdict.breaks
    assert told[0].seq == 4 and "the rows up to 3" in told[0].what
    kept.log.stop()
    kept.database.close()


def test_a_batch_that_is_not_kept_moves_no_link(kept: Kept) -> None:
    bad = replace(act("bad"), reason="\ud800")
    good = kept.log.append_durable(act("good"))
    refused = kept.log.append_durable(bad)
    good.result(5)
    assert refused.exception(5) is not None
    kept.add(act("last"))
    assert looked(kept).holds and looked(kept).verdict.rows == ROWS + 2


def test_acts_are_found_by_what_is_asked_and_in_pages(kept: Kept) -> None:
    cursor = kept.database.cursor()
    newest = acts(cursor, Wanted(limit=5))
    assert [row["id"] for row in newest] == ["a11", "a10", "a9", "a8", "a7"]
    older = acts(cursor, Wanted(limit=5, below=newest[-1]["log_seq"]))
    assert [row["id"] for row in older] == ["a6", "a5", "a4", "a3", "a2"]
    assert [row["id"] for row in all_acts(cursor, Wanted())] == [f"a{n}" for n in range(ROWS)]
    now_us = int(time.time() * 1e6)
    for wanted, count in (
        (Wanted(actor="me"), ROWS), (Wanted(actor="you"), 0), (Wanted(act="tested"), ROWS),
        (Wanted(act="test"), 0), (Wanted(subject="x' OR true --"), 0),
        (Wanted(since_us=now_us + 10**7), 0), (Wanted(until_us=now_us + 10**7), ROWS),
    ):  # fmt: skip
        assert len(acts(cursor, wanted)) == count, wanted


def test_an_empty_trail_holds() -> None:
    assert verify(iter(())).holds
    assert look(Database(None).cursor(), None).holds
    assert not verify(iter(()), Head(3, "ab", 1)).holds
