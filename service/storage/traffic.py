"""Requests of the published history with what they cost, as changes are tried on them."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from experiments.opportunities.traffic import Calls, Checks, Repeats, Traffic
from experiments.statistics.inputs import Ints
from service.storage.cases import at_time
from service.storage.drawn import Asked, drawn_in_log
from service.storage.errors import StorageError

MOST_REQUESTS = 500_000  # about; where there are more, one session in so many is read

# An answer is kept for the tenant of the key, or for the key where it has none; a request for a
# deployment by name is of another kind than one that is routed. What the cache gave again (word for
# word, shared or semantic) is of mode cache; what went in a batch has a row of batch_requests. The
# cache keeps answers of texts alone: pictures and sound are charged as such, and what else is no
# text has no tokens out. Nor do steps of workflows ask it, or wait for a batch.
_SAME = """CASE WHEN d.prompt_hash <> '' THEN (hash(concat_ws(chr(31),
                d.prompt_hash,
                CASE WHEN d.tenant <> '' THEN 't' || d.tenant ELSE 'k' || d.key_id END,
                d.tokens_out_limit::VARCHAR,
                CASE WHEN d.mode = 'pinned' THEN 'd' || d.deployment ELSE '' END)) >> 1)::BIGINT
           END"""
_KEEPABLE = "o.status = 200 AND o.deployment IS NOT NULL AND d.mode <> 'cache'"
_NO_TEXT = "o.status = 200 AND (o.tokens_out = 0 OR m.decision_id IS NOT NULL)"
_SETTLED = f"d.mode = 'cache' OR b.decision_id IS NOT NULL OR ({_NO_TEXT})"
_WHERE = "ts >= $since AND ts < $until AND ($tenant IS NULL OR tenant = $tenant)"
# A session goes with its draw; who has none goes alone.
_KEPT = """($one_in = 1 OR
    hash(coalesce(CASE WHEN mode = 'sticky' THEN session_decision_id END, id)) % $one_in = 0)"""
_ELSE = """LEFT JOIN (
        SELECT decision_id FROM batch_requests WHERE ts >= $from AND decision_id IS NOT NULL
        UNION SELECT unnest(decisions)::UUID FROM workflow_steps WHERE ts >= $from
    ) b ON b.decision_id = d.id
    LEFT JOIN (SELECT DISTINCT decision_id FROM charges
               WHERE ts >= $from AND (images > 0 OR characters > 0)) m ON m.decision_id = d.id"""

_COUNT = f"SELECT count(*) AS n FROM decisions WHERE {_WHERE}"

_REQUESTS = f"""
    SELECT d.log_seq, epoch_us(d.ts) AS at_us, epoch_us(o.ts) AS ended_us, d.task, d.tenant,
           d.key_id, d.feature, coalesce(o.deployment, d.deployment) AS deployment,
           {_SAME} AS same,
           CASE WHEN d.mode = 'randomised' THEN d.log_seq
                WHEN d.mode = 'sticky' THEN s.log_seq END AS draw_seq,
           d.mode = 'sticky' AS held, coalesce(d.stream, false) AS stream,
           {_KEEPABLE} AS keepable, {_SETTLED} AS settled,
           concat_ws(chr(31), 'tier:' || d.tier, array_to_string(list_sort(list_distinct(d.tags)),
                     chr(31))) AS labels,
           o.cost_micro_usd * $one_in AS cost
    FROM (SELECT * FROM decisions WHERE {_WHERE} AND {_KEPT}) d
    JOIN outcomes o ON o.decision_id = d.id AND o.ts >= $from
    LEFT JOIN (SELECT id, log_seq FROM decisions WHERE mode = 'randomised' AND {_WHERE}
                   AND {_KEPT}) s ON s.id = d.session_decision_id
    {_ELSE}
    ORDER BY d.log_seq"""

# Every question of the span that came more than once, whichever session it came in.
_REPEATS = f"""
    WITH every AS (SELECT id, log_seq, ts, task, mode, {_SAME} AS same FROM decisions d
                   WHERE {_WHERE} AND mode <> 'cache' AND prompt_hash <> ''),
         often AS (SELECT same FROM every GROUP BY same HAVING count(*) > 1)
    SELECT d.log_seq, epoch_us(d.ts) AS at_us, epoch_us(o.ts) AS ended_us, d.task, d.same,
           {_KEEPABLE} AS keepable
    FROM (SELECT * FROM every SEMI JOIN often USING (same)) d
    JOIN outcomes o ON o.decision_id = d.id AND o.ts >= $from
    {_ELSE}
    WHERE b.decision_id IS NULL AND NOT ({_NO_TEXT})
    ORDER BY d.log_seq"""

_CHECKS = """
    SELECT epoch_us(j.ts) AS at_us, coalesce(j.task, '') AS task, j.cost_micro_usd AS cost,
           list_extract(p.chances, list_position(p.deployments, j.deployment)) AS chance,
           CASE WHEN j.consistent THEN j.value END AS value, j.probability
    FROM judgings j JOIN decisions d ON d.id = j.decision_id AND d.ts >= $from
    LEFT JOIN predictions p ON p.decision_id = j.decision_id AND p.ts >= $from
                               AND p.state = 'fitted'
    WHERE j.origin = 'sample' AND j.kind = 'score' AND j.ts >= $since AND j.ts < $until
          AND j.probability > 0 AND ($tenant IS NULL OR d.tenant = $tenant)
    ORDER BY j.log_seq"""

_CALLS = f"""
    SELECT d.log_seq, a.deployment, a.tokens_in, a.tokens_out, a.cached_tokens AS cached,
           a.cost_micro_usd AS cost, coalesce(c.cache_write_tokens, 0) = 0
               AND coalesce(c.reasoning_tokens, 0) = 0 AND coalesce(c.images, 0) = 0
               AND coalesce(c.characters, 0) = 0 AS plain
    FROM attempts a JOIN (SELECT id, log_seq FROM decisions WHERE {_WHERE} AND {_KEPT}) d
         ON d.id = a.decision_id
    LEFT JOIN charges c ON c.decision_id = a.decision_id AND c.number = a.number
    WHERE a.ts >= $from AND a.role NOT IN ('shadow', 'judge', 'summary', 'classify', 'batch')
    ORDER BY d.log_seq, a.number"""


def traffic(
    connection: duckdb.DuckDBPyConnection, asked: Asked, calls: bool = False,
    most: int = MOST_REQUESTS,
) -> Traffic:  # fmt: skip
    """The requests of the span that have ended, about ``most`` at most: of more, those of one
    session in so many, by the ids of its draws; with their ``calls`` where prices are to be tried.
    Raises StorageError where the history cannot be read.
    """
    of: dict[str, Any] = {
        "since": at_time(asked.since_us), "until": at_time(asked.until_us), "tenant": asked.tenant,
    }  # fmt: skip
    count = int(_read(connection, _COUNT, of)["n"][0].as_py())
    one_in = max(1, -(-count // most))
    draws, seqs = drawn_in_log(
        connection, Asked(asked.since_us, asked.until_us, asked.tenant, max(1, count), one_in)
    )
    timed = of | {"from": at_time(asked.since_us - 3_600_000_000)}
    parameters = timed | {"one_in": one_in}
    found = _read(connection, _REQUESTS, parameters)
    checks = _read(connection, _CHECKS, timed)
    mine = _whole(found["log_seq"])
    kept = np.isin(seqs, mine)
    draws, seqs = draws.of(kept), seqs[kept]
    labels = pc.dictionary_encode(found["labels"])
    return Traffic(
        at_us=_whole(found["at_us"]), ended_us=_whole(found["ended_us"]),
        task=_words(found["task"]), tenant=_words(found["tenant"]), key=_words(found["key_id"]),
        feature=_words(found["feature"]), deployment=_words(found["deployment"]),
        same=_whole(found["same"]), draw=_places(_whole(found["draw_seq"]), seqs),
        held=_flags(found["held"]), stream=_flags(found["stream"]),
        keepable=_flags(found["keepable"]), settled=_flags(found["settled"]),
        labels=np.asarray(labels.indices, dtype=np.int64), cost=_whole(found["cost"]),
        labelled=tuple(
            frozenset(each.split("\x1f")) - {""} for each in labels.dictionary.to_pylist()
        ),
        draws=draws,
        checks=Checks(
            _whole(checks["at_us"]), _words(checks["task"]), _whole(checks["cost"]),
            _numbers(checks["chance"]), _numbers(checks["value"]), _numbers(checks["probability"]),
        ),
        calls=_calls(_read(connection, _CALLS, parameters), mine) if calls else None,
        repeats=_repeats(_read(connection, _REPEATS, timed), mine) if one_in > 1 else None,
        one_in=one_in,
    )  # fmt: skip


def _read(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    try:
        found = connection.sql(sql, params=parameters).to_arrow_table()
    except duckdb.Error as error:
        raise StorageError(f"the published history cannot be read: {error}") from None
    return {name: found.column(name).combine_chunks() for name in found.column_names}


def _repeats(found: dict[str, Any], requests: Ints) -> Repeats:
    return Repeats(
        _places(_whole(found["log_seq"]), requests), _whole(found["at_us"]),
        _whole(found["ended_us"]), _words(found["task"]), _whole(found["same"]),
        _flags(found["keepable"]),
    )  # fmt: skip


def _calls(found: dict[str, Any], requests: Ints) -> Calls:
    place = _places(_whole(found["log_seq"]), requests)
    kept = place >= 0
    return Calls(
        place[kept], _words(found["deployment"])[kept], _whole(found["tokens_in"])[kept],
        _whole(found["tokens_out"])[kept], _whole(found["cached"])[kept],
        _flags(found["plain"])[kept], _whole(found["cost"])[kept],
    )  # fmt: skip


def _places(wanted: Ints, rising: Ints) -> Ints:
    """The place of each in a rising array; -1: it is not there."""
    if not len(rising):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(rising, wanted), len(rising) - 1)
    found: Ints = np.where(rising[at] == wanted, at, -1).astype(np.int64)
    return found


def _whole(values: Any) -> Ints:
    """NULL is -1 in what may have one (the draw, the like), which no number of ours is."""
    return np.asarray(pc.fill_null(pc.cast(values, pa.int64()), -1), dtype=np.int64)


def _words(values: Any) -> NDArray[np.object_]:
    encoded = pc.dictionary_encode(pc.fill_null(pc.cast(values, pa.string()), ""))
    names = np.array(encoded.dictionary.to_pylist() or [""], dtype=object)
    found: NDArray[np.object_] = names[np.asarray(encoded.indices, dtype=np.int64)]
    return found


def _flags(values: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.cast(values, pa.bool_()), False), dtype=np.bool_)


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
