"""A task put off for like questions, or on again: in the history, and as a notice."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from service.caching.standing import SemanticRule, Switched
from service.domain.acting import Person, Told, act_of
from service.domain.records import Act
from service.storage.cases import rows_of
from service.storage.database import Cursor

OFF, ON = "cache.semantic_off", "cache.semantic_on"


def switch_act(at_us: int, told: Switched, author: str, who: Person | None) -> Act:
    """A task put off or on, as the history keeps it; ``who``: None where it went by itself."""
    detail = {"rule": None if told.rule is None else asdict(told.rule), "by_hand": told.by_hand}
    return act_of(who, at_us, Told(ON if told.on else OFF, told.task, told.why, author, detail))


def last_switched(cursor: Cursor) -> dict[str, Switched]:
    """By task how the last run left it."""
    rows = rows_of(
        cursor,
        "SELECT subject, arg_max(act, log_seq) AS act, arg_max(reason, log_seq) AS reason, "
        "arg_max(detail, log_seq) AS detail FROM acts "
        "WHERE act IN (SELECT unnest(?::VARCHAR[])) GROUP BY subject",
        [[OFF, ON]],
    )
    found = {}
    for row in rows:
        detail = json.loads(row["detail"])
        found[row["subject"]] = Switched(
            row["subject"], row["act"] == ON, row["reason"], _rule(detail.get("rule")),
            bool(detail.get("by_hand")),
        )  # fmt: skip
    return found


def _rule(told: dict[str, Any] | None) -> SemanticRule | None:
    """A rule as an act has it; None: the act of a version that had other rules."""
    try:
        return None if told is None else SemanticRule(**told)
    except TypeError:
        return None


def noticed(notices: list[str], told: Switched) -> None:
    """What operators see of it in the status: that a task is off, as long as it is."""
    begins, ends = f"task {told.task}: ", "; no answers are given for like questions"
    notices[:] = [
        each for each in notices if not (each.startswith(begins) and each.endswith(ends))
    ]  # the list itself is held by others
    if not told.on:
        notices.append(f"{begins}{told.why}{ends}")
