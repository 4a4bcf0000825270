"""H01, H03: the log against a model of it, over any order of writes, failures, crashes, jumps."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.domain.errors import StorageUnavailable
from service.domain.records import Act
from service.storage import event_log
from service.storage.database import FILE, Database
from service.storage.errors import DatabaseInvalid, RowsRefused, WriteFailed
from service.storage.event_log import EventLog

DAY_US = 86_400_000_000


class Disk:
    """A database whose commits fail in the ways that commits fail; each is one at a time."""

    def __init__(self, database: Database) -> None:
        self._write, self._reopen = database.write, database.reopen
        self.at_rest = threading.Lock()
        self.how = ""
        database.write = self.write  # type: ignore[method-assign]
        database.reopen = self.reopen  # type: ignore[method-assign]

    def reopen(self) -> int:
        with self.at_rest:
            return self._reopen()

    def write(self, batches: Any) -> None:
        with self.at_rest:
            if self.how == "fails":
                raise WriteFailed("No space left on device")
            names = [name for batch in batches.values() for name in batch["id"].to_pylist()]
            if any(name.startswith("bad") for name in names):
                raise RowsRefused("Conversion Error")
            if self.how == "breaks, not kept":
                self.how = ""
                raise DatabaseInvalid("FATAL Error: database has been invalidated")
            self._write(batches)
            if self.how == "breaks, kept":
                self.how = ""
                raise DatabaseInvalid("FATAL Error: the commit is durable, the checkpoint failed")


class LogMachine(RuleBasedStateMachine):
    """The model: what is kept, in order, what waits, and what was refused."""

    def __init__(self) -> None:
        super().__init__()
        self._was = event_log.RETRY_S
        event_log.RETRY_S = 0.005
        self.folder = Path(tempfile.mkdtemp())
        self.number, self.at_us = 0, 1_790_000_000_000_000
        self.kept: list[str] = []
        self.waiting: list[str] = []
        self.refused: set[str] = set()
        self.open(self.folder / FILE)

    def open(self, path: Path) -> None:
        self.path = path
        self.database = Database(path)
        self.disk = Disk(self.database)
        self.log = EventLog(self.database, flush_s=0.01)
        assert self.log.last_seq == len(self.kept)
        self.log.start()

    def teardown(self) -> None:
        self.disk.how = ""
        self.durable(1)
        self.exactly_what_was_kept()
        self.log.stop()
        self.database.close()
        event_log.RETRY_S = self._was
        shutil.rmtree(self.folder)

    def names(self, count: int, prefix: str = "a") -> list[str]:
        self.number += count
        return [f"{prefix}{self.number - each}" for each in range(count)]

    def act(self, name: str) -> Act:
        return Act(name, self.at_us, "me", "tested", "", "", "{}")

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        for name in self.names(count):
            self.log.append(self.act(name))
            self.waiting.append(name)

    @rule()
    def append_one_that_cannot_be_stored(self) -> None:
        name = self.names(1, "bad")[0]
        self.log.append(self.act(name))
        self.refused.add(name)

    @rule(count=st.integers(1, 4))
    def durable(self, count: int) -> None:
        """Together or not at all."""
        names = self.names(count)
        ack = self.log.append_durable(*(self.act(name) for name in names))
        try:
            seq = ack.result(20)
        except StorageUnavailable:
            self.refused.update(names)
            return
        self.kept += [*self.waiting, *names]
        self.waiting = []
        assert seq == len(self.kept)

    @rule(count=st.integers(1, 4))
    def durable_with_a_bad_one_among_them(self, count: int) -> None:
        names = [*self.names(count), *self.names(1, "bad")]
        ack = self.log.append_durable(*(self.act(name) for name in names))
        with pytest.raises(StorageUnavailable):
            ack.result(20)
        self.refused.update(names)

    @rule(how=st.sampled_from(["fails", "breaks, kept", "breaks, not kept", ""]))
    def trouble(self, how: str) -> None:
        self.disk.how = how

    @rule(days=st.sampled_from([-1, 1]))
    def the_clock_jumps(self, days: int) -> None:
        self.at_us += days * DAY_US

    @rule()
    def crash(self) -> None:
        """What lies on the disk at this moment is all that there is."""
        image = self.folder / f"image{self.number}"
        self.number += 1
        image.mkdir()
        with self.disk.at_rest:
            for path in self.path.parent.glob(f"{FILE}*"):
                shutil.copy(path, image)
        self.disk.how = "fails"
        self.log.stop()
        self.database.close()
        found = Database(image / FILE)
        names = ids(found)
        found.close()
        assert names[: len(self.kept)] == self.kept, "what was acknowledged is there, in order"
        assert names[len(self.kept) :] == self.waiting[: len(names) - len(self.kept)]
        self.kept, self.waiting = names, []
        self.open(image / FILE)

    @rule()
    def all_is_written_in_the_end(self) -> None:
        self.disk.how = ""
        for _ in range(400):
            try:
                self.log.flush().result(20)
                break
            except StorageUnavailable:
                continue
        self.kept += self.waiting
        self.waiting = []
        assert self.log.healthy and ids(self.database) == self.kept

    @invariant()
    def exactly_what_was_kept(self) -> None:
        with self.disk.at_rest:
            found = ids(self.database)
            seqs = [row[0] for row in self.database.cursor().execute(
                "SELECT log_seq FROM acts ORDER BY 1").fetchall()]  # fmt: skip
        assert found[: len(self.kept)] == self.kept
        assert found[len(self.kept) :] == self.waiting[: len(found) - len(self.kept)]
        assert seqs == list(range(1, len(found) + 1)), "numbered without a gap"
        assert not self.refused & set(found)


def ids(database: Database) -> list[str]:
    rows = database.cursor().execute("SELECT id FROM acts ORDER BY log_seq").fetchall()
    return [row[0] for row in rows]


LogMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, derandomize=True
)
TestH01TheLogAgainstItsModel = pytest.mark.slow(LogMachine.TestCase)
