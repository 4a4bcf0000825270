"""What is kept on disk, opened: lock, database, log, keys, overrides, and what a kill lost."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

from service.config import Settings
from service.domain.clock import Clock, new_id
from service.domain.records import Act
from service.runtime import Kept
from service.storage.cases import Cases, rows_of
from service.storage.database import StateLock
from service.storage.event_log import EventLog
from service.storage.history import Publisher, read_manifest
from service.storage.keys import KeyStore
from service.storage.overrides import OverrideStore
from service.storage.restore import open_live
from service.storage.tally import Tally

HASH_KEY_FILE = "hash.key"


def open_kept(settings: Settings, clock: Clock, notices: list[str]) -> Kept:
    state_dir = settings.state_dir
    lock = StateLock(state_dir)
    database, restored = open_live(state_dir)
    event_log = EventLog(database)
    event_log.start()
    counts = rows_of(
        database.cursor(),
        "SELECT (SELECT count(*) FROM decisions) AS d, (SELECT count(*) FROM attempts) AS a",
    )[0]
    tally = Tally(state_dir)
    lost = tally.lost(counts["d"], counts["a"])
    detail: dict[str, object] = {"lost_decisions": lost[0], "lost_attempts": lost[1]}
    if any(lost):
        notices.append(
            f"{lost[0]} decisions and {lost[1]} attempts of the last moments before the stop "
            "were not durable yet and are lost; nothing acknowledged is"
        )
    if restored is not None:
        detail["restored_rows"] = restored.rows
        detail["set_aside"] = list(restored.set_aside)
        notices.append(
            f"the live file was mended from the published history: {restored.rows} rows put "
            f"back ({restored.reason}); rows that came after the last publication "
            f"({_published_at(state_dir)}) cannot be restored"
            + (f"; the damaged files are {', '.join(restored.set_aside)}" if restored.set_aside
               else "")
        )  # fmt: skip
    event_log.append(
        Act(new_id(), clock.wall_us(), "headgate", "service.started", str(state_dir.name), "",
            json.dumps(detail))
    )  # fmt: skip
    return Kept(
        state_dir=state_dir,
        lock=lock,
        database=database,
        log=event_log,
        tally=tally,
        cases=Cases(database.cursor),
        keys=KeyStore(database, event_log, clock),
        overrides=OverrideStore(database, event_log, clock),
        publisher=Publisher(database, state_dir),
    )


def _published_at(state_dir: Path) -> str:
    at_s = read_manifest(state_dir).published_at
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_s)) if at_s else "none yet"


def hash_key(settings: Settings) -> bytes:
    """The key of all keyed hashes: from the environment, or made once and kept beside the data."""
    if settings.hash_key is not None:
        return settings.hash_key.encode()[:64]
    path: Path = settings.state_dir / HASH_KEY_FILE
    if not path.exists():
        aside = path.with_suffix(".aside")
        aside.touch(mode=0o600)
        aside.write_bytes(secrets.token_bytes(32))
        aside.rename(path)
    return path.read_bytes()
