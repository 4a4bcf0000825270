"""The log: records are queued here and made durable by one writer thread. Append; never change."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from service.domain.errors import StorageUnavailable
from service.domain.records import Decision, Weight
from service.storage.database import Database
from service.storage.errors import DatabaseInvalid, RowsRefused
from service.storage.tables import NAMES, TABLES, Row, Table
from service.storage.trouble import words

log = logging.getLogger("headgate.storage")

FLUSH_S = 0.1
MAX_BATCH = 20_000
MAX_QUEUED = 60_000  # of some kilobytes each
PROBE = 200  # what is tried while the log cannot be written
RETRY_S = 1.0
DOUBT_S = 10.0
SHEDDABLE = (Decision, Weight)
NOT_TAKEN = "this cannot be made durable now, so it was not taken; try again soon"
IN_DOUBT = "whether this was made durable is not known yet; look, or send it again later"

_Ack = Future[int]
_Item = tuple[Table, Row, "_Ack | None"]
_BAD_ROW = (RowsRefused, TypeError, ValueError, OverflowError, UnicodeError)


@dataclass(slots=True)
class _Doubt:
    """A batch over which the database broke down: kept or not, to be seen when it is open."""

    items: list[_Item]
    acks: list[_Ack]
    last_seq: int
    rows: Mapping[str, int]  # by table
    since_s: float


class EventLog:
    """Appending costs a list entry; a batch is committed every 100 ms, sooner when awaited.

    When a commit fails nobody is told that it succeeded: awaited records fail with
    StorageUnavailable and are forgotten, the others wait and are tried again each second. What
    waits is bounded at its entry: while the queue is full no new decision is taken in (``append``
    says so), and nothing that was taken in is dropped.
    """

    def __init__(self, database: Database, flush_s: float = FLUSH_S) -> None:
        self._database = database
        self._flush_s = flush_s
        self._queue: deque[_Item] = deque()
        self._wake = threading.Event()
        self._halt = threading.Event()
        self._seq = database.last_seq
        self._doubt: _Doubt | None = None
        self.at_once = False  # who appends durably waits itself: for a clock that is made
        self.committed_through: Callable[[int], None] = lambda seq: None
        self.healthy = True
        self.failure = ""
        self.dropped = 0
        self.refused = 0
        self.records = dict.fromkeys(NAMES, 0)  # made durable since the start, by table
        self._thread = threading.Thread(target=self._run, name="headgate-writer", daemon=True)

    @property
    def committed(self) -> int:
        """Records made durable since the start."""
        return sum(self.records.values())

    @property
    def queued(self) -> int:
        """Records that wait to be written."""
        return len(self._queue)

    @property
    def last_seq(self) -> int:
        """The number of the last row made durable."""
        return self._seq

    def start(self) -> None:
        """Start the writer."""
        self._thread.start()

    def append(self, record: Any) -> bool:
        """Queue a record; durable within the flush time. False: the queue is full, and it was
        dropped and counted; only decisions and weights ever are.
        """
        if len(self._queue) >= MAX_QUEUED and isinstance(record, SHEDDABLE):
            self.dropped += 1
            return False
        table = TABLES[type(record)]
        self._queue.append((table, table.row(record), None))
        return True

    def append_durable(self, *records: Any) -> _Ack:
        """Queue records; the future ends when all of them, and all before them, are durable.

        It fails with StorageUnavailable, and then none of them was kept.
        """
        ack: _Ack = Future()
        rows = [(TABLES[type(record)], TABLES[type(record)].row(record)) for record in records]
        items: list[_Item] = [(table, row, None) for table, row in rows[:-1]]
        items.append((*rows[-1], ack))
        if len(items) > 1:
            # One entry of the queue, so that a batch boundary never parts them.
            self._queue.append((_TOGETHER, tuple(items), ack))
        else:
            self._queue.append(items[0])
        self._wake.set()
        if self.at_once:
            wait([ack], timeout=30)
        return ack

    def flush(self, soon: bool = True) -> _Ack:
        """A future that ends when everything queued so far is durable; not ``soon``: with the next
        commit that is made anyhow.
        """
        ack: _Ack = Future()
        self._queue.append((_TOGETHER, (), ack))
        if soon or self.at_once:
            self._wake.set()
        if self.at_once:
            wait([ack], timeout=30)
        return ack

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        self._halt.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    # the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        """A batch a turn: what comes in while one is written waits for the next turn, so that
        under load a commit carries many rows instead of following on the heels of the last.
        """
        while True:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            stopping = self._halt.is_set()
            pending = len(self._queue)
            while pending > 0 or self._doubt is not None:
                size = min(pending, MAX_BATCH if self.healthy else PROBE)
                if not self._turn(size):
                    self._halt.wait(RETRY_S)  # who waits in the queue is told at the next try
                    break
                pending -= size
            if stopping and (not self._queue or not self.healthy):
                self._forsake()
                return

    def _turn(self, count: int) -> bool:
        if self._doubt is not None:
            return self._settle(self._doubt)
        return self._write([self._queue.popleft() for _ in range(count)])

    def _write(self, items: list[_Item]) -> bool:
        grouped: dict[str, tuple[Table, list[Row]]] = {}
        acks: list[_Ack] = []
        for table, row, ack in items:
            if ack is not None:
                acks.append(ack)
            for each_table, each_row, _ in row if table is _TOGETHER else ((table, row, None),):
                grouped.setdefault(each_table.name, (each_table, []))[1].append(each_row)
        rows = {name: len(each) for name, (_, each) in grouped.items()}
        try:
            self._commit(grouped)
        except _BAD_ROW as error:
            self._without(items, error)
            return True
        except DatabaseInvalid as error:
            self._ill(error)
            self._doubt = _Doubt(
                items, acks, self._seq + sum(rows.values()), rows, time.monotonic()
            )
            return self._settle(self._doubt)
        except Exception as error:  # the writer must outlive whatever a commit raises
            self._failed(items, error)
            return False
        self._kept(acks, rows)
        return True

    def _commit(self, grouped: dict[str, tuple[Table, list[Row]]]) -> None:
        if not grouped:
            return
        seq = self._seq
        batches = {}
        for name, (table, rows) in grouped.items():
            batches[name] = table.batch(rows, seq + 1)
            seq += len(rows)
        self._database.write(batches)

    def _kept(self, acks: Sequence[_Ack], rows: Mapping[str, int]) -> None:
        if not self.healthy:
            log.warning("storage is writable again")
        self._seq += sum(rows.values())
        for name, number in rows.items():
            self.records[name] += number
        self.committed_through(self._seq)
        self.healthy, self.failure = True, ""
        for ack in acks:
            with suppress(InvalidStateError):  # who waited has left meanwhile
                ack.set_result(self._seq)

    def _failed(self, items: Sequence[_Item], error: Exception) -> None:
        self._ill(error)
        self._queue.extendleft(reversed(items))
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        """Whoever waits, however far behind in the queue, is told at once and forgotten."""
        items = [self._queue.popleft() for _ in range(len(self._queue))]
        self._queue.extendleft(reversed([item for item in items if item[2] is None]))
        _refuse([item[2] for item in items if item[2] is not None], NOT_TAKEN)

    def _ill(self, error: Exception) -> None:
        if self.healthy:
            log.error("a batch could not be written: %s", error)
        self.failure = words(error)
        self.healthy = False

    def _without(self, items: list[_Item], error: Exception) -> None:
        """One that cannot be stored must not hold up the rest: it is found by halving."""
        if len(items) > 1:
            half = len(items) // 2
            self._queue.extendleft(reversed(items[half:]))
            self._write(items[:half])
            return
        table, _, ack = items[0]
        self.refused += 1
        log.error("a row of %s cannot be stored and is left out: %s", table.name, error)
        _refuse([ack] if ack is not None else [], "this cannot be stored, so it was not taken")

    def _settle(self, doubt: _Doubt) -> bool:
        """Open the file anew and see whether the batch is in it."""
        try:
            found = self._database.reopen()
        except Exception as error:  # tried again each second, for as long as it takes
            self._ill(error)
            self._refuse_waiting()
            if time.monotonic() - doubt.since_s > DOUBT_S:
                _refuse(doubt.acks, IN_DOUBT)
            return False
        self._doubt = None
        if found >= doubt.last_seq:
            log.warning("the database was opened anew; its last commit was kept")
            self._kept(doubt.acks, doubt.rows)
            return True
        log.warning("the database was opened anew; its last commit was not kept")
        if found < self._seq:
            log.error("the live file ends at row %s, not %s: rows are lost", found, self._seq)
        self._queue.extendleft(reversed(doubt.items))
        self._refuse_waiting()
        return False

    def _forsake(self) -> None:
        """At the end: who still waits is told."""
        _refuse([item[2] for item in tuple(self._queue) if item[2] is not None], NOT_TAKEN)
        if self._doubt is not None:
            _refuse(self._doubt.acks, IN_DOUBT)


def _refuse(acks: Sequence[_Ack], message: str) -> None:
    for ack in acks:
        with suppress(InvalidStateError):
            ack.set_exception(StorageUnavailable(message, retry_after_s=5.0))


_TOGETHER = Table("", (), (), lambda record: ())
