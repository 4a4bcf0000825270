"""Keys: shown once, kept as digests, found again after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.domain.clock import SystemClock
from service.domain.records import Key
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.keys import KeyStore
from tests.conftest import HandClock


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


@pytest.fixture
def keys() -> Iterator[KeyStore]:
    database = Database(None)
    log = EventLog(database)
    log.start()
    yield KeyStore(database, log, HandClock())
    log.stop()


def make(keys: KeyStore, role: str = "caller", **more: Any) -> tuple[Key, str]:
    made, secret = keys.made(Key("", 0, f"{role}-{len(keys)}", role, "", "", "", **more))
    keys.put(made)
    return made, secret


def clock(keys: KeyStore) -> HandClock:
    assert isinstance(keys._clock, HandClock)
    return keys._clock


def test_a_revoked_key_opens_nothing_from_the_next_request_on(keys: KeyStore) -> None:
    key, secret = make(keys)
    assert keys.find(secret) == key and keys.by_id(key.id) == key
    keys.put(keys.revoked(key))
    assert keys.find(secret) is None and keys.by_id(key.id) is None
    assert keys.standings()[0].state == "revoked" and len(keys) == 0


def test_a_rotated_key_has_two_secrets_until_the_grace_ends(keys: KeyStore) -> None:
    key, old = make(keys)
    rotated, new = keys.rotated(key, 60.0)
    keys.put(rotated)
    assert keys.find(old) == keys.find(new) == rotated and rotated.id == key.id
    assert keys.standing(rotated).state == "rotating"
    clock(keys).advance(61.0)
    assert keys.find(old) is None and keys.find(new) == rotated
    assert keys.standing(rotated).state == "active"
    again, newest = keys.rotated(rotated, 0.0)
    keys.put(again)
    assert keys.find(new) is None and keys.find(newest) == again
    keys.put(keys.revoked(again))
    assert all(keys.find(each) is None for each in (old, new, newest))


def test_a_key_ends_at_its_time_whatever_the_wall_clock_does(keys: KeyStore) -> None:
    until_us = clock(keys).wall_us() + 60_000_000
    key, secret = make(keys, expires_us=until_us)
    clock(keys).wall += 86_400_000_000
    assert keys.find(secret) == key
    clock(keys).wall -= 2 * 86_400_000_000
    clock(keys).monotonic += 61.0
    assert keys.find(secret) is None and keys.by_id(key.id) is None
    assert keys.standing(key).state == "expired"


def test_the_last_administrator_is_known(keys: KeyStore) -> None:
    first, _ = make(keys, "administrator")
    assert keys.last_administrator(first)
    second, _ = make(keys, "administrator")
    assert not keys.last_administrator(first)
    keys.put(keys.revoked(second))
    assert keys.last_administrator(first)
    make(keys, "operator")
    assert keys.last_administrator(first)
    keys.bootstrap("hg-from-the-environment")
    assert not keys.last_administrator(first)


def test_all_of_it_is_found_again_after_a_restart(tmp_path: Path) -> None:
    hand = HandClock()
    database = Database(tmp_path / FILE)
    log = EventLog(database)
    log.start()
    before = KeyStore(database, log, hand)
    made, old = before.made(Key("", 0, "shop", "caller", "acme", "basic", ""))
    rotated, new = before.rotated(made, 60.0)
    ended, gone = before.made(Key("", 0, "old", "caller", "", "", ""))
    log.append_durable(made, rotated, ended, before.revoked(ended)).result(5)
    log.stop()
    database.close()
    hand.advance(30.0)
    database = Database(tmp_path / FILE)
    after = KeyStore(database, EventLog(database), hand)
    assert after.find(old) == after.find(new) == rotated and after.find(gone) is None
    assert after.standings()[0].created_us == made.at_us
    hand.advance(31.0)
    assert after.find(old) is None and after.find(new) == rotated
    assert after.named("SHOP") == rotated and after.named("old") is None
    assert after.standing(rotated).used_us == hand.wall_us() - hand.wall_us() % 60_000_000
    database.close()
