"""Oddities of upstreams that spoil no answer by themselves: counted, and logged at times."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger("headgate.providers")

MALFORMED_LINES = "malformed_lines"  # lines of a stream that could not be read
RECONNECTS = "reconnects"  # requests sent again because a kept connection had been closed
OTHER_MODEL = "other_model"  # answers under another model's name than was asked for
KINDS = (MALFORMED_LINES, RECONNECTS, OTHER_MODEL)
LOG_EVERY_S = 60.0


class Incidents:
    """Passes each count on to ``tell``; logs a deployment's kind at most once a minute."""

    def __init__(self) -> None:
        self.tell: Callable[[str, str, int], None] | None = None
        self._untold: dict[tuple[str, str], int] = {}
        self._told_s: dict[tuple[str, str], float] = {}

    def count(self, deployment: str, kind: str, number: int = 1) -> None:
        """So many of a kind were seen at a deployment."""
        if self.tell is not None:
            self.tell(deployment, kind, number)
        key, now_s = (deployment, kind), time.monotonic()
        self._untold[key] = self._untold.get(key, 0) + number
        if now_s - self._told_s.get(key, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._told_s[key] = now_s
            log.warning("upstream %s: %d %s", deployment, self._untold.pop(key), kind)
