"""What is kept goes to disk by a thread of its own; whoever answers a request waits for none."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from service.caching.shelf import Entry
from service.domain.clock import Clock
from service.storage.cache_file import CacheFile, Row
from service.storage.errors import StorageError

log = logging.getLogger("headgate.cache")

BATCH_S = 0.1  # a kill loses at most what came within it
MOST_WAITING = 16_000_000  # bytes of answers that wait; more are kept in memory alone
_META = ("fingerprint", "scope", "deployment", "mark", "task", "tenant", "owner", "tags",
         "stored_us", "most_s", "source", "cost_micro_usd", "tokens_in", "tokens_out")  # fmt: skip


def row_of(entry: Entry) -> Row:
    """An entry as it lies in the file."""
    meta = {name: getattr(entry, name) for name in _META}
    return Row(entry.name, json.dumps(meta), entry.tail, entry.stored_s, entry.dies_s)


def entry_from(row: Row) -> Entry:
    """And back."""
    meta = json.loads(row.meta)
    meta["tags"] = tuple(meta["tags"])
    return Entry(
        name=row.name, tail=row.tail, stored_s=row.stored_s, dies_s=row.dies_s, **meta
    )  # fmt: skip


class Keeper:
    """Puts and deletes in their order, a batch at a time. A delete is never dropped for want of
    room; a put is, and then the answer is in memory alone.
    """

    def __init__(self, file: CacheFile, clock: Clock, boot: str, policy: Callable[[], str]) -> None:
        self._file, self._clock, self._boot, self._policy = file, clock, boot, policy
        self._lock = threading.Condition()
        self._puts: dict[str, Entry] = {}
        self._gone: dict[str, None] = {}
        self._flushes: list[Future[None]] = []
        self._bytes = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.trouble = ""
        self.dropped = 0

    @property
    def most_bytes(self) -> int:
        """What the file may take."""
        return self._file.most_bytes

    def load(self, most_bytes: int) -> list[Entry]:
        """What the file holds that is whole and in its time; blocks."""
        rows = self._file.read(self._policy(), (self._clock, self._boot), most_bytes)
        return [entry_from(row) for row in rows]

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="headgate-cache", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> bool:
        """Write it soon; whether half of the room for what waits is taken, so that who has many
        does well to flush.
        """
        with self._lock:
            before = self._puts.pop(entry.name, None)
            self._bytes -= before.size if before else 0
            if self._bytes + entry.size > MOST_WAITING:
                self.dropped += 1
                self._gone[entry.name] = None  # what lies there is no longer what is meant
                return True
            self._puts[entry.name] = entry
            self._bytes += entry.size
            return self._bytes > MOST_WAITING // 2

    def gone(self, names: list[str]) -> None:
        """Delete them soon."""
        with self._lock:
            for name in names:
                before = self._puts.pop(name, None)
                self._bytes -= before.size if before else 0
                self._gone[name] = None

    def flush(self) -> Future[None]:
        """When all that was told is on disk; fails where it cannot be written."""
        done: Future[None] = Future()
        with self._lock:
            self._flushes.append(done)
            self._lock.notify()
        return done

    def stop(self) -> None:
        """Write what is left, and let the file go."""
        with self._lock:
            self._stopping = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(30)
        self._file.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._stopping and not self._flushes:
                    self._lock.wait(BATCH_S)
                puts, gone, flushes = self._puts, self._gone, self._flushes
                self._puts, self._gone, self._flushes, self._bytes = {}, {}, [], 0
                stopping = self._stopping
            error = self._write(puts, gone)
            for each in flushes:
                if error is None:
                    each.set_result(None)
                else:
                    each.set_exception(error)
            if stopping:
                return

    def _write(self, puts: dict[str, Entry], gone: dict[str, None]) -> StorageError | None:
        if not puts and not gone:
            return None
        at, policy = (self._clock, self._boot), self._policy()
        try:
            try:
                self._file.write(policy, [row_of(each) for each in puts.values()], gone, at)
            except StorageError as error:  # the file is full, or the disk: what goes, goes
                log.warning("answers are kept in memory alone: %s", error)
                self.trouble = str(error)
                self.dropped += len(puts)
                self._file.write(policy, [], [*gone, *puts], at)
                return None
        except StorageError as error:
            with self._lock:  # what was to go is tried again, or a restart would bring it back
                self._gone = {**gone, **dict.fromkeys(puts), **self._gone}
            return error
        self.trouble = ""
        return None
