"""The case of a decision: the decision with its attempts, outcome and ratings, recent or old."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import duckdb
import numpy as np

from service.domain.clock import id_time_us
from service.domain.experiments import Assigned
from service.domain.records import (
    Attempt,
    Caller,
    Candidates,
    Decision,
    Disqualified,
    ErrorKind,
    Feedback,
    Mode,
    Outcome,
    PolicyMark,
    Role,
    Usage,
)  # fmt: skip
from service.storage.database import Cursor
from service.storage.errors import ReadFailed

RECENT = 10_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the log's times are UTC without a zone

_ASSIGNED = ("experiments", "variants", "variant_probabilities", "units")

FeedbackKey = tuple[str, str, str]  # metric, kind, author


@dataclass(slots=True)
class Case:
    """Everything known of one decision; grows as its records come in."""

    decision: Decision
    attempts: list[Attempt] = field(default_factory=list)
    outcome: Outcome | None = None
    feedback: dict[FeedbackKey, Feedback] = field(default_factory=dict)
    learned: dict[str, float] = field(default_factory=dict)  # arm -> quality now in the sums
    weighed: dict[str, float] = field(default_factory=dict)  # arm -> what that weighs there
    weights: dict[str, float] = field(default_factory=dict)  # feedback id -> what it counts
    raters: dict[str, str] = field(default_factory=dict)  # feedback id -> the user behind the key
    made_s: float | None = None  # when it was decided, on this process's monotonic clock
    once: dict[tuple[str, str], Feedback] = field(default_factory=dict)  # author, idempotency key

    def rated(self, feedback: Feedback) -> None:
        """Take a rating in: the latest of its kind, and findable by its idempotency key."""
        self.feedback[feedback.metric, feedback.kind, feedback.author] = feedback
        if feedback.idempotency_key is not None:
            self.once[feedback.author, feedback.idempotency_key] = feedback

    @property
    def learned_as(self) -> Mode:
        """The mode by which a rating of it is learned from, or not: the decision's, but an
        ensemble's answer, which was chosen for being good, is no sample of its deployment's.
        """
        chosen = self.outcome is not None and self.outcome.mode is Mode.ENSEMBLE
        return Mode.ENSEMBLE if chosen else self.decision.mode

    @property
    def answered_by(self) -> str | None:
        """The deployment whose answer the caller got."""
        return self.outcome.deployment if self.outcome else None


class Cases:
    """Recent cases in memory (bounded); older ones are read from the log."""

    def __init__(self, cursor: Callable[[], Cursor], recent: int = RECENT):
        self._cursor = cursor
        self._recent: OrderedDict[str, Case] = OrderedDict()
        self._bound = recent

    def add(self, case: Case) -> None:
        """Remember a case."""
        self._recent[case.decision.id] = case
        if len(self._recent) > self._bound:
            self._recent.popitem(last=False)

    def recent(self, decision_id: str) -> Case | None:
        """The case if it is in memory."""
        return self._recent.get(decision_id)

    def latest(self, count: int) -> list[Case]:
        """The cases that came into memory last, the newest first."""
        return [self._recent[each] for each in islice(reversed(self._recent), count)]

    def load(self, decision_id: str) -> Case | None:
        """The case from the log; blocks, so call it off the loop."""
        return read_case(self._cursor(), decision_id)


def us(value: datetime) -> int:
    """Microseconds since the epoch of a UTC timestamp without zone."""
    return (value - _EPOCH) // timedelta(microseconds=1)


def at_time(microseconds: int) -> datetime:
    """The UTC timestamp without zone of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=microseconds)


