"""An experiment's decisions with what came of them, as the columns that analysis takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from service.storage.cases import at_time
from service.storage.database import Cursor
from service.storage.errors import ReadFailed

Columns = Mapping[str, NDArray[np.generic]]

# Pinned and forced decisions have no variant, so no mode needs to be named. The reward is that of
# the view `rounds`.
_FRAME = """
    WITH mine AS (
        SELECT d.*, list_position(d.experiments, $experiment) AS place FROM decisions d
        WHERE d.ts >= $since AND list_contains(d.experiments, $experiment)),
    rated AS (
        SELECT decision_id, avg(quality) AS quality FROM (
            SELECT *, row_number() OVER (
                PARTITION BY decision_id, metric, kind, author ORDER BY log_seq DESC) AS newest
            FROM feedback WHERE ts >= $since AND metric = $metric)
        WHERE newest = 1 AND quality IS NOT NULL GROUP BY decision_id),
    scales AS (
        SELECT id, (parameters -> 'scale' ->> 'worth_usd')::DOUBLE AS worth_usd,
               (parameters -> 'scale' ->> 'patience_s')::DOUBLE AS patience_s FROM versions)
    SELECT m.units[m.place] AS unit, m.variants[m.place] AS variant,
           m.variant_probabilities[m.place] AS share, epoch_us(m.ts) AS ts_us,
           m.tokens_in::DOUBLE AS tokens_in, NULL::DOUBLE AS predicted_quality,
           o.status::DOUBLE AS status, o.cost_micro_usd::DOUBLE AS cost_micro_usd, o.latency_s,
           o.ttft_s, o.mode AS served_mode, o.attempts::DOUBLE AS attempts,
           o.tokens_out::DOUBLE AS tokens_out, r.quality,
           CASE WHEN o.status >= 500 THEN 0.0 WHEN r.quality IS NULL THEN NULL
                ELSE greatest(0.0, least(1.0, r.quality
                     - (o.cost_micro_usd / 1e6) / s.worth_usd - o.latency_s / s.patience_s))
           END AS reward
    FROM mine m LEFT JOIN outcomes o ON o.decision_id = m.id AND o.ts >= $since
    LEFT JOIN rated r ON r.decision_id = m.id LEFT JOIN scales s ON s.id = m.version_id
    ORDER BY m.ts, m.log_seq"""


def experiment_frame(cursor: Cursor, experiment: str, since_us: int, metric: str) -> Columns:
    """Columns of one length, a row per decision of an experiment (``slug@version``), by time.

    ``metric`` is the rating that is quality. Blocks, so call it off the loop; raises ReadFailed.
    """
    asked: dict[str, Any] = {
        "experiment": experiment, "since": at_time(since_us), "metric": metric,
    }  # fmt: skip
    try:
        found = cursor.execute(_FRAME, asked).fetchnumpy()
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
        "fallback_rate": "o.mode = 'fallback'",
    }.get(metric)  # fmt: skip
    counted = "avg(o.cost_micro_usd) AS mean_micro_usd, quantile_cont(o.latency_s, 0.95) AS p95_s"
    if failed:
        counted = f"count(DISTINCT unit) FILTER ({failed}) AS units_failed"
    return (
        "SELECT variant, count(*) AS decisions, count(DISTINCT unit) AS units, "
        f"{counted} FROM (SELECT id, unnest(experiments) AS experiment, "
        "unnest(variants) AS variant, unnest(units) AS unit FROM decisions) d "
        f"JOIN outcomes o ON o.decision_id = d.id WHERE experiment = '{experiment}' "
        "GROUP BY variant ORDER BY variant"
    )
