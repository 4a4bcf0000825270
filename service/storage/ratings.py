"""What was rated and learned, read back from the log for the quality model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.interaction import Vector
from learning.quality import Rows
from service.domain.records import Version
from service.storage.cases import rows_of
from service.storage.database import Cursor

NEWEST = 50_000
_RATED = "kind IN ('rating', 'revision')"


def new_ratings(cursor: Cursor, after_seq: int) -> tuple[int, int]:
    """How many ratings and revisions were learned after that update, and the newest's number."""
    found = rows_of(
        cursor,
        "SELECT count(*) AS n, coalesce(max(seq), 0) AS newest FROM updates "
        f"WHERE {_RATED} AND seq > ?",
        [after_seq],
    )
    return found[0]["n"], found[0]["newest"]


def rated_answers(
    cursor: Cursor,
    arms: Sequence[str],
    versions: Sequence[Version],
    half_life_s: float,
    newest: int = NEWEST,
) -> Rows:
    """As ``rated_decisions``, without the ids."""
    return rated_decisions(cursor, arms, versions, half_life_s, newest)[0]


def rated_decisions(
    cursor: Cursor,
    arms: Sequence[str],
    versions: Sequence[Version],
    half_life_s: float,
    newest: int = NEWEST,
) -> tuple[Rows, list[str]]:
    """The newest rated answers, each once and as it is rated now, with their decisions'
    features; and the decisions' ids.

    They are read from the updates, so one place (``feedback/credit.py``) says what is learned
    from which. ``versions``: the last one's features are meant; decisions that were made with
    others are left out. An answer weighs what its update says, and half of that when it is
    ``half_life_s`` older than the newest.
    """
    features = tuple(json.loads(versions[-1].parameters)["features"])
    same = [v.id for v in versions if tuple(json.loads(v.parameters)["features"]) == features]
    found = cursor.sql(
        f"""
        WITH recent AS (
            SELECT decision_id, arm, decided_at, quality, coalesce(weight, 1.0) AS weight, seq
            FROM updates
            WHERE {_RATED} AND decision_id IS NOT NULL ORDER BY seq DESC LIMIT ?
        ), latest AS (
            SELECT decision_id, arm, min(decided_at) AS decided_at,
                   arg_max(quality, seq) AS quality, arg_max(weight, seq) AS weight,
                   max(seq) AS seq
            FROM recent WHERE arm IN (SELECT unnest(?::VARCHAR[])) GROUP BY decision_id, arm
        )
        SELECT l.decision_id::VARCHAR AS id, l.arm, l.seq, l.quality, l.weight,
               epoch_us(l.decided_at) / 1e6 AS decided_s, d.features
        FROM latest l JOIN decisions d ON d.id = l.decision_id
        WHERE d.ts >= (SELECT min(decided_at) FROM latest) AND len(d.features) = ?
          AND d.version_id IN (SELECT unnest(?::VARCHAR[]))
        ORDER BY l.seq
        """,
        params=[newest, list(arms), len(features), same],
    ).to_arrow_table()
    number = {name: at for at, name in enumerate(arms)}
    decided_s: Vector = found["decided_s"].to_numpy()
    flat = found["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    x: NDArray[np.float64] = flat.astype(np.float64).reshape(len(found), len(features))
    age_s = decided_s.max(initial=0.0) - decided_s
    rows = Rows(
        arms=tuple(arms),
        features=features,
        arm=np.array([number[name] for name in found["arm"].to_pylist()], dtype=np.int64),
        x=x,
        quality=found["quality"].to_numpy().astype(np.float64),
        weight=found["weight"].to_numpy() * 0.5 ** (age_s / half_life_s),
        order=found["seq"].to_numpy().astype(np.int64),
    )
    return rows, found["id"].to_pylist()


def last_prior(cursor: Cursor) -> tuple[str, int] | None:
    """The quality model that was last taken: its id, and the number of the update."""
    found = rows_of(
        cursor,
        "SELECT model_id, seq FROM updates WHERE kind = 'prior' ORDER BY seq DESC LIMIT 1",
    )
    return (found[0]["model_id"], found[0]["seq"]) if found else None


@dataclass(frozen=True, slots=True)
class Taken:
    """A prior that the policy was told of last: the file, under which version, and the quality
    model in use then. ``standing``: nothing was told since that takes its place.
    """

    model_id: str
    version_id: str
    before: str
    standing: bool


def last_taken(cursor: Cursor, kind: str) -> Taken | None:
    """The newest update of a kind that tells a prior, with what stands around it."""
    found = rows_of(
        cursor,
        "SELECT model_id, version_id, seq FROM updates WHERE kind = ? ORDER BY seq DESC LIMIT 1",
        [kind],
    )
    if not found:
        return None
    model, told = last_prior(cursor), found[0]
    before = model[0] if model is not None else ""
    standing = model is None or model[1] < told["seq"]
    return Taken(told["model_id"], told["version_id"], before, standing)


def first_ratings(
    cursor: Cursor, after_seq: int, newest: int = NEWEST
) -> Iterator[tuple[str, Vector, float, float]]:
    """The ratings (no revisions) learned after that update, in order: arm, features, quality, and
    what that weighs.
    """
    found = rows_of(
        cursor,
        "SELECT u.arm, u.quality, coalesce(u.weight, 1.0) AS weight, d.features "
        "FROM (SELECT * FROM updates WHERE kind = 'rating' "
        "AND seq > ? ORDER BY seq DESC LIMIT ?) u JOIN decisions d ON d.id = u.decision_id "
        "ORDER BY u.seq",
        [after_seq, newest],
    )
    for row in found:
        features = np.array(row["features"], dtype=np.float32).astype(np.float64)
        yield row["arm"], features, row["quality"], row["weight"]


def last_act(cursor: Cursor, *acts: str) -> dict[str, Any] | None:
    """The newest row of these acts: ``act``, ``subject``, ``reason``, ``detail``, ``ts``."""
    found = rows_of(
        cursor,
        "SELECT act, subject, reason, detail, ts FROM acts "
        "WHERE act IN (SELECT unnest(?::VARCHAR[])) ORDER BY log_seq DESC LIMIT 1",
        [list(acts)],
    )
    return found[0] if found else None
