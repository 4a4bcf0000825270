"""The log: records are queued here and made durable by one writer thread. Append; never change."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from service.domain.errors import StorageUnavailable
from service.storage.database import Database
from service.storage.errors import WriteFailed
from service.storage.tables import TABLES, Row, Table

log = logging.getLogger("headgate.storage")

FLUSH_S = 0.1
MAX_BATCH = 20_000
MAX_QUEUED = 200_000
RETRY_S = 1.0

_Ack = Future[int]
_Item = tuple[Table, Row, "_Ack | None"]


class EventLog:
    """Appending costs a list entry; a batch is committed every 100 ms, sooner when awaited.

    When a commit fails nobody is told that it succeeded: awaited records fail with
    StorageUnavailable and are forgotten, the others wait (bounded) and are tried again.
    """

    def __init__(self, database: Database, flush_s: float = FLUSH_S) -> None:
        self._database = database
        self._flush_s = flush_s
        self._queue: deque[_Item] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._seq = database.last_seq
        self.healthy = True
        self.failure = ""
        self.dropped = 0
        self.committed = 0
        self._thread = threading.Thread(target=self._run, name="headgate-writer", daemon=True)

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

    def append(self, record: Any) -> None:
        """Queue a record; durable within the flush time."""
        table = TABLES[type(record)]
        self._queue.append((table, table.row(record), None))

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
        return ack

    def flush(self) -> _Ack:
        """A future that ends when everything queued so far is durable."""
        ack: _Ack = Future()
        self._queue.append((_TOGETHER, (), ack))
        self._wake.set()
        return ack

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _run(self) -> None:
        """A batch a turn: what comes in while one is written waits for the next turn, so that
        under load a commit carries many rows instead of following on the heels of the last.
        """
        while True:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            stopping = self._stopping
            pending = len(self._queue)
            while pending > 0:
                if not self._write_batch(min(pending, MAX_BATCH)):
                    self._wake.wait(RETRY_S)
                    break
                pending -= MAX_BATCH
            if stopping and (not self._queue or not self.healthy):
                return

    def _write_batch(self, count: int) -> bool:
        items = [self._queue.popleft() for _ in range(count)]
        grouped: dict[str, tuple[Table, list[Row]]] = {}
        acks: list[_Ack] = []
        for table, row, ack in items:
            if ack is not None:
                acks.append(ack)
            for each_table, each_row, _ in row if table is _TOGETHER else ((table, row, None),):
                grouped.setdefault(each_table.name, (each_table, []))[1].append(each_row)
        try:
            self._commit(grouped)
        except Exception as error:  # the writer must outlive whatever a commit raises
            self._failed(items, acks, error)
            return False
        if not self.healthy:
            log.warning("storage is writable again")
        self.healthy, self.failure = True, ""
        for ack in acks:
            ack.set_result(self._seq)
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
        self.committed += seq - self._seq
        self._seq = seq

    def _failed(self, items: Sequence[_Item], acks: Sequence[_Ack], error: Exception) -> None:
        if self.healthy:
            log.error("a batch could not be written: %s", error)
        self.healthy = False
        self.failure = str(error) if isinstance(error, WriteFailed) else type(error).__name__
        kept = [item for item in items if item[2] is None and _storable(item)]
        if len(self._queue) + len(kept) > MAX_QUEUED:
            self.dropped += len(kept)
            kept = []
        self._queue.extendleft(reversed(kept))
        for ack in acks:
            ack.set_exception(
                StorageUnavailable(
                    "this cannot be made durable now, so it was not taken; try again soon",
                    retry_after_s=5.0,
                )
            )


def _storable(item: _Item) -> bool:
    """Whether a row can be written at all; one that cannot must not hold up the rest."""
    table, row, _ = item
    try:
        table.batch([row], 1)
    except (TypeError, ValueError, OverflowError, UnicodeError) as error:
        log.error("a row of %s cannot be stored and is left out: %s", table.name, error)
        return False
    return True


_TOGETHER = Table("", (), (), lambda record: ())
