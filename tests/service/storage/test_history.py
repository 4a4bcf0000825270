"""The published history: whole, immutable, read beside a writer, honest about what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.records import Act, PolicyMark, Usage, Version, Weight
from service.storage.database import FILE, Database
from service.storage.errors import StorageError
from service.storage.event_log import EventLog
from service.storage.history import CATALOGUE, GRACE_S, Publisher, connect, query
from service.storage.manifest import FOLDER, MANIFEST, read_manifest
from tests.service.storage.test_tables import decision, feedback, outcome

DAY_S = 86_400


class Kept:
    """A database with its log and publisher."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.database = Database(state / FILE)
        self.log = EventLog(self.database)
        self.log.start()
        self.passed_s = 0.0
        self.publisher = Publisher(self.database, state, lambda: self.passed_s)

    def add(self, *records: object) -> None:
        self.log.append_durable(*records).result(5)

    def publish(self, now_s: float | None = None) -> None:
        self.publisher.publish(self.log.last_seq, now_s)

    def count(self, name: str) -> int:
        return int(query(connect(self.state), f"SELECT count(*) FROM {name}")[1][0][0])


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.log.stop()
    made.database.close()


def act(name: str, day: int = 0) -> Act:
    at_us = int((time.time() - day * DAY_S) * 1e6)
    return Act(name, at_us, "me", "tested", "", "", json.dumps({"name": name}))


def test_what_is_published_is_seen_and_no_more(kept: Kept) -> None:
    kept.add(act("one"), act("two"))
    kept.publish()
    kept.add(act("three"))
    assert kept.count("acts") == 2
    kept.publish()
    assert kept.count("acts") == 3
    kept.publish()
    assert kept.count("acts") == 3 and kept.count("feedback") == 0


