"""What was foreseen and what came of it, read back from the log: rows to fit, checks, worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.acceptance import joined, with_scores
from learning.difficulty import difficulty_of
from learning.quality import Rows
from service.domain.prediction import HELD_OUT, Predicted
from service.domain.records import Version
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor
from service.storage.ratings import rated_decisions

NEWEST_CHECKS = 20_000


def rows_to_fit(
    cursor: Cursor, arms: Sequence[str], versions: Sequence[Version], half_life_s: float
) -> Rows:
    """Rated answers as the quality model's refit reads them, with the scores of their texts; where
    prediction was off then, these are not known.
    """
    rows, ids = rated_decisions(cursor, arms, versions, half_life_s)
    found = rows_of(
        cursor,
        "SELECT decision_id::VARCHAR AS id, complexity, ambiguity FROM predictions "
        "WHERE decision_id IN (SELECT unnest(?::UUID[]))",
        [ids],
    )
    known = {row["id"]: (row["complexity"], row["ambiguity"]) for row in found}
    two = np.array([known.get(each, (np.nan, np.nan)) for each in ids]).reshape(-1, 2)
    hard = np.asarray(difficulty_of(two[:, 0], two[:, 1]))
    scores = np.column_stack([two, hard])
    return replace(rows, x=joined(rows.x, scores), features=with_scores(rows.features))


def read_prediction(cursor: Cursor, decision_id: str) -> Predicted | None:
    """What was foreseen of a decision."""
    found = rows_of(
        cursor, "SELECT * FROM predictions WHERE decision_id = ?::UUID LIMIT 1", [decision_id]
    )
    if not found:
        return None
    row = found[0]
    return Predicted(
        str(row["decision_id"]), us(row["ts"]), row["model_id"], row["state"], row["complexity"],
        row["ambiguity"], row["difficulty"], tuple(row["deployments"]), tuple(row["chances"]),
        row["act"], row["probability"], tuple(row["taken_out"]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """Whose verdict on an answer counts: ratings by ``metric`` of these ``kinds``; an answer is
    acceptable from ``bar`` on.
    """

    metric: str
    kinds: tuple[str, ...]
    bar: float


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of an episode: verdicts in the order in which they came (1: bad) [t]; how many
    answers were drawn to be checked, how many were not checked, and how many wait for a verdict.
    """

    bad: NDArray[np.float64]
    checked: int
    skipped: int
    waiting: int


NO_CHECKS = Checks(np.zeros(0), 0, 0, 0)


def checks_of(cursor: Cursor, episode: int, judged: Judged) -> Checks:
    """What is known of an episode's checks, from its newest. A judge's word that is no rating is a
    verdict where its last check has proven it as it was then: one that holds everything for good
    would prove any rule.
    """
    counts = rows_of(
        cursor,
        "SELECT count(*) FILTER (checked) AS checked, count(*) FILTER (NOT checked) AS skipped "
        "FROM checks_drawn WHERE episode = ?",
        [episode],
    )[0]
    found = rows_of(
        cursor,
        """
        WITH drawn AS (
            SELECT decision_id, min(ts) AS ts FROM checks_drawn WHERE episode = ? AND checked
            GROUP BY decision_id ORDER BY min(log_seq) DESC LIMIT ?
        ), latest AS (
            SELECT f.decision_id, f.author, f.kind, arg_max(f.quality, f.log_seq) AS quality,
                   min(f.log_seq) AS seq
            FROM feedback f JOIN drawn d ON d.decision_id = f.decision_id
            WHERE f.metric = ? AND f.kind IN (SELECT unnest(?::VARCHAR[])) AND f.quality IS NOT NULL
              AND f.ts >= (SELECT min(ts) FROM drawn) GROUP BY ALL
            UNION ALL  -- what proven judges said without its becoming a rating
            SELECT j.decision_id, j.judge, 'judge', arg_max(j.value, j.log_seq), min(j.log_seq)
            FROM judgings j JOIN drawn d ON d.decision_id = j.decision_id
            WHERE ? AND j.origin = 'sample' AND j.consistent AND j.value IS NOT NULL
              AND NOT j.taught AND j.digest IN (SELECT digest FROM judge_checks
                  QUALIFY row_number() OVER (PARTITION BY digest ORDER BY log_seq DESC) = 1
                      AND state = 'proven')
            GROUP BY ALL
        )
        SELECT avg(quality) AS quality FROM latest GROUP BY decision_id ORDER BY min(seq)
        """,
        [episode, NEWEST_CHECKS, judged.metric, list(judged.kinds), "judge" in judged.kinds],
    )
    bad = np.array([float(row["quality"] < judged.bar) for row in found])
    return Checks(bad, counts["checked"], counts["skipped"], counts["checked"] - len(bad))


