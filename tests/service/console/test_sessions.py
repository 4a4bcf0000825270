"""Log-ins: who may, how long it lasts, and how many wrong keys are borne."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.console import sessions
from service.console.sessions import FAILURES, MOST_OF_A_KEY, SessionRules, Sessions
from service.domain.errors import AuthenticationFailed, PermissionDenied, RateLimited
from service.domain.records import Key
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.keys import KeyStore, digest
from tests.conftest import HandClock


class Keys:
    """A key store without a log: what sessions ask of one."""

    def __init__(self) -> None:
        self.known: dict[str, Key] = {}

    def add(self, role: str, tenant: str = "", name: str = "") -> str:
        secret = f"hg-{name or role}{tenant}"
        self.known[secret] = Key(f"id-{secret}", 0, name or role, role, tenant, "", digest(secret))
        return secret

    def find(self, secret: str) -> Key | None:
        return self.known.get(secret)

    def by_digest(self, sought: str) -> Key | None:
        return next((each for each in self.known.values() if each.digest == sought), None)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def desk(keys: Keys, clock: HandClock) -> Sessions:
    return Sessions(keys, clock, SessionRules(1_800.0, 43_200.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["analyst", "operator", "administrator"])
def test_who_may_log_in(desk: Sessions, keys: Keys, role: str) -> None:
    made = desk.open(keys.add(role), "10.0.0.1")
    found = desk.find(made.id)
    assert found is not None and found[0] is made and found[1].role == role
    assert len(made.id) >= 43 and made.token != made.id


def test_callers_and_tenants_are_refused_in_words(desk: Sessions, keys: Keys) -> None:
    with pytest.raises(PermissionDenied, match="needs the role analyst"):
        desk.open(keys.add("caller"), "a")
    with pytest.raises(PermissionDenied, match="only the tenant acme"):
        desk.open(keys.add("operator", "acme"), "a")
    for secret in ("", "hg-unknown", "x" * 600):
        with pytest.raises(AuthenticationFailed, match="not known"):
            desk.open(secret, "a")
    assert len(desk) == 0


def test_a_session_ends_when_idle_and_after_all_its_time(
    desk: Sessions, keys: Keys, clock: HandClock
) -> None:
    made = desk.open(keys.add("operator"), "a")
    for _ in range(23):
        clock.advance(1_799)
        assert desk.find(made.id) is not None
        desk.used(made)
    clock.advance(1_801)
    assert desk.find(made.id) is None and len(desk) == 0
    made = desk.open("hg-operator", "a")
    for _ in range(24):
        clock.advance(1_799)
        if desk.find(made.id) is not None:
            desk.used(made)
    clock.advance(100)
    assert desk.find(made.id) is None  # though it was used all along


def test_a_look_alone_does_not_keep_it(desk: Sessions, keys: Keys, clock: HandClock) -> None:
    made = desk.open(keys.add("operator"), "a")
    for _ in range(4):
        clock.advance(450)
        assert desk.find(made.id) is not None
    clock.advance(1)
    assert desk.find(made.id) is None


def test_it_ends_with_its_key_and_follows_its_role(desk: Sessions, keys: Keys) -> None:
    secret = keys.add("operator")
    made = desk.open(secret, "a")
    key = keys.known.pop(secret)
    keys.known[secret] = Key(key.id, 0, "x", "analyst", "", "", key.digest)
    found = desk.find(made.id)
    assert found is not None and found[1].role == "analyst"
    keys.known[secret] = Key(key.id, 0, "x", "caller", "", "", key.digest)
    assert desk.find(made.id) is None
    made = desk.open(keys.add("administrator"), "a")
    keys.known.clear()
    assert desk.find(made.id) is None


def test_log_out(desk: Sessions, keys: Keys) -> None:
    made = desk.open(keys.add("analyst"), "a")
    desk.close(made.id)
    assert desk.find(made.id) is None
    desk.close("no such")


def test_wrong_keys_are_borne_for_a_while(desk: Sessions, keys: Keys, clock: HandClock) -> None:
    good = keys.add("operator")
    for _ in range(FAILURES):
        with pytest.raises(AuthenticationFailed):
            desk.open("hg-wrong", "10.0.0.1")
    with pytest.raises(RateLimited) as refused:
        desk.open("hg-wrong", "10.0.0.1")
    assert refused.value.retry_after_s == pytest.approx(sessions.WINDOW_S)
    with pytest.raises(AuthenticationFailed):
        desk.open("hg-wrong", "10.0.0.2")  # another address
    desk.open(good, "10.0.0.1")  # a right key is let in behind the same proxy
    with pytest.raises(RateLimited):
        desk.open("hg-wrong", "10.0.0.1")
    clock.advance(sessions.WINDOW_S + 1)
    with pytest.raises(AuthenticationFailed):
        desk.open("hg-wrong", "10.0.0.1")


@pytest.fixture
def store(clock: HandClock) -> Iterator[KeyStore]:
    database = Database(None)
    yield KeyStore(database, EventLog(database), clock)
    database.close()


def made(store: KeyStore, **more: Any) -> tuple[Key, str]:
    key, secret = store.made(Key("", 0, "ann", "operator", "", "", "", **more))
    store.put(key)
    return key, secret


def test_a_session_ends_when_its_key_is_revoked(store: KeyStore, clock: HandClock) -> None:
    desk = Sessions(store, clock, SessionRules())
    key, secret = made(store)
    opened = desk.open(secret, "a")
    assert desk.find(opened.id) is not None
    store.put(store.revoked(key))
    assert desk.find(opened.id) is None and len(desk) == 0


def test_a_session_lasts_as_long_as_its_secret(store: KeyStore, clock: HandClock) -> None:
    desk = Sessions(store, clock, SessionRules())
    key, secret = made(store)
    opened = desk.open(secret, "a")
    key, newer = store.rotated(key, 0.0)
    store.put(key)
    assert desk.find(opened.id) is None  # no grace: at once
    opened = desk.open(newer, "a")
    key, newest = store.rotated(key, 600.0)
    store.put(key)
    other = desk.open(newest, "a")
    clock.advance(599)
    found = desk.find(opened.id)
    assert found is not None and found[1] == key
    clock.advance(1)
    assert desk.find(opened.id) is None and desk.find(other.id) is not None


def test_a_session_ends_when_its_key_expires(store: KeyStore, clock: HandClock) -> None:
    desk = Sessions(store, clock, SessionRules())
    _, secret = made(store, expires_us=clock.wall_us() + 60_000_000)
    opened = desk.open(secret, "a")
    clock.advance(59)
    assert desk.find(opened.id) is not None
    clock.advance(1)
    assert desk.find(opened.id) is None


def test_they_are_bounded(desk: Sessions, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = keys.add("operator")
    made = [desk.open(secret, "a") for _ in range(MOST_OF_A_KEY + 3)]
    assert len(desk) == MOST_OF_A_KEY
    assert desk.find(made[0].id) is None and desk.find(made[-1].id) is not None
    monkeypatch.setattr(sessions, "MOST_SESSIONS", MOST_OF_A_KEY + 1)
    for i in range(5):
        desk.open(keys.add("analyst", name=f"n{i}"), "a")
    assert len(desk) == MOST_OF_A_KEY + 1
    monkeypatch.setattr(sessions, "MOST_ADDRESSES", 3)
    for i in range(9):
        with pytest.raises(AuthenticationFailed):
            desk.open("hg-wrong", f"10.1.0.{i}")
    assert len(desk._failed) == 3
