"""Ensemble decisions read back: what each arm has shown, and one decision's rationale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from experiments.statistics.moments import Moments
from service.domain.ensembles import Ensembled
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor
from service.storage.ensemble_table import COLUMNS

# An answer's quality: the mean of the ratings in force by the metric, 0 where nobody answered. Of
# an ensemble whose answers judges choose, judges' ratings are left out. Its utility is that less
# what it cost at the plan's rate, kept within [-1, 1].
_EVIDENCE = """
    WITH drawn AS (
        SELECT decision_id, ensemble, task, digest, episode, arm, beside_micro_usd
        FROM ensembles WHERE ts >= $1 AND arm <> 'aside'),
    latest AS (
        SELECT decision_id, kind, quality,
               row_number() OVER (PARTITION BY decision_id, kind, author ORDER BY log_seq DESC) AS n
        FROM feedback WHERE metric = $2 AND ts >= $1),
    rated AS (
        SELECT decision_id, avg(quality) AS every,
               avg(quality) FILTER (kind <> 'judge') AS unjudged
        FROM latest WHERE n = 1 AND quality IS NOT NULL GROUP BY decision_id),
    told AS (
        SELECT d.ensemble, d.task, d.digest, d.episode, d.arm, o.latency_s,
               (o.cost_micro_usd + d.beside_micro_usd) / 1e6 AS usd,
               CASE WHEN o.status >= 500 THEN 0.0
                    WHEN list_contains($4::VARCHAR[], d.digest) THEN r.unjudged
                    ELSE r.every END AS quality
        FROM drawn d JOIN outcomes o ON o.decision_id = d.decision_id AND o.ts >= $1
        LEFT JOIN rated r ON r.decision_id = d.decision_id
        WHERE o.status <> 499),
    worth AS (
        SELECT *, CASE WHEN quality IS NOT NULL THEN
                      greatest(-1.0, least(1.0, quality - usd / $3)) END AS utility FROM told)
    SELECT ensemble, task, digest, episode, arm, count(*) AS answers, avg(usd) AS usd,
           avg(latency_s) AS latency_s, quantile_cont(latency_s, 0.95) AS p95_s,
           count(quality) AS rated, avg(quality) AS quality, var_pop(quality) AS quality_var,
           avg(utility) AS utility, var_pop(utility) AS utility_var
    FROM worth GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class ArmSeen:
    """What one arm of an ensemble has shown: all answers, and of the rated ones quality and
    utility (quality less cost at the plan's rate).
    """

    answers: int = 0
    usd: float = 0.0
    latency_s: float = 0.0
    p95_s: float = 0.0
    quality: Moments = field(default_factory=Moments)
    utility: Moments = field(default_factory=Moments)


Seen = dict[tuple[str, str, str, int], dict[str, ArmSeen]]  # ensemble, task, digest, episode; arm


def evidence(
    cursor: Cursor, since_us: int, metric: str, worth_usd: float, judged: tuple[str, ...]
) -> Seen:
    """What every arm has shown since then. ``judged``: digests whose answers judges choose."""
    rows = rows_of(cursor, _EVIDENCE, [at_time(since_us), metric, worth_usd, list(judged)])
    found: Seen = {}
    for row in rows:
        key = row["ensemble"], row["task"], row["digest"], row["episode"]
        n = row["rated"]
        found.setdefault(key, {})[row["arm"]] = ArmSeen(
            row["answers"], row["usd"], row["latency_s"], row["p95_s"],
            _moments(n, row["quality"], row["quality_var"]),
            _moments(n, row["utility"], row["utility_var"]),
        )  # fmt: skip
    return found


def read_ensembled(cursor: Cursor, decision_id: str) -> Ensembled | None:
    """How a decision was answered by an ensemble, if it was one's."""
    rows = rows_of(
        cursor,
        "SELECT * FROM ensembles WHERE decision_id = ?::UUID ORDER BY log_seq DESC LIMIT 1",
        [decision_id],
    )
    return _record(rows[0]) if rows else None


def _moments(count: int, mean: float | None, variance: float | None) -> Moments:
    return Moments(count, mean or 0.0, (variance or 0.0) * count)


def _record(row: dict[str, Any]) -> Ensembled:
    listed = {"members", "numbers", "states", "votes", "weights"}
    told: dict[str, Any] = {
        name: tuple(row[name]) if name in listed else row[name]
        for name, _ in COLUMNS if name not in ("ts", "decision_id")
    }  # fmt: skip
    return Ensembled(decision_id=str(row["decision_id"]), at_us=us(row["ts"]), **told)
