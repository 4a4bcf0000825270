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
from service.storage.approvals import ApprovalStore
from service.storage.cases import Cases, rows_of
from service.storage.database import Database, StateLock
from service.storage.errors import ReadFailed, StorageError
from service.storage.event_log import EventLog
from service.storage.history import Publisher
from service.storage.key_uses import KeyUses
from service.storage.keys import KeyStore
from service.storage.manifest import read_manifest
from service.storage.overrides import OverrideStore
from service.storage.restore import Restored, open_live, publish_rest, rebuild
from service.storage.tally import Tally
from service.storage.trouble import words

HASH_KEY_FILE = "hash.key"


def open_kept(settings: Settings, clock: Clock, notices: list[str], damage: str = "") -> Kept:
    """What is kept, opened, with what to tell of it. ``damage``: why the live file, which opened
    the last time, is to be rebuilt.
    """
    lock = StateLock(settings.state_dir)
    try:
        if damage:
            return _rebuilt(settings, clock, notices, lock, damage)
        database, restored = open_live(settings.state_dir)
        try:
            return _open(settings, clock, notices, lock, (database, restored))
        except ReadFailed as error:
            return _rebuilt(settings, clock, notices, lock, str(error))
    except OSError as error:
        lock.release()
        raise StorageError(f"{settings.state_dir}: {words(error)}") from error
    except BaseException:
        lock.release()
        raise


def _rebuilt(
    settings: Settings, clock: Clock, notices: list[str], lock: StateLock, damage: str
) -> Kept:
    """A file that opens and cannot be read: what it still gives is published, then rebuilt."""
    publish_rest(settings.state_dir)
    return _open(settings, clock, notices, lock, rebuild(settings.state_dir, damage))


def _open(
    settings: Settings,
    clock: Clock,
    notices: list[str],
    lock: StateLock,
    opened: tuple[Database, Restored | None],
) -> Kept:
    state_dir, (database, restored) = settings.state_dir, opened
    try:
        tally, detail = _counted(state_dir, database, restored, notices)
    except BaseException:
        database.close()
        raise
    event_log = EventLog(database)  # from here on its numbers are given
    event_log.start()
    try:
        event_log.committed_through = tally.durable
        event_log.append(
            Act(new_id(), clock.wall_us(), "headgate", "service.started", str(state_dir.name), "",
                json.dumps(detail))
        )  # fmt: skip
        keys, uses = KeyStore(database, event_log, clock), KeyUses(state_dir)
        keys.seen(uses.read().items())
        return Kept(
            state_dir=state_dir,
            lock=lock,
            database=database,
            log=event_log,
            tally=tally,
            cases=Cases(database.cursor),
            keys=keys,
            key_uses=uses,
            approvals=ApprovalStore(database, clock),
            overrides=OverrideStore(database, event_log, clock),
            publisher=Publisher(database, state_dir, clock.monotonic_s),
        )
    except BaseException:
        event_log.stop()
        database.close()
        raise


def _counted(
    state_dir: Path, database: Database, restored: Restored | None, notices: list[str]
) -> tuple[Tally, dict[str, object]]:
    """What was lost since the last run: told in the notices, and as the detail of the start."""
    counts = rows_of(
        database.cursor(),
        "SELECT (SELECT count(*) FROM decisions) AS d, (SELECT count(*) FROM attempts) AS a",
    )[0]
    tally = Tally(state_dir)
    gone = restored.dropped if restored is not None else {}
    old = [gone[name].rows if name in gone else 0 for name in ("decisions", "attempts")]
    lost = tally.lost(counts["d"], counts["a"], (old[0], old[1]))
    detail: dict[str, object] = {"lost_decisions": lost[0], "lost_attempts": lost[1]}
    if any(lost):
        notices.append(
            f"{lost[0]} decisions and {lost[1]} attempts of the last moments before the stop "
            "were not durable yet and are lost; nothing acknowledged is"
        )
    manifest = read_manifest(state_dir)
    if manifest.damage:
        detail["manifest"] = manifest.damage
        notices.append("the manifest of the published history was damaged; it was made anew from "
                       "the names of the files")  # fmt: skip
    if restored is not None:
        detail["restored_rows"] = restored.rows
        detail["set_aside"] = list(restored.set_aside)
        detail["missing"] = list(restored.missing)
        notices.append(restored.told(_published_at(state_dir)))
    missing = tally.durable_before - database.last_seq
    if missing > 0:
        detail["missing_rows"] = missing
        notices.append(
            f"the log ended at row {tally.durable_before} and now ends at {database.last_seq}: "
            f"{missing} rows that were durable, acknowledged ones among them, are gone"
        )
        database.last_seq = tally.durable_before  # their numbers are not given again
    return tally, detail


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