def test_another_process_reads_while_the_writer_holds_the_file(kept: Kept) -> None:
    kept.add(act("one"))
    kept.publish()
    code = (
        "from service.storage.history import connect;"
        f"print(connect({str(kept.state)!r}).execute('SELECT id FROM acts').fetchall())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "one" in found.stdout
    catalogue = (
        f"import duckdb; c = duckdb.connect({str(kept.state / FOLDER / CATALOGUE)!r}, "
        f"read_only=True); c.execute(\"SET file_search_path='{kept.state / FOLDER}'\");"
        "print(c.execute('SELECT id FROM acts').fetchall())"
    )
    found = subprocess.run([sys.executable, "-c", catalogue], capture_output=True, text=True)
    assert "one" in found.stdout, found.stderr


def test_rounds_join_the_latest_rating(kept: Kept) -> None:
    made = decision()
    first = feedback(made, quality=0.2)
    second = feedback(made, quality=0.8, revises=first.id)
    other = feedback(made, quality=0.6, author="another")
    kept.add(made, outcome(made), first, second, other)
    kept.publish()
    columns, rows = query(connect(kept.state), "SELECT * FROM rounds")
    assert len(rows) == 1
    found = dict(zip(columns, rows[0], strict=True))
    assert found["quality"] == pytest.approx(0.7) and found["served"] == "x"
    assert found["served_mode"] == "fallback" and found["decided"] == "randomised"


def test_rounds_carry_the_reward_of_the_plan_that_was_in_force(kept: Kept) -> None:
    scale = json.dumps({"scale": {"worth_usd": 0.1, "patience_s": 10.0}})
    made = decision(policy=PolicyMark("default", "v1", "", 0))
    failed = decision(policy=PolicyMark("default", "v1", "", 0))
    unrated = decision(policy=PolicyMark("default", "v1", "", 0))
    usage = Usage(1, 2, 0, 10_000)
    kept.add(
        Version("v1", 1, "default", "linear", scale, None, "plan", ""), made, failed, unrated,
        replace(outcome(made), latency_s=2.0, usage=usage), feedback(made, quality=0.9),
        replace(outcome(failed), status=503), outcome(unrated),
    )  # fmt: skip
    kept.publish()
    rows = query(connect(kept.state), "SELECT id, reward FROM rounds")[1]
    found = {str(row[0]): row[1] for row in rows}
    assert found[made.id] == pytest.approx(0.9 - 0.1 - 0.2)
    assert found[failed.id] == 0.0 and found[unrated.id] is None


def test_a_closed_day_is_compacted_and_the_parts_go_after_a_grace(kept: Kept) -> None:
    for name in ("a", "b", "c"):
        kept.add(act(name, day=3))
        kept.publish(time.time() - 3 * DAY_S)
    assert len(read_manifest(kept.state).files["acts"]) == 3
    kept.publish()
    manifest = read_manifest(kept.state)
    assert len(manifest.files["acts"]) == 1 and kept.count("acts") == 3
    parts = [kept.state / FOLDER / name for name, _ in manifest.retired if "acts/" in name]
    assert len(parts) == 3 and all(part.exists() for part in parts)
    kept.publish(time.time() + DAY_S)
    assert all(part.exists() for part in parts), "a jump of the wall clock takes nothing away"
    kept.passed_s = GRACE_S + 1
    kept.publish()
    assert not any(part.exists() for part in parts) and kept.count("acts") == 3


def test_a_day_with_parts_from_before_a_new_column_keeps_it(kept: Kept) -> None:
    """The rows of a migration's day: the older part lacks `state`, the newer one has it."""
    at_us = int((time.time() - 3 * DAY_S) * 1e6)
    row = Weight(at_us, "code", "a", 0.5, 0.7, 1e-4, 0.3, 0.0, 0.6, 32, 1, "", "on trial")
    kept.add(row)
    kept.publish(time.time() - 3 * DAY_S)
    part = kept.state / FOLDER / read_manifest(kept.state).files["weights"][0]
    aside = part.with_name("aside")
    query(connect(kept.state), f"COPY (SELECT * EXCLUDE (state) FROM read_parquet('{part}')) "
          f"TO '{aside}' (FORMAT parquet)")  # fmt: skip
    aside.rename(part)
    kept.publisher._digests.clear()  # nor did that version write checksums, or its schema
    kept.publisher._schemas.clear()
    kept.add(replace(row, state="steady"))
    kept.publish(time.time() - 3 * DAY_S)
    for _ in range(2):
        found = query(connect(kept.state), "SELECT state FROM weights ORDER BY log_seq")[1]
        assert found == [(None,), ("steady",)]
        kept.publish()  # compacts the closed day
    assert len(read_manifest(kept.state).files["weights"]) == 1


def test_days_are_partitions(kept: Kept) -> None:
    kept.add(act("old", day=2), act("new"))
    kept.publish()
    days = {name.split("/")[1] for name in read_manifest(kept.state).files["acts"]}
    assert len(days) == 2 and all(day.startswith("day=20") for day in days)


def test_a_damaged_part_is_left_out_with_a_warning(kept: Kept) -> None:
    kept.add(act("one"))
    kept.publish()
    kept.add(act("two"))
    kept.publish()
    path = kept.state / FOLDER / read_manifest(kept.state).files["acts"][0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="missing or cut short"):
        connection = connect(kept.state)
    assert query(connection, "SELECT id FROM acts")[1] == [("two",)]


def test_keys_are_kept_for_a_restore_and_shown_to_nobody(kept: Kept) -> None:
    from service.domain.clock import SystemClock
    from service.storage.keys import KeyStore

    KeyStore(kept.database, kept.log, SystemClock()).bootstrap("hg-secret")
    kept.publish()
    path = kept.state / FOLDER / read_manifest(kept.state).files["keys"][0]
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(StorageError, match="cannot be run"):
        query(connect(kept.state), "SELECT * FROM keys")


def test_what_is_not_there_or_newer_is_said(tmp_path: Path, kept: Kept) -> None:
    with pytest.raises(StorageError, match="no published history"):
        connect(tmp_path / "nowhere")
    kept.publish()
    path = tmp_path / FOLDER / MANIFEST
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(StorageError, match="newer version"):
        connect(tmp_path)


def test_a_publisher_goes_on_where_the_last_one_ended(kept: Kept) -> None:
    kept.add(act("one"))
    kept.publish()
    kept.publisher = Publisher(kept.database, kept.state)
    kept.add(act("two"))
    kept.publish()
    assert kept.count("acts") == 2
