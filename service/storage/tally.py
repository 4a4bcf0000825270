"""A counter that outlives a kill: how many rows were queued, against how many became durable."""

from __future__ import annotations

import logging
import mmap
import struct
from pathlib import Path

log = logging.getLogger("headgate.storage")

FILE = "tally.bin"
# issued and base, for decisions and for attempts; the number of the last row made durable
_FORMAT = struct.Struct("<QQQQQ")
_DURABLE_AT = 32


class Tally:
    """Counts queued decisions and attempts, and the last durable row, in a mapped file (the page
    cache survives kill -9). Without room for that file it counts for this process alone.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / FILE
        self._file = None
        try:
            if not path.exists() or path.stat().st_size != _FORMAT.size:
                path.write_bytes(bytes(_FORMAT.size))
            self._file = path.open("r+b")
            self._map = mmap.mmap(self._file.fileno(), _FORMAT.size)
        except (OSError, ValueError) as error:
            log.warning("what a kill loses cannot be counted: %s", type(error).__name__)
            self._map = mmap.mmap(-1, _FORMAT.size)
        self._decisions, self._attempts = 0, 0
        self.durable_before: int = _FORMAT.unpack(self._map)[4]

    def lost(
        self, decisions: int, attempts: int, dropped: tuple[int, int] = (0, 0)
    ) -> tuple[int, int]:
        """What was queued before and never became durable, given the rows now in the log; where
        it was rebuilt, ``dropped`` of each were too old to be in it.

        Starts a new count.
        """
        issued_d, issued_a, base_d, base_a, durable = _FORMAT.unpack(self._map)
        lost_d = max(issued_d - (decisions + dropped[0] - base_d), 0)
        lost_a = max(issued_a - (attempts + dropped[1] - base_a), 0)
        _FORMAT.pack_into(self._map, 0, 0, 0, decisions, attempts, durable)
        return lost_d, lost_a

    def decision(self) -> None:
        """One more decision was queued."""
        self._decisions += 1
        struct.pack_into("<Q", self._map, 0, self._decisions)

    def attempt(self) -> None:
        """One more attempt was queued."""
        self._attempts += 1
        struct.pack_into("<Q", self._map, 8, self._attempts)

    def durable(self, seq: int) -> None:
        """The rows up to that number are durable."""
        struct.pack_into("<Q", self._map, _DURABLE_AT, seq)

    def close(self) -> None:
        """Let the file go."""
        self._map.close()
        if self._file is not None:
            self._file.close()
