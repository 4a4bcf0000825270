"""What judges said, read back: the spend of a day, checks, scores beside ratings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.domain.judging import JudgeCheck
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

MOST_ROWS = 200_000

# People's rating of an answer: the mean of those in force by the metric, the judges' left out.
# Ratings from reviews are of answers that were in dispute, often for what the judge said of them:
# they are left out.
_SCORED = """
    WITH sampled AS (
        SELECT decision_id, task, deployment, judge, value, consistent, probability, length,
               decoration, ts
        FROM judgings WHERE origin = 'sample' AND kind = 'score' AND ts >= $1 AND judge = $2
            AND digest = $3 AND deployment <> ''
        ORDER BY log_seq DESC LIMIT $5),
    latest AS (
        SELECT decision_id, kind, author, quality,
               row_number() OVER (PARTITION BY decision_id, kind, author ORDER BY log_seq DESC) AS n
        FROM feedback WHERE metric = $4 AND ts >= $1 AND kind <> 'judge'
            AND NOT starts_with(author, 'review:')),
    people AS (
        SELECT decision_id, avg(quality) AS quality FROM latest
        WHERE n = 1 AND quality IS NOT NULL GROUP BY decision_id)
    SELECT s.*, p.quality AS rated, coalesce(nullif(d.unit, ''), s.decision_id::VARCHAR) AS unit
    FROM sampled s LEFT JOIN people p USING (decision_id)
    LEFT JOIN decisions d ON d.id = s.decision_id AND d.ts >= $6
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One served answer that was judged. ``rated``: by people, None where nobody did."""

    task: str
    deployment: str
    value: float | None
    consistent: bool
    probability: float
    length: int
    decoration: int
    rated: float | None
    unit: str


class JudgingStore:
    """Reads alone; blocks, so call it off the loop."""

    def __init__(self, cursor: Callable[[], Cursor]) -> None:
        self._cursor = cursor

    def spent_micro_usd(self, since_us: int) -> int:
        """What all judging has cost."""
        rows = rows_of(
            self._cursor(),
            "SELECT coalesce(sum(cost_micro_usd), 0)::BIGINT AS spent FROM judgings WHERE ts >= ?",
            [at_time(since_us)],
        )
        return int(rows[0]["spent"])

    def checks(self, limit: int = 100) -> list[JudgeCheck]:
        """The checks, the newest first."""
        rows = rows_of(
            self._cursor(), "SELECT * FROM judge_checks ORDER BY log_seq DESC LIMIT ?", [limit]
        )
        return [_check(row) for row in rows]

    def latest(self) -> dict[str, JudgeCheck]:
        """The last check of each digest."""
        sql = (
            "SELECT * FROM judge_checks QUALIFY row_number() OVER "
            "(PARTITION BY digest ORDER BY log_seq DESC) = 1"
        )
        return {row["digest"]: _check(row) for row in rows_of(self._cursor(), sql)}

    def scored(self, judge: str, digest: str, metric: str, since_us: int) -> list[Row]:
        """Served answers that a judge, as it now is, scored since then, with people's ratings."""
        since = at_time(since_us)
        slack = at_time(max(since_us - 86_400_000_000, 0))
        rows = rows_of(self._cursor(), _SCORED, [since, judge, digest, metric, MOST_ROWS, slack])
        return [
            Row(
                row["task"], row["deployment"], row["value"], row["consistent"],
                row["probability"], row["length"], row["decoration"], row["rated"], row["unit"],
            )
            for row in rows
        ]  # fmt: skip


def _check(row: dict[str, Any]) -> JudgeCheck:
    return JudgeCheck(
        row["id"], us(row["ts"]), row["judge"], row["digest"], row["items"], row["kappa"],
        row["low"], row["high"], row["flipped"], row["state"], row["cost_micro_usd"],
        row["author"], row["report"],
    )  # fmt: skip
