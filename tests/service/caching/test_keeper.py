"""What is kept survives: a stop wholly, a kill but for the newest; torn rows are never given."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.caching.keeper import Keeper, entry_from, row_of
from service.storage.cache_file import FILE, CacheFile
from service.storage.errors import StorageError
from tests.conftest import ROOT, HandClock
from tests.service.caching.entries import entry

SECRET = b"secret"


def keeper(state: Path, clock: HandClock | None = None, boot: str = "b", most: int = 4_000_000,
           policy: str = "1") -> Keeper:  # fmt: skip
    clock = clock or HandClock()
    file = CacheFile(state, SECRET, most)
    file.open(clock, boot)
    return Keeper(file, clock, boot, lambda: policy)


def test_a_row_is_an_entry_and_back() -> None:
    made = entry(tags=("a", "b"), tenant="t", owner="o")
    assert entry_from(row_of(made)) == made


def test_what_was_put_and_deleted_is_there_and_gone(tmp_path: Path) -> None:
    first = keeper(tmp_path)
    first.start()
    for name in "abc":
        first.put(entry(name))
    first.flush().result(10)
    first.gone(["a/a"])
    first.put(entry("b", tail=b"newer"))
    first.stop()
    again = keeper(tmp_path)
    found = {each.fingerprint: each.tail for each in again.load(1_000_000)}
    assert found == {"b": b"newer", "c": b"x" * 100}
    assert len(again.load(100)) == 1 and again._file.count() == 1, "the bound holds"
    again.stop()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_torn_expired_and_strange_rows_are_thrown_away(tmp_path: Path) -> None:
    clock = HandClock()
    made = keeper(tmp_path, clock)
    made.start()
    for name in "abcd":
        made.put(entry(name, dies_s=clock.monotonic + (5.0 if name == "d" else 500.0)))
    made.stop()
    with sqlite3.connect(tmp_path / FILE) as raw:
        raw.execute("UPDATE answers SET tail = ? WHERE name = 'a/a'", (b"y" * 100,))
        raw.execute("UPDATE answers SET meta = replace(meta, '\"s\"', '\"t\"') WHERE name = 'b/a'")
    raw.close()
    clock.advance(10.0)
    again = keeper(tmp_path, clock)
    assert [each.fingerprint for each in again.load(1_000_000)] == ["c"]
    assert again._file.torn == 2 and again._file.count() == 1
    again.stop()
    other = keeper(tmp_path, clock, policy="2")
    assert other.load(1_000_000) == [] and other._file.count() == 0
    other.stop()


@pytest.mark.parametrize(
    ("passed_s", "wall_s", "left"),
    [(50.0, 50.0, 50.0), (200.0, 200.0, None), (200.0, -500.0, 100.0)],
)
def test_a_clock_that_is_set_back_over_a_reboot_brings_nothing_back(
    tmp_path: Path, passed_s: float, wall_s: float, left: float | None
) -> None:
    """After a reboot the monotonic clock begins anew; what had ended before stays ended."""
    clock = HandClock()
    made = keeper(tmp_path, clock)
    made.start()
    made.put(entry("ended", dies_s=clock.monotonic - 1.0))
    made.put(entry("lives", dies_s=clock.monotonic + 100.0))
    made.stop()
    later = HandClock(clock.wall + int(wall_s * 1e6))
    later.monotonic = 3.0
    again = keeper(tmp_path, later, boot="another")
    found = {each.fingerprint: each.dies_s - later.monotonic for each in again.load(1_000_000)}
    assert found == ({} if left is None else {"lives": pytest.approx(left)})
    again.stop()


def test_a_full_file_keeps_what_it_can_and_still_deletes(tmp_path: Path) -> None:
    made = keeper(tmp_path, most=200_000)
    made.start()
    made.put(entry("small"))
    made.flush().result(10)
    made.put(entry("large", tail=b"z" * 400_000))
    made.gone(["small/a"])
    made.flush().result(10)
    assert made.trouble and made.dropped == 1 and made._file.count() == 0
    made.stop()
    assert (tmp_path / FILE).stat().st_size <= 200_000


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 400)
    made = keeper(tmp_path)
    assert made.load(1_000) == []
    made.stop()
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises((StorageError, OSError)):
        keeper(tmp_path)


def test_damage_that_only_reading_finds_is_no_hindrance(tmp_path: Path) -> None:
    """A file whose head is whole opens; the pages behind it may be anything."""
    made = keeper(tmp_path)
    made.start()
    for number in range(300):
        made.put(entry(f"{number}", tail=b"x" * 1_500))
    made.stop()
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:40_960] + b"\xff" * 200_000 + whole[240_960:])
    again = keeper(tmp_path)
    assert again.load(10_000_000) == []
    again.start()
    again.put(entry("new"))
    again.stop()
    last = keeper(tmp_path)
    assert [each.fingerprint for each in last.load(10_000_000)] == ["new"]
    last.stop()


_KILLED = """
import sys
from pathlib import Path
from service.caching.keeper import Keeper
from service.domain.clock import SystemClock
from service.storage.cache_file import CacheFile
from tests.service.caching.entries import entry
clock, file = SystemClock(), CacheFile(Path(sys.argv[1]), b"secret", 64_000_000)
file.open(clock, "b")
keeper = Keeper(file, clock, "b", lambda: "1")
keeper.start()
number = 0
while True:
    number += 1
    tail = b"%09d" % number * 1_000
    keeper.put(entry(f"{number}", tail=tail, stored_s=float(number), dies_s=1e12))
    if number % 20 == 0:
        keeper.flush().result(10)
        print(number, flush=True)
"""


@pytest.mark.slow
def test_a_kill_loses_the_newest_alone_and_tears_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    durable = 0
    deadline = time.monotonic() + 60
    while durable < 200 and time.monotonic() < deadline:
        durable = int(process.stdout.readline())
    process.kill()
    process.wait(10)
    rest = process.stdout.read().split()
    durable = int(rest[-1]) if rest and rest[-1].isdigit() else durable
    process.stdout.close()
    again = keeper(tmp_path, most=64_000_000)
    found = again.load(64_000_000)
    assert again._file.torn == 0
    numbers = {int(each.fingerprint) for each in found}
    assert numbers >= set(range(1, durable + 1)), "what was told to be on disk is there"
    assert all(each.tail == b"%09d" % int(each.fingerprint) * 1_000 for each in found)
    again.stop()
