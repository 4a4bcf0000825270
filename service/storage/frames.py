"""An experiment's decisions with what came of them, as the columns that analysis takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from experiments.design import Unit
from experiments.slopes import DAYS
from service.storage.cases import at_time
from service.storage.database import Cursor
from service.storage.errors import ReadFailed
from service.storage.experiments import Conducted

Columns = Mapping[str, NDArray[np.generic]]

# What a metric is made of, a row per decision of `mine`, which names the unit, the variant and its
# share. Quality is people's ratings, a judge's scores stand apart. The reward is that of the view
# `rounds`, of all ratings whoever gave them, as the policy is told.
_COLUMNS = """,
    rated AS (
        SELECT decision_id, avg(quality) FILTER (kind <> 'judge') AS quality,
               avg(quality) FILTER (kind = 'judge') AS judged, avg(quality) AS anyone FROM (
            SELECT *, row_number() OVER (
                PARTITION BY decision_id, metric, kind, author ORDER BY log_seq DESC) AS newest
            FROM feedback WHERE ts >= $since AND ts < $until AND metric = $metric)
        WHERE newest = 1 AND quality IS NOT NULL GROUP BY decision_id),
    scales AS (
        SELECT id, (parameters -> 'scale' ->> 'worth_usd')::DOUBLE AS worth_usd,
               (parameters -> 'scale' ->> 'patience_s')::DOUBLE AS patience_s FROM versions)
    SELECT m.named AS unit, m.had AS variant, m.share, epoch_us(m.ts) AS ts_us,
           m.tokens_in::DOUBLE AS tokens_in,
           o.status::DOUBLE AS status, o.cost_micro_usd::DOUBLE AS cost_micro_usd, o.latency_s,
           o.ttft_s, o.mode AS served_mode, o.error_kind, o.attempts::DOUBLE AS attempts,
           o.tokens_out::DOUBLE AS tokens_out, r.quality, r.judged,
           CASE WHEN o.status >= 500 THEN 0.0 WHEN r.anyone IS NULL THEN NULL
                ELSE greatest(0.0, least(1.0, r.anyone
                     - (o.cost_micro_usd / 1e6) / s.worth_usd - o.latency_s / s.patience_s))
           END AS reward
    FROM mine m LEFT JOIN outcomes o ON o.decision_id = m.id AND o.ts >= $since AND o.ts < $until
                               AND o.mode <> 'batch'
    LEFT JOIN rated r ON r.decision_id = m.id LEFT JOIN scales s ON s.id = m.version_id
    ORDER BY m.ts, m.log_seq"""

# Pinned and forced decisions have no variant, so no mode needs to be named.
_FRAME = """
    WITH mine AS (
        SELECT *, units[place] AS named, variants[place] AS had,
               variant_probabilities[place] AS share FROM (
            SELECT d.*, list_position(d.experiments, $experiment) AS place FROM decisions d
            WHERE d.ts >= $since AND list_contains(d.experiments, $experiment)))"""

_EARLIER = """
    WITH mine AS (
        SELECT *, {unit} AS named, '' AS had, 1.0::DOUBLE AS share FROM decisions
        WHERE ts >= $since AND ts < $until AND mode IN ('randomised', 'sticky')
              AND NOT coalesce(list_contains(experiments, $experiment), false))"""

# As the router names units, where the log knows them: a user as far as the caller named one.
_UNITS = {
    Unit.SESSION: "coalesce(nullif(session, ''), id::VARCHAR)",
    Unit.USER: "coalesce(nullif(unit, ''), id::VARCHAR)",
    Unit.TENANT: "concat_ws('/', key_id, nullif(tenant, ''))",
    Unit.REQUEST: "id::VARCHAR",
    Unit.BLOCK: "id::VARCHAR",
}
_NEVER_US = 253_370_764_800_000_000  # the year 9999
DAY_US = 86_400_000_000


def experiment_frame(cursor: Cursor, experiment: str, since_us: int, metric: str) -> Columns:
    """Columns of one length, a row per decision of an experiment (``slug@version``), by time.

    ``metric`` is the rating that is quality where people gave it, and ``judged`` where a
    judge did. Blocks, so call it off the loop; raises ReadFailed.
    """
    asked: dict[str, Any] = {
        "experiment": experiment, "since": at_time(since_us), "metric": metric,
        "until": at_time(_NEVER_US),
    }  # fmt: skip
    return _read(cursor, _FRAME + _COLUMNS, asked)


def earlier_frame(cursor: Cursor, conducted: Conducted, metric: str) -> Columns:
    """The same columns (but for the variant, which is empty) of the ``DAYS`` before an experiment
    began: drawn decisions and those that a session held, not its own, by the units of its design,
    as they stood then: an outcome or a rating that came later is not in it, so that it never
    changes. None before a start. Blocks; raises ReadFailed.
    """
    start = conducted.started_us
    if start is None:
        raise ValueError(f"{conducted.id} has not been started: nothing is before it")
    asked: dict[str, Any] = {
        "experiment": conducted.id, "since": at_time(start - DAYS * DAY_US),
        "until": at_time(start), "metric": metric,
    }  # fmt: skip
    return _read(cursor, _EARLIER.format(unit=_UNITS[conducted.design.unit]) + _COLUMNS, asked)


def _read(cursor: Cursor, sql: str, asked: dict[str, Any]) -> Columns:
    try:
        found = cursor.execute(sql, asked).fetchnumpy()
    except duckdb.Error as error:
        raise ReadFailed(f"the live file cannot be read: {error}") from error
    return {name: _filled(column) for name, column in found.items()}


def _filled(column: Any) -> NDArray[np.generic]:
    """NULL is NaN in a column of numbers and None in one of texts."""
    if not np.ma.isMaskedArray(column):
        return np.asarray(column)
    void: Any = None if column.dtype.kind == "O" else np.nan
    filled: NDArray[np.generic] = np.where(np.ma.getmaskarray(column), void, column.data)
    return filled


def evidence_query(experiment: str, metric: str) -> str:
    """The query over the published history that shows what a guardrail counted, by variant."""
    failed = {
        "error_rate": "o.status >= 500", "success_rate": "o.status <> 200",
        "fallback_rate": "o.mode = 'fallback'", "refusal_rate": "o.error_kind = 'policy'",
    }.get(metric)  # fmt: skip
    counted = "avg(o.cost_micro_usd) AS mean_micro_usd, quantile_cont(o.latency_s, 0.95) AS p95_s"
    if failed:
        counted = f"count(DISTINCT unit) FILTER ({failed}) AS units_failed"
    return (
        "SELECT variant, count(*) AS decisions, count(DISTINCT unit) AS units, "
        f"{counted} FROM (SELECT id, unnest(experiments) AS experiment, "
        "unnest(variants) AS variant, unnest(units) AS unit FROM decisions) d "
        f"JOIN outcomes o ON o.decision_id = d.id AND o.mode <> 'batch' "
        f"WHERE experiment = '{experiment}' "
        "GROUP BY variant ORDER BY variant"
    )
