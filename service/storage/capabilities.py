"""What the log's new rows say of each deployment at each task, as sums under weights."""

from __future__ import annotations

from typing import Any

from learning.capability import CellSums, Key, Sums
from service.storage.cases import rows_of
from service.storage.database import Cursor

_WEIGHT = "exp((epoch_us(d.ts) / 1e6 - ?) / ?)"

# Quality, latency and failures as they were learned, so that what is learned from which is said in
# one place (feedback/credit.py). An update of a revision adds what is new and takes back what was,
# each by what its ratings count; rows from before ratings were weighed count 1.
_LEARNED = f"""
    SELECT arm AS deployment, task,
           coalesce(sum(w * (told - undone)), 0) AS quality_w,
           coalesce(sum(w * (told * quality - undone * coalesce(was, 0))), 0) AS quality_x,
           coalesce(sum(w * (told * quality * quality - undone * coalesce(was * was, 0))), 0)
               AS quality_xx,
           coalesce(sum(w) FILTER (latency_s IS NOT NULL), 0) AS latency_s_w,
           coalesce(sum(w * latency_s), 0) AS latency_s_x,
           coalesce(sum(w * latency_s * latency_s), 0) AS latency_s_xx,
           coalesce(sum(w) FILTER (failed IS NOT NULL), 0) AS error_rate_w,
           coalesce(sum(w) FILTER (failed), 0) AS error_rate_x,
           coalesce(sum(w) FILTER (failed), 0) AS error_rate_xx,
           epoch_us(max(ts)) / 1e6 AS last_s
    FROM (SELECT u.arm, d.task, u.kind, u.quality, u.revises_quality AS was, u.latency_s, u.failed,
                 CASE WHEN u.quality IS NULL THEN 0 ELSE coalesce(u.weight, 1) END AS told,
                 CASE WHEN u.revises_quality IS NULL THEN 0 ELSE coalesce(u.revises_weight, 1) END
                     AS undone,
                 d.ts, {_WEIGHT} AS w
          FROM updates u JOIN decisions d ON d.id = u.decision_id
          WHERE u.log_seq > ? AND u.log_seq <= ? AND u.kind IN ('outcome', 'rating', 'revision')
                AND d.id >= ?::UUID)
    GROUP BY ALL"""

# What an answered call cost; a judge's call costs what its question does, not the task's, and one
# in a provider's batch has another price.
_PAID = f"""
    SELECT deployment, task, sum(w) AS cost_micro_usd_w, sum(w * c) AS cost_micro_usd_x,
           sum(w * c * c) AS cost_micro_usd_xx, epoch_us(max(ts)) / 1e6 AS last_s
    FROM (SELECT a.deployment, d.task, a.cost_micro_usd::DOUBLE AS c, d.ts, {_WEIGHT} AS w
          FROM attempts a JOIN decisions d ON d.id = a.decision_id
          WHERE a.log_seq > ? AND a.log_seq <= ? AND a.error_kind IS NULL
                AND a.role NOT IN ('judge', 'batch')
                AND d.id >= ?::UUID)
    GROUP BY ALL"""


_FIRST = "SELECT min(decision_id) AS id FROM {table} WHERE log_seq > ? AND log_seq <= ?"


def shown_between(
    cursor: Cursor, after_seq: int, through_seq: int, weighing: tuple[float, float]
) -> dict[Key, CellSums]:
    """The sums of the rows of the log after one number and through another. ``weighing``: the
    reference and tau of the weights exp((decided - reference) / tau), seconds. Sums of consecutive
    stretches add to those of the whole.
    """
    found: dict[Key, CellSums] = {}
    for sql, table in ((_LEARNED, "updates"), (_PAID, "attempts")):
        # Ids sort by time: with the first one the decisions before it are not looked at.
        first = rows_of(cursor, _FIRST.format(table=table), [after_seq, through_seq])[0]["id"]
        if first is None:
            continue
        for row in rows_of(cursor, sql, [*weighing, after_seq, through_seq, str(first)]):
            cell = found.setdefault((row["deployment"], row["task"]), CellSums())
            cell.merge(_cell(row))
    return found


def _cell(row: dict[str, Any]) -> CellSums:
    cell = CellSums(last_s=row["last_s"])
    for name in cell.sums:
        if f"{name}_w" in row:
            cell.sums[name] = Sums(row[f"{name}_w"], row[f"{name}_x"], row[f"{name}_xx"])
    return cell
