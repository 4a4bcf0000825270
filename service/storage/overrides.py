"""The overrides that hold now: durable before they act, gone at their time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.clock import Clock
from service.domain.records import Decision, Override, OverrideEnd
from service.domain.will import Action
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor, Database
from service.storage.event_log import EventLog

NEAR_US = 60_000_000  # of a decision: a change that was stamped so near may have acted on it
MOST_NEAR = 100  # changes on either side

_Change = tuple[int, int, Override, bool]


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


def bounds_around(cursor: Cursor, decision: Decision) -> list[tuple[Override, ...]]:
    """The sets of bounds that may have been in force when a decision was made, the likeliest
    first; blocks.

    The decision's place among the changes of the log says which, whatever the wall clock did. A
    change acts a moment before or after its row is written, so the sets beside that place may be
    it too; but bounds that moved the draw are named by the decision, and were in force.
    """
    if decision.override_id is None:
        return [()]
    changes, place = _changes(cursor), _place(cursor, decision)
    here = sum(seq < place for seq, _, _, _ in changes)
    sets: dict[tuple[str, ...], tuple[Override, ...]] = {}
    named = any(override.id == decision.override_id for _, _, override, _ in changes)
    if not named:  # what another override did; bounds moved nothing, but in rows of long ago
        sets[()] = ()
    for count in _near(changes, here, decision.at_us):
        for held in _held(changes[:count], decision.at_us):
            ids = tuple(each.id for each in held)
            if not named or decision.override_id in ids:
                sets.setdefault(ids, held)
    return list(sets.values()) or [()]


def _changes(cursor: Cursor) -> list[_Change]:
    """Row, time, override, and whether it begins: every beginning and end of bounds, in order."""
    rows = rows_of(
        cursor,
        "SELECT o.*, e.seq AS e_seq, e.ts AS e_ts FROM overrides o LEFT JOIN ("
        "SELECT override_id, min(log_seq) AS seq, min(ts) AS ts FROM override_ends "
        "GROUP BY override_id) e ON e.override_id = o.id WHERE o.action = 'bounds'",
    )
    changes: list[_Change] = []
    for row in rows:
        override = override_from(row)
        changes.append((row["log_seq"], override.starts_us, override, True))
        if row["e_seq"] is not None:
            changes.append((row["e_seq"], us(row["e_ts"]), override, False))
    return sorted(changes, key=lambda change: change[0])


def _place(cursor: Cursor, decision: Decision) -> int:
    (row,) = rows_of(
        cursor, "SELECT log_seq FROM decisions WHERE id = ?::UUID AND ts = ?",
        [decision.id, at_time(decision.at_us)],
    )  # fmt: skip
    return int(row["log_seq"])


def _near(changes: Sequence[_Change], here: int, at_us: int) -> list[int]:
    """How many changes may have been made: by the log, one more or less, and those that were
    stamped so near that the log may have them on the wrong side; the nearest first.
    """
    first = last = here
    while first > 0 and (
        here - first < 1 or (changes[first - 1][1] > at_us - NEAR_US and here - first < MOST_NEAR)
    ):
        first -= 1
    while last < len(changes) and (
        last - here < 1 or (changes[last][1] < at_us + NEAR_US and last - here < MOST_NEAR)
    ):
        last += 1
    return sorted(range(first, last + 1), key=lambda count: abs(count - here))


def _held(changes: Sequence[_Change], at_us: int) -> list[tuple[Override, ...]]:
    """What is in force after the changes; and that less what had run its time unseen."""
    held: dict[str, Override] = {}
    for _, _, override, begins in changes:
        if begins:
            held[override.id] = override
        else:
            held.pop(override.id, None)
    every = tuple(held.values())
    return [every, tuple(each for each in every if each.expires_us > at_us)]


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
