"""H04: a damaged live file or history: the service starts, mends, and says what is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from service.storage.cases import rows_of
from service.storage.database import FILE, Database
from service.storage.errors import DatabaseCorrupt, StorageError
from service.storage.history import connect, query
from service.storage.manifest import FOLDER, MANIFEST, by_names, read_manifest
from service.storage.restore import open_live
from tests.conftest import Server, make_runtime, plan_text
from tests.service.faults.host import Running, client, running
from tests.service.storage.test_history import Kept, act

pytestmark = pytest.mark.slow  # real processes, disks and clocks

BLOCK = 262_144
HEADERS = 3 * 4_096


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


def cut(path: Path, to: int) -> None:
    with path.open("r+b") as file:
        file.truncate(to)


def killed(state: Path, published: int, more: int) -> None:
    """A state directory as a kill leaves it: rows in the write-ahead log alone."""
    code = (
        "import os, signal\nfrom pathlib import Path\n"
        "from tests.service.storage.test_history import Kept, act\n"
        f"kept = Kept(Path({str(state)!r}))\n"
        f"for n in range({published}): kept.add(act(f'p{{n}}'))\n"
        "kept.publish()\n"
        f"for n in range({more}): kept.add(act(f'm{{n}}'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == -signal.SIGKILL, found.stderr


def names(database: Database) -> list[str]:
    return [row["id"] for row in rows_of(database.cursor(), "SELECT id FROM acts ORDER BY log_seq")]


WAL: dict[str, Callable[[Path], None]] = {
    "first byte": lambda wal: flip(wal, 0),
    "a byte of its head": lambda wal: flip(wal, 20),
    "a byte in the middle": lambda wal: flip(wal, wal.stat().st_size // 2),
    "the last bytes": lambda wal: flip(wal, wal.stat().st_size - 12),
    "cut in half": lambda wal: cut(wal, wal.stat().st_size // 2),
    "empty": lambda wal: cut(wal, 0),
    "gone": lambda wal: wal.unlink(),
}


@pytest.mark.parametrize("damage", WAL)
def test_H04_a_damaged_write_ahead_log_loses_nothing_that_was_published(
    tmp_path: Path, damage: str
) -> None:
    killed(tmp_path, published=20, more=0)
    WAL[damage](tmp_path / f"{FILE}.wal")
    database, _ = open_live(tmp_path)
    assert names(database) == [f"p{n}" for n in range(20)]
    seqs = rows_of(database.cursor(), "SELECT log_seq FROM acts ORDER BY 1")
    assert [row["log_seq"] for row in seqs] == list(range(1, 21))
    database.close()


LIVE: dict[str, Callable[[Path], None]] = {
    "header": lambda path: flip(path, 100),
    "second header": lambda path: flip(path, 4_100),
    "third header": lambda path: flip(path, 8_200),
    "a block": lambda path: flip(path, HEADERS + 100),
    "cut in half": lambda path: cut(path, path.stat().st_size // 2),
    "cut by a block": lambda path: cut(path, path.stat().st_size - BLOCK),
    "empty": lambda path: cut(path, 0),
}


@pytest.mark.parametrize("damage", LIVE)
def test_H04_a_damaged_live_file_is_found_at_the_start(tmp_path: Path, damage: str) -> None:
    kept = Kept(tmp_path)
    for number in range(30):
        kept.add(*(act(f"{number}-{part}-{os.urandom(400).hex()}") for part in range(40)))
    kept.publish()
    wanted = names(kept.database)
    kept.log.stop()
    kept.database.close()
    path = tmp_path / FILE
    assert path.stat().st_size > 3 * BLOCK
    before = path.read_bytes()
    LIVE[damage](path)
    assert path.read_bytes() != before
    database, restored = open_live(tmp_path)
    if restored is None:  # a header that is not the one in use harms nothing
        assert damage.endswith("header")
    assert names(database) == wanted
    database.close()


def test_H04_damage_is_not_taken_for_a_lock(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(act("one"))
    kept.log.stop()
    kept.database.close()
    for at in (4_100, 8_200):
        flip(tmp_path / FILE, at)
    with pytest.raises(DatabaseCorrupt, match=r"block|header|Corrupt"):
        Database(tmp_path / FILE)


def published(state: Path) -> Path:
    """A history of several files, and no live file; the file of acts that is in the middle."""
    kept = Kept(state)
    for number in range(3):
        kept.add(*(act(f"{number}-{part}-{os.urandom(60).hex()}") for part in range(50)))
        kept.publish()
    kept.log.stop()
    kept.database.close()
    (state / FILE).write_bytes(b"rubbish" * 4_000)
    return state / FOLDER / read_manifest(state).files["acts"][1]


PARQUET: dict[str, Callable[[Path], None]] = {
    "bytes in the middle": lambda path: [flip(path, path.stat().st_size // 2 + n)
                                         for n in range(64)] and None,
    "cut short": lambda path: cut(path, path.stat().st_size // 2),
    "its footer": lambda path: [flip(path, path.stat().st_size - n) for n in range(9, 60)] and None,
    "gone": lambda path: path.unlink(),
    "text": lambda path: path.write_bytes(b"PAR1 hello PAR1") and None,
}  # fmt: skip


@pytest.mark.parametrize("damage", PARQUET)
def test_H04_a_damaged_published_file_costs_its_own_rows_alone(tmp_path: Path, damage: str) -> None:
    path = published(tmp_path)
    PARQUET[damage](path)
    database, restored = open_live(tmp_path)
    assert restored is not None
    assert restored.missing == (str(path.relative_to(tmp_path / FOLDER)),)
    assert "are damaged" in restored.told("now") and path.name in restored.told("now")
    assert {name[0] for name in names(database)} == {"0", "2"} and len(names(database)) == 100
    assert database.last_seq == 150, "the numbers of what is gone are not given again"
    database.close()


MANIFESTS: dict[str, str] = {
    "cut": '{"format": 1, "schema": 3, "thr',
    "empty": "",
    "not a mapping": "[1, 2]",
    "keys gone": '{"format": 1, "schema": 1}',
    "wrong kinds": '{"format": 1, "schema": 1, "through_seq": null, "published_at": 0, '
                   '"files": [], "retired": 3}',
}  # fmt: skip


@pytest.mark.parametrize("damage", MANIFESTS)
def test_H04_a_damaged_manifest_is_made_anew_from_the_files(tmp_path: Path, damage: str) -> None:
    published(tmp_path)
    manifest = tmp_path / FOLDER / MANIFEST
    whole = read_manifest(tmp_path)
    manifest.write_text(MANIFESTS[damage], "utf-8")
    found = read_manifest(tmp_path)
    assert found.damage and found.files["acts"] == whole.files["acts"]
    assert found.through_seq == whole.through_seq
    database, restored = open_live(tmp_path)
    assert restored is not None and len(names(database)) == 150
    database.close()
    with pytest.warns(UserWarning, match="manifest"):
        assert query(connect(tmp_path), "SELECT count(*) FROM acts")[1] == [(150,)]


def test_H04_names_of_compacted_files_are_not_taken_twice(tmp_path: Path) -> None:
    published(tmp_path)
    root = tmp_path / FOLDER
    parts = read_manifest(tmp_path).files["acts"]
    whole = root / parts[0].replace(parts[0][-20:-8], f"{150:012d}")
    shutil.copy(root / parts[0], whole)
    assert by_names(root).files["acts"] == (str(whole.relative_to(root)),)


def test_H04_a_history_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    published(tmp_path)
    manifest = tmp_path / FOLDER / MANIFEST
    manifest.write_text(manifest.read_text("utf-8").replace('"format": 1', '"format": 9'), "utf-8")
    with pytest.raises(StorageError, match="newer version"):
        open_live(tmp_path)


def test_H04_the_service_starts_on_a_damaged_block_and_says_what_is_gone(
    tmp_path: Path, providers: Server
) -> None:
    """A file that opens, with damage where the start reads: rebuilt, and told in the notices."""
    state, text = tmp_path / "state", plan_text(providers.url)
    with running(state, text) as service:
        taught(service)
    flipped(state / FILE)
    runtime = make_runtime(state, text)
    told = [note for note in runtime.notices if "mended from the published history" in note]
    kept = runtime.kept
    count = rows_of(kept.database.cursor(), "SELECT count(*) AS n FROM feedback")[0]["n"]
    runtime.learner.stop()
    kept.close()
    assert len(told) == 1 and "set-aside" in told[0] and count == 60
    assert list(state.glob(f"{FILE}.set-aside-*"))


def taught(service: Running) -> None:
    for number in range(60):
        identity = service.ask(f"Describe kite {number} " + os.urandom(200).hex()).json()["id"]
        service.rate(identity, 0.5)
    service.settle()
    service.runtime.kept.log.flush().result(10)


def flipped(path: Path) -> None:
    """Damage every block but the first ones, which are found at the opening."""
    for at in range(HEADERS + BLOCK // 2, path.stat().st_size, BLOCK):
        flip(path, at)


def test_H04_damage_found_while_serving_is_an_answer_not_a_crash(
    tmp_path: Path, providers: Server
) -> None:
    state, text = tmp_path / "state", plan_text(providers.url)
    with running(state, text) as service:
        taught(service)
        old = service.ask("Describe a kite").json()["id"]
    with running(state, text) as service, client(service.url) as at:
        cases = service.runtime.kept.cases
        sound, cases._cursor = cases._cursor, broken
        answer = at.get(f"/v1/decisions/{old}")
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        assert "cannot be read" in answer.json()["error"]["message"]
        rating = at.post("/v1/feedback", json={"id": old, "value": 0.5})
        assert rating.status_code == 503
        assert service.ask("Describe a kite").status_code == 200
        cases._cursor = sound
        assert at.get(f"/v1/decisions/{old}").status_code == 200


def broken() -> duckdb.DuckDBPyConnection:
    """A cursor of a file whose blocks are damaged, in truth."""
    path = Path(tempfile.mkdtemp()) / "damaged.duckdb"
    with duckdb.connect(str(path)) as made:
        made.execute("CREATE TABLE decisions AS SELECT uuid() AS id, now()::TIMESTAMP AS ts, "
                     "repeat(i::VARCHAR, 50) AS t FROM range(20000) r(i)")  # fmt: skip
    data = bytearray(path.read_bytes())
    for at in range(HEADERS + BLOCK, len(data), 1_000):
        data[at] ^= 0xFF
    path.write_bytes(data)
    return duckdb.connect(str(path), read_only=True)


def test_H04_rows_that_were_durable_and_are_gone_are_told(
    tmp_path: Path, providers: Server
) -> None:
    """A write-ahead log that is lost with rows that were not published yet: silent otherwise."""
    state, text = tmp_path / "state", plan_text(providers.url)
    with running(state, text) as service:
        for number in range(5):
            service.rate(service.ask(f"Describe kite {number}").json()["id"], 0.5)
        service.settle()
        service.runtime.kept.log.flush().result(10)
        copy = tmp_path / "copy"
        shutil.copytree(state, copy)
        through = service.runtime.kept.log.last_seq
    (copy / f"{FILE}.wal").unlink()
    runtime = make_runtime(copy, text)
    told = [note for note in runtime.notices if "acknowledged ones among them, are gone" in note]
    later = runtime.kept.log.append_durable(act("later")).result(10)
    runtime.learner.stop()
    runtime.kept.close()
    assert len(told) == 1 and f"row {through}" in told[0] and later > through
