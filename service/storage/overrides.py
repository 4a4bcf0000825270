"""The overrides that hold now: durable before they act, gone at their time."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.clock import Clock
from service.domain.records import Override, OverrideEnd
from service.storage.cases import rows_of, us
from service.storage.database import Database
from service.storage.event_log import EventLog


@dataclass(frozen=True, slots=True)
class Active:
    """An override and the monotonic time at which it ends."""

    override: Override
    ends_s: float


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
        self._load(database)

    def _load(self, database: Database) -> None:
        rows = rows_of(
            database.cursor(),
            "SELECT * FROM overrides WHERE id NOT IN (SELECT override_id FROM override_ends) "
            "ORDER BY log_seq",
        )
        now_us, now_s = self._clock.wall_us(), self._clock.monotonic_s()
        active, overdue = [], []
        for row in rows:
            override = Override(
                row["id"], us(row["ts"]), row["action"], row["deployment"], row["task"],
                row["reason"], row["author"], us(row["starts_at"]), us(row["expires_at"]),
            )  # fmt: skip
            whole_us = override.expires_us - override.starts_us
            left_us = min(override.expires_us - now_us, whole_us)
            if left_us > 0:
                active.append(Active(override, now_s + left_us / 1e6))
            else:
                overdue.append(override)
        self.active, self.overdue = tuple(active), tuple(overdue)

    def holding(self) -> tuple[Override, ...]:
        """The overrides in force at this moment; nothing waits for the watch to tell."""
        if not self.active:
            return ()
        now = self._clock.monotonic_s()
        return tuple(each.override for each in self.active if each.ends_s > now)

    def put(self, override: Override) -> None:
        """Let a durable override act, from the next request on."""
        left_s = (override.expires_us - override.starts_us) / 1e6
        self.active = (*self.active, Active(override, self._clock.monotonic_s() + left_s))

    def find(self, override_id: str) -> Override | None:
        """An override in force, by its id."""
        return next((each for each in self.holding() if each.id == override_id), None)

    def remove(self, override_id: str) -> None:
        """Stop an override that was lifted."""
        self.active = tuple(a for a in self.active if a.override.id != override_id)

    def expire(self) -> list[Override]:
        """Take out what has run its time and log its end; what ended, for those to be told."""
        now = self._clock.monotonic_s()
        gone = [each.override for each in self.active if each.ends_s <= now] + [*self.overdue]
        self.overdue = ()
        self.active = tuple(each for each in self.active if each.ends_s > now)
        for override in gone:
            self._log.append(
                OverrideEnd(override.id, self._clock.wall_us(), "expired", "headgate", "expiry")
            )
        return gone
