"""What came of climbs, read back from the log: rated answers, and what both arms cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.stopping import Assessed, Signals
from service.domain.escalation import Began, By, ClimbStart, RungVerdict, Trigger
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

NEWEST = 20_000
_RATED = """(SELECT decision_id, avg(quality) AS quality FROM (
    SELECT decision_id, author, kind, arg_max(quality, log_seq) AS quality FROM feedback
    WHERE metric = ? AND quality IS NOT NULL AND ts >= ? GROUP BY ALL) GROUP BY decision_id)"""


@dataclass(frozen=True, slots=True)
class Rated:
    """By which metric an answer is rated, and from where on it is acceptable."""

    metric: str
    bar: float


def assessed(
    cursor: Cursor, arms: Sequence[str], rated: Rated, since_us: int, half_life_s: float
) -> Assessed:
    """The newest answers of climbs that were served and rated, in order; an answer weighs half when
    it is so much older than the newest.
    """
    since = at_time(since_us)
    found = rows_of(
        cursor,
        "SELECT v.deployment, v.foreseen, v.logprob, v.verified, v.judged, v.below, v.ts, "
        f"r.quality FROM rung_verdicts v JOIN {_RATED} r ON r.decision_id = v.decision_id "
        "WHERE v.act = 'stop' AND v.fault = '' AND v.ts >= ? "
        "AND v.deployment IN (SELECT unnest(?::VARCHAR[])) ORDER BY v.log_seq DESC LIMIT ?",
        [rated.metric, since, since, list(arms), NEWEST],
    )[::-1]
    at = {name: place for place, name in enumerate(arms)}
    coded = [
        Signals(r["foreseen"], r["logprob"], r["verified"], r["judged"], r["below"]).coded()
        for r in found
    ]
    made_s = np.array([us(row["ts"]) / 1e6 for row in found], dtype=np.float64)
    age_s = made_s.max(initial=0.0) - made_s
    return Assessed(
        tuple(arms),
        np.array([at[row["deployment"]] for row in found], dtype=np.int64),
        np.array(coded, dtype=np.float64).reshape(len(found), 5),
        np.array([row["quality"] >= rated.bar for row in found], dtype=np.float64),
        0.5 ** (age_s / half_life_s),
    )


@dataclass(frozen=True, slots=True)
class Arm:
    """What requests of a task cost that were drawn to climb, or to go straight to the last rung:
    dollars, checks included [n]; seconds [n]; of those that were rated, whether acceptable [m], and
    what these cost [m].
    """

    cost_usd: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    good: NDArray[np.float64]
    good_cost_usd: NDArray[np.float64]
    went_on: int = 0


def arms(cursor: Cursor, task: str, rated: Rated, since_us: int) -> tuple[Arm, Arm]:
    """Of a task the climbing and the direct ones since some time, of those that were answered."""
    since = at_time(since_us)
    found = rows_of(
        cursor,
        f"""
        SELECT s.began, (o.cost_micro_usd + coalesce(v.checks, 0)) / 1e6 AS usd, o.latency_s,
               coalesce(v.calls, 1) AS calls, r.quality
        FROM climb_starts s
        JOIN outcomes o ON o.decision_id = s.decision_id AND o.status = 200
        LEFT JOIN (SELECT decision_id, sum(check_micro_usd) AS checks, count(*) AS calls
                   FROM rung_verdicts WHERE ts >= ? GROUP BY decision_id) v
          ON v.decision_id = s.decision_id
        LEFT JOIN {_RATED} r ON r.decision_id = s.decision_id
        WHERE s.task = ? AND s.ts >= ? AND s.began <> ?
        ORDER BY s.log_seq DESC LIMIT ?
        """,
        [since, rated.metric, since, task, since, Began.AGAIN.value, NEWEST],
    )
    climbing = [row for row in found if Began(row["began"]).climbs]
    direct = [row for row in found if not Began(row["began"]).climbs]
    return _arm(climbing, rated.bar), _arm(direct, rated.bar)


def _arm(found: Sequence[dict[str, Any]], bar: float) -> Arm:
    told = [row for row in found if row["quality"] is not None]
    return Arm(
        np.array([row["usd"] for row in found], dtype=np.float64),
        np.array([row["latency_s"] for row in found], dtype=np.float64),
        np.array([row["quality"] >= bar for row in told], dtype=np.float64),
        np.array([row["usd"] for row in told], dtype=np.float64),
        sum(row["calls"] > 1 for row in found),
    )


def tasks_of(cursor: Cursor, since_us: int) -> list[str]:
    """The tasks of which anything climbed since some time."""
    found = rows_of(
        cursor, "SELECT DISTINCT task FROM climb_starts WHERE ts >= ? ORDER BY task",
        [at_time(since_us)],
    )  # fmt: skip
    return [row["task"] for row in found]


def last_acts(cursor: Cursor, acts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By task the newest of these acts: ``act``, ``reason``, ``ts``."""
    found = rows_of(
        cursor,
        "SELECT subject, arg_max(act, log_seq) AS act, arg_max(reason, log_seq) AS reason, "
        "max(ts) AS ts FROM acts WHERE act IN (SELECT unnest(?::VARCHAR[])) GROUP BY subject",
        [list(acts)],
    )
    return {row["subject"]: row for row in found}


def read_climb(cursor: Cursor, decision_id: str) -> tuple[ClimbStart | None, list[RungVerdict]]:
    """Where a decision began to climb, and the verdicts of its calls."""
    begun = rows_of(
        cursor, "SELECT * FROM climb_starts WHERE decision_id = ?::UUID LIMIT 1", [decision_id]
    )
    start = None
    if begun:
        row = begun[0]
        start = ClimbStart(
            decision_id, us(row["ts"]), row["task"], Began(row["began"]), row["probability"],
            tuple(row["rungs"]), row["level"],
        )  # fmt: skip
    told = rows_of(
        cursor, "SELECT * FROM rung_verdicts WHERE decision_id = ?::UUID ORDER BY number",
        [decision_id],
    )  # fmt: skip
    return start, [_verdict(row) for row in told]


def _verdict(row: dict[str, Any]) -> RungVerdict:
    return RungVerdict(
        str(row["decision_id"]), us(row["ts"]), row["number"], row["rung"], row["deployment"],
        Trigger(row["fault"]), row["foreseen"], row["logprob"], row["verified"], row["judged"],
        row["below"], row["chance"], row["act"], By(row["settled_by"]), row["onward"],
        row["gain_usd"], row["probability"], tuple(row["skipped"]), row["rule"], row["rated"],
        row["cost_micro_usd"], row["check_micro_usd"], row["latency_s"],
    )  # fmt: skip
