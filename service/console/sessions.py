"""Who is logged in: sessions by random id, bounded in number and time, ended with their key."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass

from service.domain.clock import Clock
from service.domain.errors import AuthenticationFailed, PermissionDenied, RateLimited
from service.domain.records import Key
from service.storage.keys import ROLES, KeyStore, digest

LEAST_ROLE = "analyst"
MOST_SESSIONS = 200
MOST_OF_A_KEY = 10
FAILURES = 10  # from one address within the window; then a wrong key is told to wait
WINDOW_S = 300.0
MOST_ADDRESSES = 2_000
MAX_KEY = 512


@dataclass(slots=True)
class Session:
    """Somebody who is logged in. ``token``: what every form of theirs must bring along;
    ``digest``: of the secret that they gave, without which there is no session.
    """

    id: str
    token: str
    key_id: str
    digest: str
    opened_s: float
    used_s: float
    sockets: int = 0


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a session lasts: without a sign of its owner, and in all."""

    idle_s: float = 1_800.0
    whole_s: float = 43_200.0


class Sessions:
    """All sessions of this process; a restart ends them."""

    def __init__(self, keys: KeyStore, clock: Clock, rules: SessionRules) -> None:
        self._keys, self._clock, self._rules = keys, clock, rules
        self._by_id: OrderedDict[str, Session] = OrderedDict()
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def open(self, secret: str, address: str) -> Session:
        """Log somebody in by a key; raises where it may not, in words for the person."""
        key = self._keys.find(secret) if 0 < len(secret) <= MAX_KEY else None
        if key is None:  # only then: others behind the same proxy are not kept out by it
            self._check_failures(address)
            self._note_failure(address)
            raise AuthenticationFailed("This key is not known here. Check that it is whole.")
        if ROLES.index(key.role) < ROLES.index(LEAST_ROLE):
            raise PermissionDenied(
                f"A {key.role}'s key sends requests; the console needs the role analyst, operator "
                "or administrator."
            )
        if key.tenant:
            raise PermissionDenied(
                f"This key sees only the tenant {key.tenant}, and the console shows all tenants at "
                "once. Use the API or the command line with it."
            )
        return self._add(key, digest(secret))

    def _add(self, key: Key, given: str) -> Session:
        now_s = self._clock.monotonic_s()
        mine = [each.id for each in self._by_id.values() if each.key_id == key.id]
        for old in mine[: max(0, len(mine) + 1 - MOST_OF_A_KEY)]:
            self.close(old)
        while len(self._by_id) >= MOST_SESSIONS:
            self._by_id.popitem(last=False)
        made = Session(
            secrets.token_urlsafe(32), secrets.token_urlsafe(24), key.id, given, now_s, now_s
        )
        self._by_id[made.id] = made
        return made

    def find(self, session_id: str) -> tuple[Session, Key] | None:
        """A session that lasts, with its key as it now stands; None ends it for good. It lasts no
        longer than the secret it was opened with: a rotation ends it after its grace.
        """
        found = self._by_id.get(session_id)
        if found is None:
            return None
        now_s, rules = self._clock.monotonic_s(), self._rules
        key = self._keys.by_digest(found.digest)
        over = now_s - found.used_s > rules.idle_s or now_s - found.opened_s > rules.whole_s
        if over or key is None or key.tenant or ROLES.index(key.role) < ROLES.index(LEAST_ROLE):
            self.close(session_id)
            return None
        return found, key

    def used(self, session: Session) -> None:
        """Its owner has given a sign: a page asked for, a form sent. A page that looks again by
        itself is none.
        """
        session.used_s = self._clock.monotonic_s()

    def close(self, session_id: str) -> None:
        """Log out."""
        self._by_id.pop(session_id, None)

    def __len__(self) -> int:
        return len(self._by_id)

    def _check_failures(self, address: str) -> None:
        failed, now_s = self._failed.get(address), self._clock.monotonic_s()
        while failed and now_s - failed[0] > WINDOW_S:
            failed.popleft()
        if failed and len(failed) >= FAILURES:
            wait_s = WINDOW_S - (now_s - failed[0])
            raise RateLimited(
                f"Too many keys that are not known were tried from here. Try again in "
                f"{max(1, round(wait_s / 60))} min.",
                retry_after_s=wait_s,
            )

    def _note_failure(self, address: str) -> None:
        failed = self._failed.setdefault(address, deque(maxlen=FAILURES))
        failed.append(self._clock.monotonic_s())
        self._failed.move_to_end(address)
        while len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)
