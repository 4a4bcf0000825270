"""Draws of the published history with what came of them, as savings are estimated from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from experiments.offline.savings import DrawnRequests
from experiments.statistics.inputs import Floats
from service.storage.cases import at_time
from service.storage.errors import StorageError

MOST = 500_000

# Narrow and alone, because sorting whole rows takes memory. What came of a decision came after it,
# but for a clock that was set back: an hour is left for that.
_FROM = """
    SELECT coalesce(min(log_seq), 0), coalesce(min(ts), $since) - INTERVAL 1 HOUR FROM (
        SELECT log_seq, ts FROM decisions
        WHERE mode = 'randomised' AND ts >= $since AND ts < $until
              AND ($tenant IS NULL OR tenant = $tenant)
        ORDER BY log_seq DESC LIMIT $most)"""

# The newest draws of the span, in the order of the log. A draw answers for what its session held;
# the reward is that of the view `rounds`. What an
# ensemble answered, by a lot that knew nothing of the draw, shows nothing of the drawn deployment;
# what came in a provider's batch, nothing of its waiting and its price.
_DRAWN = """
    WITH held AS (
        SELECT d.session_decision_id AS id, count(*) AS requests,
               sum(o.cost_micro_usd) AS cost_micro_usd
        FROM decisions d JOIN outcomes o ON o.decision_id = d.id
        WHERE d.mode = 'sticky' AND d.session_decision_id IS NOT NULL AND d.ts >= $from
              AND o.ts >= $from AND o.mode <> 'batch'
              AND ($one_in = 1 OR hash(d.session_decision_id) % $one_in = 0)
        GROUP BY ALL),
         drawn AS (
        SELECT id, log_seq, task, deployment, eligible, propensities, quality, cost_usd, latency_s,
               version_id
        FROM decisions
        WHERE mode = 'randomised' AND ts >= $since AND ts < $until AND log_seq >= $first
              AND ($tenant IS NULL OR tenant = $tenant)
              AND ($one_in = 1 OR hash(id) % $one_in = 0)),
         scales AS (
        SELECT id, (parameters -> 'scale' ->> 'worth_usd')::DOUBLE AS worth_usd,
               (parameters -> 'scale' ->> 'patience_s')::DOUBLE AS patience_s FROM versions)
    SELECT d.log_seq, d.task, d.deployment, d.eligible, d.propensities,
           d.quality AS expected_quality,
           d.cost_usd AS expected_cost_usd, d.latency_s AS expected_latency_s,
           (1 + coalesce(h.requests, 0))::DOUBLE AS requests,
           (o.cost_micro_usd + coalesce(h.cost_micro_usd, 0)) / 1e6 AS cost_usd,
           CASE WHEN o.status < 500 THEN r.quality END AS quality,
           CASE WHEN o.status < 500 AND r.quality IS NOT NULL THEN
                greatest(0.0, least(1.0, r.quality - (o.cost_micro_usd / 1e6) / s.worth_usd
                                    - o.latency_s / s.patience_s)) END AS reward,
           coalesce(1 / s.worth_usd, 0.0) AS per_usd, coalesce(1 / s.patience_s, 0.0) AS per_second
    FROM drawn d JOIN outcomes o ON o.decision_id = d.id AND o.ts >= $from
                                AND o.mode NOT IN ('ensemble', 'batch')
    LEFT JOIN held h ON h.id = d.id
    LEFT JOIN (SELECT decision_id, avg(quality) AS quality FROM ratings
               WHERE quality IS NOT NULL AND ts >= $from GROUP BY decision_id) r
           ON r.decision_id = d.id
    LEFT JOIN scales s ON s.id = d.version_id
    ORDER BY d.log_seq"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Draws between two times; of one tenant's keys alone where ``tenant`` names it (empty: those
    of no tenant); at most the newest ``most``, and of these one in ``one_in``, by their ids.
    """

    since_us: int
    until_us: int
    tenant: str | None = None
    most: int = MOST
    one_in: int = 1


def drawn_requests(connection: duckdb.DuckDBPyConnection, asked: Asked) -> DrawnRequests:
    """The randomised decisions whose request has ended, with what came of them.

    Pinned and forced requests are left out: nobody drew them. Raises StorageError where the history
    cannot be read.
    """
    return drawn_in_log(connection, asked)[0]


def drawn_in_log(
    connection: duckdb.DuckDBPyConnection, asked: Asked
) -> tuple[DrawnRequests, NDArray[np.int64]]:
    """The same, with the place of each decision in the log, rising."""
    parameters = {
        "since": at_time(asked.since_us), "until": at_time(asked.until_us),
        "tenant": asked.tenant, "most": asked.most,
    }  # fmt: skip
    try:
        ((first, start),) = connection.execute(_FROM, parameters).fetchall()
        del parameters["most"]
        parameters |= {"first": first, "from": start, "one_in": asked.one_in}
        found = connection.sql(_DRAWN, params=parameters).to_arrow_table()
    except duckdb.Error as error:
        raise StorageError(f"the published history cannot be read: {error}") from None
    return _drawn(found), np.asarray(found.column("log_seq").to_numpy(), dtype=np.int64)


def _drawn(found: pa.Table) -> DrawnRequests:
    column = {name: found.column(name).combine_chunks() for name in found.column_names}
    eligible = column["eligible"]
    counts = np.asarray(pc.fill_null(pc.list_value_length(eligible), 0), dtype=np.int64)
    encoded = pc.dictionary_encode(pc.list_flatten(eligible))
    names = tuple(str(name) for name in encoded.dictionary.to_pylist())
    arms = np.asarray(encoded.indices, dtype=np.int64)
    shape = len(found), len(names)

    def matrix(name: str, empty: float) -> Floats:
        return _matrix(column[name], counts, arms, shape, empty)

    quality, cost = matrix("expected_quality", np.nan), matrix("expected_cost_usd", np.nan)
    lost = cost * _numbers(column["per_usd"])[:, None]
    lost += matrix("expected_latency_s", np.nan) * _numbers(column["per_second"])[:, None]
    drawn = pc.index_in(column["deployment"], value_set=pa.array(names, pa.string()))
    return DrawnRequests(
        names=names,
        task=np.array(column["task"].to_pylist(), dtype=object),
        drawn=np.asarray(drawn, dtype=np.int64),
        propensities=matrix("propensities", 0.0),
        requests=_numbers(column["requests"]),
        cost_usd=_numbers(column["cost_usd"]),
        quality=_numbers(column["quality"]),
        reward=_numbers(column["reward"]),
        expected_quality=quality,
        expected_reward=np.clip(quality - lost, 0.0, 1.0),
        expected_cost_usd=cost,
    )


def _matrix(
    values: Any, counts: NDArray[np.int64], arms: NDArray[np.int64], shape: tuple[int, int],
    empty: float,
) -> Floats:  # fmt: skip
    """[n, K] of lists that are parallel to ``eligible``; rows with another length stay empty."""
    made = np.full(shape, empty)
    own = np.asarray(pc.fill_null(pc.list_value_length(values), 0), dtype=np.int64)
    same = own == counts
    rows = np.repeat(np.arange(shape[0]), counts)
    kept = np.repeat(same, counts)
    flat = np.asarray(pc.list_flatten(values), dtype=np.float64)[np.repeat(same, own)]
    made[rows[kept], arms[kept]] = flat
    return made


def _numbers(values: Any) -> Floats:
    """NULL is NaN."""
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
