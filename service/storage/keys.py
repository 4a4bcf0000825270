"""The callers' keys: shown once, kept as digests, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from service.domain.acting import Told, act_of
from service.domain.clock import Clock, new_id
from service.domain.records import Key
from service.storage.cases import rows_of, us
from service.storage.database import Database
from service.storage.event_log import EventLog

ROLES = ("caller", "analyst", "operator", "administrator")
PREFIX = "hg-"


def digest(secret: str) -> str:
    """SHA-256 of a key; keys are long and random, so no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class _Secret(NamedTuple):
    """A secret that is valid: of which key, and the monotonic time at which it ends."""

    key: Key
    digest: str
    ends_s: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A key as it is listed. ``used_us``: when it was last seen, to the minute; ``state``: active,
    rotating (two secrets are valid), expired or revoked.
    """

    key: Key
    created_us: int
    used_us: int | None
    state: str


class KeyStore:
    """All keys by digest. Ends are counted on the monotonic clock while the process lives, so that
    a jump of the wall clock neither ends a key nor brings one back.
    """

    def __init__(self, database: Database, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._by_digest: dict[str, _Secret] = {}
        self._known: dict[str, Key] = {}
        self._created_us: dict[str, int] = {}
        self.used_us: dict[str, int] = {}  # by id: when each was last seen
        self.bootstrapped = False  # whether the environment gives an administrator's key
        for row in rows_of(database.cursor(), "SELECT * FROM keys ORDER BY log_seq"):
            self._put(
                Key(
                    row["id"], us(row["ts"]), row["name"], row["role"], row["tenant"],
                    row["tier"], row["digest"], row["revoked"], _us(row["expires_at"]),
                    row["old_digest"] or "", _us(row["old_ends_at"]),
                )
            )  # fmt: skip

    def put(self, key: Key) -> None:
        """Let a key be as its newest record says, from the next request on."""
        self._put(key)

    def _put(self, key: Key) -> None:
        before = self._known.get(key.id)
        if before is not None:
            for old in (before.digest, before.old_digest):
                self._by_digest.pop(old, None)
        self._known[key.id] = key
        self._created_us.setdefault(key.id, key.at_us)
        if key.revoked:
            return
        ends_s = self._ends_s(key.expires_us)
        self._by_digest[key.digest] = _Secret(key, key.digest, ends_s)
        if key.old_digest and key.old_ends_us is not None:
            old_ends_s = self._ends_s(key.old_ends_us) or 0.0
            ends_s = old_ends_s if ends_s is None else min(ends_s, old_ends_s)
            self._by_digest[key.old_digest] = _Secret(key, key.old_digest, ends_s)

    def _ends_s(self, at_us: int | None) -> float | None:
        if at_us is None:
            return None
        return self._clock.monotonic_s() + (at_us - self._clock.wall_us()) / 1e6

    def _holds(self, secret: _Secret) -> bool:
        return secret.ends_s is None or self._clock.monotonic_s() < secret.ends_s

    def __len__(self) -> int:
        return sum(not key.revoked for key in self._known.values())

    def find(self, secret: str) -> Key | None:
        """The key that ``secret`` is, if it is one that is valid now."""
        sought = digest(secret)
        found = self._by_digest.get(sought)
        if found is None or not hmac.compare_digest(found.digest, sought):
            return None
        if not self._holds(found):
            return None
        self.used_us[found.key.id] = self._clock.wall_us()
        return found.key

    def by_digest(self, sought: str) -> Key | None:
        """The key of which a secret has this digest, while that secret is valid; this is no use."""
        found = self._by_digest.get(sought)
        return found.key if found is not None and self._holds(found) else None

    def by_id(self, key_id: str) -> Key | None:
        """A key that is valid now, by its id."""
        key = self._known.get(key_id)
        if key is None or key.revoked:
            return None
        return key if self._holds(self._by_digest[key.digest]) else None

    def named(self, name: str) -> Key | None:
        """A key that is not revoked, by its id or, where one has it, its name."""
        key = self._known.get(name)
        if key is not None:
            return key
        alive = (key for key in self._known.values() if not key.revoked)
        return next((key for key in alive if key.name.casefold() == name.casefold()), None)

    def name_of(self, key_id: str) -> str:
        """What a key is called, valid or not; empty where there is none."""
        key = self._known.get(key_id)
        return key.name if key is not None else ""

    def standings(self) -> list[Standing]:
        """All keys, the oldest first, those that are valid no more too."""
        return [self.standing(key) for key in self._known.values()]

    def standing(self, key: Key) -> Standing:
        """One as it is listed."""
        used_us = self.used_us.get(key.id)
        return Standing(
            key, self._created_us.get(key.id, key.at_us),
            None if used_us is None else used_us - used_us % 60_000_000, self._state(key),
        )  # fmt: skip

    def _state(self, key: Key) -> str:
        if key.revoked:
            return "revoked"
        if not self._holds(self._by_digest[key.digest]):
            return "expired"
        old = self._by_digest.get(key.old_digest) if key.old_digest else None
        return "rotating" if old is not None and self._holds(old) else "active"

    def last_administrator(self, key: Key) -> bool:
        """Whether nobody could make or revoke a key any more without this one."""
        if key.role != "administrator" or key.tenant or self.bootstrapped:
            return False
        others = (each for each in self._known.values() if each.id != key.id and not each.tenant)
        return not any(each.role == "administrator" and self.by_id(each.id) for each in others)

    # made and changed: the records, to be made durable and then put -----------------------------

    def made(self, wanted: Key) -> tuple[Key, str]:
        """A key as wanted with an id, a time and a secret, which is kept nowhere."""
        secret = PREFIX + secrets.token_urlsafe(32)
        made = replace(wanted, id=new_id(), at_us=self._clock.wall_us(), digest=digest(secret))
        return made, secret

    def rotated(self, key: Key, grace_s: float) -> tuple[Key, str]:
        """The key with a new secret; the one that it had is valid for the grace."""
        secret, now_us = PREFIX + secrets.token_urlsafe(32), self._clock.wall_us()
        old = (key.digest, now_us + round(grace_s * 1e6)) if grace_s > 0.0 else ("", None)
        return (
            replace(key, at_us=now_us, digest=digest(secret), old_digest=old[0],
                    old_ends_us=old[1]),
            secret,
        )  # fmt: skip

    def revoked(self, key: Key) -> Key:
        """The key, valid no more."""
        now_us = self._clock.wall_us()
        return replace(key, at_us=now_us, revoked=True, old_digest="", old_ends_us=None)

    def seen(self, used_us: Iterable[tuple[str, int]]) -> None:
        """What was known of the last uses before the start."""
        for key_id, at_us in used_us:
            if key_id in self._known:
                self.used_us[key_id] = max(at_us, self.used_us.get(key_id, 0))

    def bootstrap(self, secret: str | None) -> str | None:
        """Make sure that an administrator exists.

        With ``secret`` that key is one, now and at every start; without, the first start makes
        one and returns it, to be shown once.
        """
        self.bootstrapped = secret is not None
        if secret is not None:
            if self.find(secret) is None:
                self._create(secret, "bootstrap", "administrator")
            return None
        if any(key.role == "administrator" and self.by_id(key.id) for key in self._known.values()):
            return None
        made = PREFIX + secrets.token_urlsafe(32)
        self._create(made, "first", "administrator")
        return made

    def _create(self, secret: str, name: str, role: str) -> None:
        key = Key(new_id(), self._clock.wall_us(), name, role, "", "", digest(secret))
        told = Told("key.created", key.id, "nobody could make a key without one at the start",
                    after={"name": name, "role": role})  # fmt: skip
        self._log.append_durable(key, act_of(None, key.at_us, told)).result(timeout=30)
        self._put(key)


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else us(moment)
