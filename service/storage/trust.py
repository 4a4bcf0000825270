"""What ratings counted and what was seen of their authors, read back from the log."""

from __future__ import annotations

from typing import Any

from service.domain.ratings import RatingWeight, TrustStep
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

NEWEST = 50_000  # rows of either that a start folds in; what lies before has long faded


def newest_weights(cursor: Cursor, newest: int = NEWEST) -> list[RatingWeight]:
    """The newest weights of ratings, in their order."""
    rows = rows_of(
        cursor,
        "SELECT * FROM (SELECT * FROM rating_weights ORDER BY log_seq DESC LIMIT ?) "
        "ORDER BY log_seq",
        [newest],
    )
    return [
        RatingWeight(
            str(row["feedback_id"]), us(row["ts"]), str(row["decision_id"]), us(row["decided_at"]),
            row["author"], row["rater"], row["tenant"], row["arm"], row["task"], row["kind"],
            row["weight"], row["trust"], row["reason"],
        )
        for row in rows
    ]  # fmt: skip


def newest_steps(cursor: Cursor, newest: int = NEWEST) -> list[TrustStep]:
    """The newest of what was seen of authors, in its order."""
    rows = rows_of(
        cursor,
        "SELECT * FROM (SELECT * FROM trust_steps ORDER BY log_seq DESC LIMIT ?) ORDER BY log_seq",
        [newest],
    )
    return [
        TrustStep(
            str(row["feedback_id"]), us(row["ts"]), row["author"], row["rater"], row["reference"],
            row["agreement"], row["weight"],
        )
        for row in rows
    ]  # fmt: skip


_AUTHORS = """
    WITH given AS (
        SELECT author, count(*) AS ratings, count(*) FILTER (weight > 0.0) AS counted,
               count(DISTINCT rater) FILTER (rater <> '') AS raters, sum(weight) AS weight,
               mode(reason) FILTER (reason <> '') AS mostly
        FROM rating_weights WHERE ts >= $1 GROUP BY author)
    SELECT * FROM given ORDER BY ratings - counted DESC, ratings DESC, author LIMIT $2"""

_REASONS = """
    SELECT reason, count(*) AS ratings, count(DISTINCT author) AS authors FROM rating_weights
    WHERE ts >= $1 AND reason <> '' GROUP BY reason ORDER BY ratings DESC, reason"""


def authors_since(cursor: Cursor, since_us: int, most: int) -> list[dict[str, Any]]:
    """Of each author how many ratings might have taught, and how many counted; those of whom most
    did not, first.
    """
    return rows_of(cursor, _AUTHORS, [at_time(since_us), most])


def reasons_since(cursor: Cursor, since_us: int) -> list[dict[str, Any]]:
    """Why ratings did not count: how many of how many authors."""
    return rows_of(cursor, _REASONS, [at_time(since_us)])
