"""What overrides touched, beside the drawn decisions of the same tasks shortly before and after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from experiments.errors import CannotSay
from experiments.statistics.fixed_horizon import welch
from experiments.statistics.moments import Interval, Moments
from service.storage.errors import StorageError

FIGURES = ("cost_usd", "quality", "latency_s")
LEAST_S = 86_400.0  # how far before and after is looked, at least
MOST = 20

# An override's tasks are those that it touched, each weighed as it was there.
_BESIDE = """
    WITH held AS (
        SELECT id, action, deployment, task, starts_at, reason, author,
               coalesce(ended_at, least(expires_at, (SELECT max(ts) FROM decisions))) AS ends_at
        FROM overrides_in_time WHERE decisions > 0 ORDER BY starts_at DESC LIMIT $most),
         near AS (
        SELECT h.id AS override_id, d.id, d.task, 'touched' AS part
        FROM held h JOIN decisions d ON d.override_id = h.id
        UNION ALL
        SELECT h.id, d.id, d.task, 'near'
        FROM held h JOIN decisions d
             ON d.ts >= h.starts_at - to_seconds($least) - (h.ends_at - h.starts_at)
             AND d.ts < h.ends_at + to_seconds($least) + (h.ends_at - h.starts_at)
        WHERE d.mode = 'randomised' AND d.override_id IS NULL AND (h.task = '' OR d.task = h.task)
              AND (d.ts < h.starts_at OR d.ts >= h.ends_at)),
         rated AS (
        SELECT decision_id, avg(quality) AS quality FROM ratings
        WHERE decision_id IN (SELECT id FROM near) AND quality IS NOT NULL GROUP BY decision_id),
         told AS (
        SELECT n.override_id, n.part, n.task, o.cost_micro_usd / 1e6 AS cost_usd, r.quality,
               o.latency_s
        FROM near n JOIN outcomes o ON o.decision_id = n.id AND o.mode <> 'batch'
        LEFT JOIN rated r ON r.decision_id = n.id)
    SELECT h.*, t.part, t.task AS of_task, {figures}
    FROM told t JOIN held h ON h.id = t.override_id
    GROUP BY ALL ORDER BY h.starts_at, h.id, t.task, t.part"""


Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Overridden:
    """An override and what its decisions differ by, a request, from drawn ones of the same tasks:
    as long before and after as it held, a day at least. Welch's interval, for one look; time and
    the override are not told apart: what else changed then is in it.
    """

    id: str
    action: str
    deployment: str
    task: str
    reason: str
    author: str
    starts_at: datetime
    ends_at: datetime
    decisions: int
    near: int
    cost_usd: Interval | CannotSay
    quality: Interval | CannotSay
    latency_s: Interval | CannotSay


def overridden(connection: duckdb.DuckDBPyConnection, most: int = MOST) -> list[Overridden]:
    """The newest that touched a decision, the oldest of them first; raises StorageError."""
    figures = ", ".join(
        f"count({each}) AS {each}_n, avg({each}) AS {each}_mean, "
        f"coalesce(var_pop({each}) * count({each}), 0) AS {each}_squares"
        for each in FIGURES
    )
    try:
        found = connection.execute(
            _BESIDE.format(figures=figures), {"least": LEAST_S, "most": most}
        )
        names = [each[0] for each in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    except duckdb.Error as error:
        raise StorageError(f"the published history cannot be read: {error}") from None
    by: dict[str, list[Row]] = {}
    for row in rows:
        by.setdefault(str(row["id"]), []).append(row)
    return [_of(parts) for parts in by.values()]


def _of(parts: list[Row]) -> Overridden:
    first = parts[0]
    return Overridden(
        str(first["id"]), str(first["action"]), str(first["deployment"]), str(first["task"]),
        str(first["reason"]), str(first["author"]), first["starts_at"],
        first["ends_at"],
        _count(parts, "touched"), _count(parts, "near"),
        _less(parts, "cost_usd"), _less(parts, "quality"), _less(parts, "latency_s"),
    )  # fmt: skip


def _count(parts: list[Row], part: str) -> int:
    return sum(int(row["cost_usd_n"]) for row in parts if row["part"] == part)


def _less(parts: list[Row], figure: str) -> Interval | CannotSay:
    """Touched less near, the tasks weighed as they were touched."""
    tasks = sorted({str(row["of_task"]) for row in parts if row["part"] == "touched"})
    gaps: list[tuple[int, Interval]] = []
    left_out = 0
    for task in tasks:
        near, touched = (_moments(parts, part, task, figure) for part in ("near", "touched"))
        if not touched.count:
            continue
        told = welch(near, touched)
        if isinstance(told, CannotSay):
            left_out += touched.count
            continue
        gaps.append((touched.count, told.difference))
    whole = sum(count for count, _ in gaps)
    if not whole or left_out > whole:
        return CannotSay(f"too few of its decisions, or of those beside them, have a {figure}")
    mean = sum(count * each.estimate for count, each in gaps) / whole
    square = sum((count * (each.high - each.low) / 2.0) ** 2 for count, each in gaps)
    reach = float(square**0.5) / whole
    return Interval(mean, mean - reach, mean + reach)


def _moments(parts: list[Row], part: str, task: str, figure: str) -> Moments:
    for row in parts:
        if row["part"] == part and row["of_task"] == task:
            count = int(row[f"{figure}_n"])
            if count:
                mean = float(row[f"{figure}_mean"])
                return Moments(count, mean, float(row[f"{figure}_squares"]))
    return Moments()
