"""Keys: shown once, kept as digests, found again after a restart."""

from __future__ import annotations

from pathlib import Path

from service.domain.clock import SystemClock
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.keys import KeyStore


def test_the_first_key_is_made_once_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    made = None
    for _ in range(2):
        database = Database(tmp_path / FILE)
        log = EventLog(database)
        log.start()
        keys = KeyStore(database, log, SystemClock())
        again = keys.bootstrap(None)
        if made is None:
            made = again
            assert made is not None and made.startswith("hg-") and len(made) > 40
        else:
            assert again is None
        found = keys.find(made)
        assert found is not None and found.role == "administrator" and len(keys) == 1
        assert keys.find(made + "x") is None and keys.find("") is None
        log.stop()
        database.close()
    for path in tmp_path.rglob("*"):
        assert made is not None
        assert made.encode() not in path.read_bytes(), path


def test_a_key_from_the_environment_is_an_administrator_at_every_start() -> None:
    database = Database(None)
    log = EventLog(database)
    log.start()
    keys = KeyStore(database, log, SystemClock())
    assert keys.bootstrap("hg-mine") is None and keys.bootstrap("hg-mine") is None
    assert keys.bootstrap("hg-new") is None and len(keys) == 2
    log.stop()
