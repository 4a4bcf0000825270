"""When each key was last seen: in memory, and now and then in a small file of its own."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger("headgate.storage")

FILE = "key-uses.json"


class KeyUses:
    """The file is a convenience: when it is lost or cannot be written, only that is not known."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self._kept: dict[str, int] = {}

    def read(self) -> dict[str, int]:
        """Microseconds since the epoch by the key's id, to the minute."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            self._kept = {str(name): int(at_us) for name, at_us in content.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("when keys were last used is not known: %s", type(error).__name__)
        return dict(self._kept)

    def keep(self, used_us: Mapping[str, int]) -> bool:
        """Write what has changed by a minute; whether there was any. Blocks."""
        minutes = {name: at_us - at_us % 60_000_000 for name, at_us in used_us.items()}
        if minutes == self._kept:
            return False
        aside = self._path.with_suffix(".aside")
        try:
            aside.write_text(json.dumps(minutes), "utf-8")
            os.replace(aside, self._path)
        except OSError as error:
            log.warning("when keys were last used cannot be kept: %s", error.strerror)
            return False
        self._kept = minutes
        return True
