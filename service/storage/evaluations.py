"""The evaluations in the log, read back."""

from __future__ import annotations

from service.domain.experiments import Evaluation
from service.storage.cases import rows_of, us
from service.storage.database import Cursor


def latest_evaluations(cursor: Cursor) -> dict[str, Evaluation]:
    """The last evaluation of each version."""
    rows = rows_of(
        cursor,
        "SELECT * EXCLUDE (newest) FROM (SELECT *, row_number() OVER (PARTITION BY version_id "
        "ORDER BY log_seq DESC) AS newest FROM evaluations) WHERE newest = 1",
    )
    return {
        row["version_id"]: Evaluation(
            row["id"], us(row["ts"]), row["version_id"], us(row["since_at"]), us(row["until_at"]),
            row["passed"], row["reason"], row["report"],
        )
        for row in rows
    }  # fmt: skip