def check_cost_usd(cursor: Cursor, since_us: int) -> float | None:
    """What a check costs, as measured: judges' calls by the decisions that they judged."""
    found = rows_of(
        cursor,
        "SELECT sum(cost_micro_usd) / 1e6 / count(DISTINCT decision_id) AS usd FROM attempts "
        "WHERE role = 'judge' AND ts >= ?",
        [at_time(since_us)],
    )
    usd: float | None = found[0]["usd"]
    return usd


@dataclass(frozen=True, slots=True)
class Used:
    """What prediction did since some time: predictions made; checks skipped and audits drawn; and
    of what was done by it or held out, ``treated`` [n], whose answers were rated, the quality and
    the cost in dollars; ``acted``: how many decisions it moved, rated or not.
    """

    predictions: int
    skipped: int
    audited: int
    acted: int
    treated: NDArray[np.bool_]
    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    refit_s: float


def used_since(cursor: Cursor, since_us: int, metric: str) -> Used:
    """Counted from the log."""
    since = at_time(since_us)
    made = rows_of(
        cursor,
        "SELECT count(*) AS n, count(*) FILTER (act IN ('narrowed', 'escalated')) AS acted "
        "FROM predictions WHERE ts >= ?",
        [since],
    )[0]
    checks = rows_of(
        cursor,
        "SELECT count(*) FILTER (NOT checked) AS skipped, "
        "count(*) FILTER (checked AND probability < 1) AS audited FROM checks_drawn WHERE ts >= ?",
        [since],
    )[0]
    found = rows_of(
        cursor,
        """
        SELECT p.act, avg(r.quality) AS quality, any_value(o.cost_micro_usd) / 1e6 AS cost_usd
        FROM predictions p
        JOIN outcomes o ON o.decision_id = p.decision_id AND o.status < 500 AND o.mode <> 'batch'
        JOIN (SELECT decision_id, author, kind, arg_max(quality, log_seq) AS quality FROM feedback
              WHERE metric = ? AND quality IS NOT NULL AND ts >= ? GROUP BY ALL) r
          ON r.decision_id = p.decision_id
        WHERE p.act <> '' AND p.ts >= ? GROUP BY p.decision_id, p.act
        """,
        [metric, since, since],
    )
    spent = rows_of(
        cursor,
        "SELECT coalesce(sum(TRY_CAST(json_extract_string(detail, '$.seconds') AS DOUBLE)), 0) "
        "AS s FROM acts WHERE act IN ('prediction.fitted', 'prediction.aside') AND ts >= ?",
        [since],
    )[0]["s"]
    return Used(
        made["n"], checks["skipped"], checks["audited"], made["acted"],
        np.array([row["act"] != HELD_OUT for row in found], dtype=np.bool_),
        np.array([row["quality"] for row in found], dtype=np.float64),
        np.array([row["cost_usd"] for row in found], dtype=np.float64), float(spent),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Borne:
    """Chances foreseen by one model for the deployments that answered, beside what was rated."""

    chance: NDArray[np.float64]
    constant: NDArray[np.float64]
    good: NDArray[np.bool_]


def borne_out(
    cursor: Cursor, model_id: str, shares: dict[str, float], judged: Judged
) -> Borne:  # fmt: skip
    """The rated answers that this model foresaw; ``shares``: the constant of each deployment.
    Ratings of every kind count, as they do for the fit.
    """
    found: list[dict[str, Any]] = rows_of(
        cursor,
        """
        SELECT o.deployment, p.chances[list_position(p.deployments, o.deployment)] AS chance,
               avg(r.quality) AS quality
        FROM predictions p JOIN outcomes o ON o.decision_id = p.decision_id AND o.status < 500
                                          AND o.mode <> 'batch'
        JOIN (SELECT decision_id, author, kind, arg_max(quality, log_seq) AS quality FROM feedback
              WHERE metric = ? AND quality IS NOT NULL GROUP BY ALL) r
          ON r.decision_id = p.decision_id
        WHERE p.model_id = ? AND p.state = 'fitted' AND o.deployment IS NOT NULL
        GROUP BY p.decision_id, o.deployment, p.chances, p.deployments, p.log_seq
        ORDER BY p.log_seq
        """,
        [judged.metric, model_id],
    )
    known = [r for r in found if r["chance"] is not None and r["deployment"] in shares]
    return Borne(
        np.array([row["chance"] for row in known], dtype=np.float64),
        np.array([shares[row["deployment"]] for row in known], dtype=np.float64),
        np.array([row["quality"] >= judged.bar for row in known], dtype=np.bool_),
    )
