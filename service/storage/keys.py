"""The callers' keys: shown once, kept as digests, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets

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


class KeyStore:
    """All keys by digest."""

    def __init__(self, database: Database, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._by_digest: dict[str, Key] = {}
        for row in rows_of(database.cursor(), "SELECT * FROM keys ORDER BY log_seq"):
            self._put(
                Key(
                    row["id"], us(row["ts"]), row["name"], row["role"], row["tenant"],
                    row["tier"], row["digest"], row["revoked"],
                )
            )  # fmt: skip

    def _put(self, key: Key) -> None:
        if key.revoked:
            self._by_digest.pop(key.digest, None)
        else:
            self._by_digest[key.digest] = key

    def __len__(self) -> int:
        return len(self._by_digest)

    def find(self, secret: str) -> Key | None:
        """The key that ``secret`` is, if it is one."""
        sought = digest(secret)
        key = self._by_digest.get(sought)
        if key is None or not hmac.compare_digest(key.digest, sought):
            return None
        return key

    def by_id(self, key_id: str) -> Key | None:
        """A key that is not revoked, by its id."""
        return next((key for key in self._by_digest.values() if key.id == key_id), None)

    def bootstrap(self, secret: str | None) -> str | None:
        """Make sure that an administrator exists.

        With ``secret`` that key is one, now and at every start; without, the first start makes
        one and returns it, to be shown once.
        """
        if secret is not None:
            if self.find(secret) is None:
                self._create(secret, "bootstrap", "administrator")
            return None
        if any(key.role == "administrator" for key in self._by_digest.values()):
            return None
        made = PREFIX + secrets.token_urlsafe(32)
        self._create(made, "first", "administrator")
        return made

    def _create(self, secret: str, name: str, role: str) -> None:
        key = Key(new_id(), self._clock.wall_us(), name, role, "", "", digest(secret))
        self._log.append_durable(key).result(timeout=30)
        self._put(key)
