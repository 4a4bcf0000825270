"""The overrides that hold now: durable before they act, gone at their time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.clock import Clock
from service.domain.records import Decision, Override, OverrideEnd
from service.domain.will import Action
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor, Database
from service.storage.event_log import EventLog


@dataclass(frozen=True, slots=True)
class Active:
    """An override and the monotonic time at which it ends."""

    override: Override
    ends_s: float


def override_from(row: Mapping[str, Any]) -> Override:
    """An override from its row; one from before there were narrower scopes has none."""
    return Override(
        row["id"], us(row["ts"]), row["action"], row["deployment"], row["task"], row["reason"],
        row["author"], us(row["starts_at"]), us(row["expires_at"]), row["tenant"] or "",
        row["tier"] or "", row["target"] or "", row["least"], row["greatest"], row["usd"],
        row["ticket"] or "", row["renews"],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """An override and how it ended; None: it is in force."""

    override: Override
    end: OverrideEnd | None = None


def known_overrides(
    cursor: Cursor, override_id: str | None, most: int, tenant: str = ""
) -> list[Known]:
    """Overrides of the log with their ends, the newest first; one alone by its id, or a tenant's.
    Blocks.
    """
    rows = rows_of(
        cursor,
        "SELECT o.*, e.ts AS e_ts, e.how AS e_how, e.author AS e_author, e.reason AS e_reason "
        "FROM overrides o LEFT JOIN override_ends e ON e.override_id = o.id "
        "WHERE o.id = coalesce(?, o.id) AND (? = '' OR o.tenant = ?) "
        "ORDER BY o.log_seq DESC LIMIT ?",
        [override_id, tenant, tenant, most],
    )
    return [
        Known(
            override_from(row),
            OverrideEnd(row["id"], us(row["e_ts"]), row["e_how"], row["e_author"], row["e_reason"])
            if row["e_how"] is not None
            else None,
        )
        for row in rows
    ]


def bounds_then(cursor: Cursor, decision: Decision) -> list[Override]:
    """The bounds that were in force when a decision was made, by the log; blocks."""
    at = at_time(decision.at_us)
    rows = rows_of(
        cursor,
        "SELECT o.* FROM overrides o LEFT JOIN override_ends e ON e.override_id = o.id "
        "WHERE o.action = 'bounds' AND o.starts_at <= ? AND o.expires_at > ? "
        "AND (e.ts IS NULL OR e.ts > ?) ORDER BY o.log_seq",
        [at, at, at],
    )
    return [override_from(row) for row in rows]


class OverrideStore:
    """Expiry runs on the monotonic clock while the process lives, so a jump of the wall clock
    moves nothing; across a restart the wall clock decides, and an override never lasts longer
    than it was set for.
    """

    def __init__(self, database: Database, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self.active: tuple[Active, ...] = ()
        self.overdue: tuple[Override, ...] = ()  # ended while nobody ran: to be told
        self.thawing: tuple[Override, ...] = ()  # ended freezes whose time is to be made up for
        self.since: dict[str, int] = {}  # of a freeze the row of the log from which on it does so
        self._load(database)
        self._load_thawing(database)

    def _load(self, database: Database) -> None:
        rows = rows_of(
            database.cursor(),
            "SELECT * FROM overrides WHERE id NOT IN (SELECT override_id FROM override_ends) "
            "ORDER BY log_seq",
        )
        now_us, now_s = self._clock.wall_us(), self._clock.monotonic_s()
        active, overdue = [], []
        for row in rows:
            override = override_from(row)
            whole_us = override.expires_us - override.starts_us
            left_us = min(override.expires_us - now_us, whole_us)
            if left_us > 0:
                active.append(Active(override, now_s + left_us / 1e6))
            else:
                overdue.append(override)
        self.active, self.overdue = tuple(active), tuple(overdue)

    def _load_thawing(self, database: Database) -> None:
        rows = rows_of(
            database.cursor(),
            "SELECT * FROM overrides WHERE action = 'freeze' "
            "AND id IN (SELECT override_id FROM override_ends) "
            "AND id NOT IN (SELECT subject FROM acts WHERE act = 'override.thawed') "
            "ORDER BY log_seq",
        )
        self.thawing = tuple(override_from(row) for row in rows)
        told = rows_of(
            database.cursor(), "SELECT detail FROM acts WHERE act = 'override.thawed' ORDER BY id"
        )
        for row in told:
            for name, seq in json.loads(row["detail"]).get("left_to", {}).items():
                self.since[name] = min(seq, self.since.get(name, seq))

    def freezing(self) -> tuple[Override, ...]:
        """The overrides that may hold learning back: those in force, and freezes that have ended
        and are not made up for.
        """
        if not self.active and not self.thawing:
            return ()
        return (*self.holding(), *self.thawing)

    def thawed(self, override_id: str) -> None:
        """What a freeze held back has been learned."""
        self.thawing = tuple(each for each in self.thawing if each.id != override_id)

    def holding(self) -> tuple[Override, ...]:
        """The overrides in force at this moment; nothing waits for the watch to tell."""
        if not self.active:
            return ()
        now = self._clock.monotonic_s()
        return tuple(each.override for each in self.active if each.ends_s > now)

    def put(self, override: Override, instead_of: str | None = None) -> None:
        """Let an override act, from the next request on; ``instead_of`` ends with that."""
        left_s = (override.expires_us - override.starts_us) / 1e6
        made = Active(override, self._clock.monotonic_s() + left_s)
        self._to_thaw(instead_of)
        self.active = (*(a for a in self.active if a.override.id != instead_of), made)

    def _to_thaw(self, override_id: str | None) -> None:
        self.thawing += tuple(
            each.override for each in self.active
            if each.override.id == override_id and each.override.action == Action.FREEZE
        )  # fmt: skip

    def find(self, override_id: str) -> Override | None:
        """An override in force, by its id."""
        return next((each for each in self.holding() if each.id == override_id), None)

    def remove(self, override_id: str) -> None:
        """Stop an override that was lifted."""
        self._to_thaw(override_id)
        self.active = tuple(a for a in self.active if a.override.id != override_id)

    def expire(self) -> list[Override]:
        """Take out what has run its time and log its end; what ended, for those to be told."""
        now = self._clock.monotonic_s()
        gone = [each.override for each in self.active if each.ends_s <= now] + [*self.overdue]
        self.overdue = ()
        self.thawing += tuple(each for each in gone if each.action == Action.FREEZE)
        self.active = tuple(each for each in self.active if each.ends_s > now)
        for override in gone:
            self._log.append(
                OverrideEnd(override.id, self._clock.wall_us(), "expired", "headgate", "expiry")
            )
        return gone
