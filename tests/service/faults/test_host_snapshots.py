"""H10, H12: learned state and schema that are damaged, foreign, newer, or half done."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from learning.errors import SnapshotError
from learning.snapshot import freeze, thaw
from service.feedback.versions import restored
from service.storage.cases import rows_of
from service.storage.database import FILE, Database, migrations
from service.storage.errors import SchemaNewer
from service.storage.restore import open_live
from service.storage.tables import NAMES
from service.storage.versions import VersionStore
from tests.conftest import Server, plan_text
from tests.service.faults.host import running
from tests.service.faults.test_host_locks import serve
from tests.service.feedback.test_learner import Home, run


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


def newer(data: bytes) -> bytes:
    """A snapshot as a later version would write it: whole, of a schema not known here."""
    assert data[:6] == freeze(thaw(data))[:6]
    return data[:4] + (999).to_bytes(2, "little") + data[6:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": half,
    "a flipped bit": flipped,
    "empty": lambda data: b"",
    "foreign": lambda data: b"\x89PNG\r\n\x1a\n" + data,
    "a pickle": lambda data: pickle.dumps({"weights": [1, 2, 3]}),
    "newer": newer,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("told_so", [False, True], ids=["file", "file and row"])
def test_H10_the_checkpoint_before_is_taken_and_the_updates_after_it(
    tmp_path: Path, damage: str, told_so: bool
) -> None:
    """``told_so``: the row's checksum is that of what lies there, as if it had been written so;
    then the snapshot itself must refuse it.
    """
    home = Home(tmp_path)
    run(home, 30)
    home.learner._save()
    for _ in range(10):
        home.round(0.8)
    home.settle()
    home.learner._save()
    home.log.flush().result(5)
    before = home.learner.policy.freeze()
    last, previous = home.versions.checkpoints[-1], home.versions.checkpoints[-2]
    home.leave()
    database = Database(tmp_path / FILE)
    versions = VersionStore(database, tmp_path)
    path = versions._path(last.id)
    data = DAMAGE[damage](path.read_bytes())
    path.write_bytes(data)
    for checkpoint in versions.checkpoints:
        if checkpoint.update_seq > previous.update_seq:
            versions._path(checkpoint.id).write_bytes(data)
            if told_so:
                object.__setattr__(checkpoint, "sha256", hashlib.sha256(data).hexdigest())
    assert versions.live is not None
    found = restored(versions.live, versions, database.cursor, last.update_seq)
    assert found.checkpoint_id == previous.id and found.replayed > 0
    assert found.policy.freeze() == before
    database.close()


def test_H10_no_pickle_is_ever_opened() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("a pickle was opened",))

    buffer = io.BytesIO()
    pickle.dump(Bomb(), buffer)
    with pytest.raises(SnapshotError):
        thaw(buffer.getvalue())


def test_H10_the_start_says_that_a_checkpoint_was_passed_over(
    tmp_path: Path, providers: Server
) -> None:
    state, text = tmp_path / "state", plan_text(providers.url)
    with running(state, text) as service:
        service.rate(service.ask("Describe a kite").json()["id"], 0.5)
        service.settle()
        seq = service.runtime.learner.seq
    for path in (state / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    with running(state, text) as service:
        assert service.runtime.learner.seq >= seq
        assert any("checkpoints" in n and "passed over" in n for n in service.status()["notices"])


KILLED = """
import os, signal, sys
import service.storage.database as d
from pathlib import Path
whole = d.migrations()
steps = dict(whole)
at = int(sys.argv[2])
numbers = sorted(steps)
if sys.argv[3] == "within" and at:
    d.migrations = lambda: {number: whole[number] for number in numbers[:at]}
    d.Database._last_seq = lambda self: 0  # not every table is there yet
    d.Database(Path(sys.argv[1])).close()
    d.migrations = lambda: whole
if sys.argv[3] == "between":
    for number in numbers[at:]:
        steps.pop(number)
    d.migrations = lambda: steps
    d.Database._last_seq = lambda self: os.kill(os.getpid(), signal.SIGKILL)
else:
    class Connection:
        def __init__(self, real): self._real = real
        def __getattr__(self, name): return getattr(self._real, name)
        def execute(self, sql, *more):
            found = self._real.execute(sql, *more)
            if sql == whole[numbers[at]]: os.kill(os.getpid(), signal.SIGKILL)
            return found
    opened = d.Database._open
    def open_wrapped(self):
        opened(self)
        self._connection = Connection(self._connection)
    d.Database._open = open_wrapped
d.Database(Path(sys.argv[1]))
"""


STEPS = range(len(migrations()))


@pytest.mark.parametrize(
    ("where", "at"),
    [*product(["between", "within"], STEPS), *product(["within a new file"], STEPS[9::11])],
)
def test_H12_a_migration_that_was_killed_is_taken_up_again(
    tmp_path: Path, where: str, at: int
) -> None:
    found = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / FILE), str(at), where],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == -signal.SIGKILL, found.stderr
    database, restored = open_live(tmp_path)
    done = rows_of(database.cursor(), "SELECT version FROM schema_version ORDER BY 1")
    assert [row["version"] for row in done] == sorted(migrations()) and restored is None
    for name in NAMES:
        assert rows_of(database.cursor(), f"SELECT count(*) AS n FROM {name}") == [{"n": 0}]
    database.close()


@pytest.mark.slow
def test_H12_a_file_of_a_newer_version_is_refused_and_left_as_it_is(
    tmp_path: Path, providers: Server
) -> None:
    state, plan = tmp_path / "state", tmp_path / "plan.yaml"
    plan.write_text(plan_text(providers.url), "utf-8")
    state.mkdir()
    database = Database(state / FILE)
    database.execute("INSERT INTO schema_version VALUES (9999)")
    database.close()
    before = hashlib.sha256((state / FILE).read_bytes()).hexdigest()
    with pytest.raises(SchemaNewer, match="schema 9999"):
        open_live(state)
    found = serve(state, plan)
    assert found.returncode == 1 and "Traceback" not in found.stderr
    assert "run the newer one" in " ".join(found.stderr.split())
    assert hashlib.sha256((state / FILE).read_bytes()).hexdigest() == before
    assert json.dumps([each.name for each in state.glob("*set-aside*")]) == "[]"