def rows_of(cursor: Cursor, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a query as mappings; raises ReadFailed where the file does not give them."""
    try:
        cursor.execute(sql, list(parameters))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except duckdb.Error as error:
        raise ReadFailed(f"the live file cannot be read: {error}") from error


def read_case(cursor: Cursor, decision_id: str) -> Case | None:
    """One case from the log. The id tells the time, so only the rows around it are read."""
    made = at_time(id_time_us(decision_id))
    span = [decision_id, made - timedelta(days=2), made + timedelta(days=2)]
    found = rows_of(
        cursor, "SELECT * FROM decisions WHERE id = ?::UUID AND ts BETWEEN ? AND ?", span
    )
    if not found:
        return None
    case = Case(decision_from(found[0]))
    where = "WHERE decision_id = ?::UUID"
    for row in rows_of(
        cursor, f"SELECT * FROM attempts {where} AND ts BETWEEN ? AND ? ORDER BY number", span
    ):
        case.attempts.append(attempt_from(row))
    for row in rows_of(cursor, f"SELECT * FROM outcomes {where} AND ts BETWEEN ? AND ?", span):
        case.outcome = outcome_from(row)
    for row in rows_of(
        cursor, f"SELECT * FROM feedback {where} AND ts >= ? ORDER BY log_seq", span[:2]
    ):
        case.rated(feedback_from(row))
    for row in rows_of(
        cursor,
        f"SELECT arm, quality, coalesce(weight, 1.0) AS weight FROM updates {where} AND ts >= ? "
        "AND kind IN ('rating', 'revision') ORDER BY seq",
        span[:2],
    ):
        case.learned[row["arm"]], case.weighed[row["arm"]] = row["quality"], row["weight"]
    for row in rows_of(
        cursor,
        f"SELECT feedback_id, weight, rater FROM rating_weights {where} AND ts >= ?",
        span[:2],
    ):
        identity = str(row["feedback_id"])
        case.weights[identity], case.raters[identity] = row["weight"], row["rater"]
    return case


def _usage(row: dict[str, Any]) -> Usage:
    return Usage(
        row["tokens_in"], row["tokens_out"], row["cached_tokens"], row["cost_micro_usd"],
        row["estimated"],
    )  # fmt: skip


def decision_from(row: dict[str, Any]) -> Decision:
    """A decision from its row."""
    return Decision(
        id=str(row["id"]),
        at_us=us(row["ts"]),
        caller=Caller(
            row["key_id"], row["tenant"], row["tier"], row["feature"], tuple(row["tags"]),
            row["unit"], row["session"],
        ),
        task=row["task"],
        task_confidence=row["task_confidence"],
        task_source=row["task_source"],
        prompt_hash=row["prompt_hash"],
        features=np.array(row["features"], dtype=np.float32),
        tokens_in=row["tokens_in"],
        tokens_out_limit=row["tokens_out_limit"],
        cost_dial=row["cost_dial"],
        stream=row["stream"],
        candidates=Candidates(
            *(
                tuple(row[name])
                for name in (
                    "eligible", "propensities", "quality", "cost_usd", "latency_s", "error_rate",
                    "utility",
                )
            )
        ),
        disqualified=tuple(
            Disqualified(*pair)
            for pair in zip(row["disqualified"], row["disqualified_by"], strict=True)
        ),
        draw=row["draw"],
        deployment=row["deployment"],
        propensity=row["propensity"],
        mode=Mode(row["mode"]),
        reason=row["reason"],
        policy=PolicyMark(
            row["policy"], row["version_id"], row["checkpoint_id"], row["update_seq"]
        ),
        override_id=row["override_id"],
        session_decision_id=_text(row["session_decision_id"]),
        assigned=assigned_from(row),
    )  # fmt: skip


def assigned_from(row: dict[str, Any]) -> tuple[Assigned, ...]:
    """The experiments of a decision's row; none in rows from before there were any."""
    columns = (row[name] or () for name in _ASSIGNED)
    return tuple(Assigned(*each) for each in zip(*columns, strict=True))


def attempt_from(row: dict[str, Any]) -> Attempt:
    """An attempt from its row."""
    return Attempt(
        str(row["decision_id"]), row["number"], us(row["ts"]), row["deployment"],
        row["provider"], Role(row["role"]), row["status"], _error(row["error_kind"]),
        row["ttft_s"], row["latency_s"], _usage(row),
    )  # fmt: skip


def outcome_from(row: dict[str, Any]) -> Outcome:
    """An outcome from its row."""
    return Outcome(
        str(row["decision_id"]), us(row["ts"]), row["deployment"], Mode(row["mode"]),
        row["status"], _error(row["error_kind"]), row["latency_s"], row["ttft_s"],
        row["overhead_s"], row["attempts"], _usage(row),
    )  # fmt: skip


def feedback_from(row: dict[str, Any]) -> Feedback:
    """A feedback from its row."""
    return Feedback(
        str(row["id"]), str(row["decision_id"]), us(row["ts"]), row["metric"], row["kind"],
        row["author"], row["value"], row["label"], row["quality"], row["deployment"],
        _text(row["revises"]), row["idempotency_key"], row["reason"], tuple(row["tags"]),
    )  # fmt: skip


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _error(value: str | None) -> ErrorKind | None:
    return ErrorKind(value) if value else None
