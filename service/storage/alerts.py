"""What the log knows of alerts and silences: read once, at the start."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.alerts import AlertEvent, Severity, Silence, Step
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

_EVENTS = """
    SELECT * FROM alert_events
    WHERE ts >= ? OR alert_id NOT IN (SELECT alert_id FROM alert_events WHERE step = 'resolved')
    ORDER BY log_seq"""
_SILENCES = """
    SELECT * FROM silences
    WHERE until_at > ? AND id NOT IN (SELECT silence_id FROM silence_ends) ORDER BY log_seq"""


@dataclass(frozen=True, slots=True)
class Logged:
    """The events of open and recent alerts in log order, and the silences that still hold."""

    events: tuple[AlertEvent, ...] = ()
    silences: tuple[Silence, ...] = ()


def logged(cursor: Cursor, since_us: int, now_us: int) -> Logged:
    """Alerts that are open or of whom something was logged since; blocks."""
    events = tuple(
        AlertEvent(
            row["id"], us(row["ts"]), row["alert_id"], Step(row["step"]), row["rule"],
            row["scope"], Severity(row["severity"]), row["value"], row["threshold"], row["text"],
            row["author"], row["reason"], row["detail"],
        )
        for row in rows_of(cursor, _EVENTS, [at_time(since_us)])
    )  # fmt: skip
    silences = tuple(
        Silence(
            row["id"], us(row["ts"]), row["rule"], row["scope"], us(row["until_at"]),
            row["author"], row["reason"],
        )
        for row in rows_of(cursor, _SILENCES, [at_time(now_us)])
    )  # fmt: skip
    return Logged(events, silences)
