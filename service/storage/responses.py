"""How many answers were rated, by deployment, task and day: as a view, and of the live file."""

from __future__ import annotations

from experiments.statistics.response_rate import Cell
from service.storage.cases import at_time, rows_of
from service.storage.catalogue import views
from service.storage.database import Cursor

DAY_US = 86_400_000_000

_LIVE = f"""
    WITH decisions AS (SELECT id, ts, task, mode FROM main.decisions WHERE ts >= ? AND ts < ?),
         outcomes AS (SELECT decision_id, deployment, mode, status FROM main.outcomes
                      WHERE ts >= ?),
         ratings AS (SELECT decision_id, arg_max(quality, log_seq) AS quality FROM main.feedback
                     WHERE ts >= ? AND metric = ? AND quality IS NOT NULL
                     GROUP BY decision_id, kind, author)
    {views()["response_rates"].sql}"""


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
