"""How many answers were rated, by deployment, task and day: as a view, and of the live file."""

from __future__ import annotations

from experiments.statistics.response_rate import Cell
from service.storage.cases import at_time, rows_of
from service.storage.database import Cursor

DAY_US = 86_400_000_000

# Over `decisions`, `outcomes` and `ratings`. An answer that a fallback gave, or that a person
# forced or pinned, is none of these: who got it was not left to the policy.
RESPONSE_RATES = """
    SELECT d.ts::DATE AS day, o.deployment, d.task, count(*) AS answers,
           count(r.quality) AS rated, count(r.quality) / count(*) AS rate,
           avg(r.quality) AS mean_rating, count(*) FILTER (d.mode = 'randomised') AS drawn,
           count(r.quality) FILTER (d.mode = 'randomised') AS drawn_rated,
           avg(r.quality) FILTER (d.mode = 'randomised') AS drawn_mean_rating
    FROM decisions d
    JOIN outcomes o ON o.decision_id = d.id
    LEFT JOIN (SELECT decision_id, avg(quality) AS quality FROM ratings
               WHERE quality IS NOT NULL GROUP BY decision_id) r ON r.decision_id = d.id
    WHERE o.mode IN ('randomised', 'sticky') AND o.status = 200 AND o.deployment IS NOT NULL
    GROUP BY ALL"""

_LIVE = f"""
    WITH decisions AS (SELECT id, ts, task, mode FROM main.decisions WHERE ts >= ? AND ts < ?),
         outcomes AS (SELECT decision_id, deployment, mode, status FROM main.outcomes
                      WHERE ts >= ?),
         ratings AS (SELECT decision_id, arg_max(quality, log_seq) AS quality FROM main.feedback
                     WHERE ts >= ? AND metric = ? AND quality IS NOT NULL
                     GROUP BY decision_id, kind, author)
    {RESPONSE_RATES}"""


def drawn_responses(cursor: Cursor, metric: str, since_us: int, until_us: int) -> list[Cell]:
    """The drawn answers made from ``since_us`` (the start of its day) to ``until_us``, and how
    many of them were rated by ``metric``; blocks, so call it off the loop.

    Of a session only the first answer counts: the others are rated, or not, by the same person.
    """
    since = at_time(since_us - since_us % DAY_US)
    rows = rows_of(cursor, _LIVE, [since, at_time(until_us), since, since, metric])
    return [
        Cell(
            deployment=row["deployment"],
            task=row["task"],
            answers=row["drawn"],
            rated=row["drawn_rated"],
            mean=row["drawn_mean_rating"],
            day=row["day"].isoformat(),
        )
        for row in rows
    ]
