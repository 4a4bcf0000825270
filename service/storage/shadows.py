"""The shadows that run, what they have spent, and what their decisions and judgements say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.experiments import Shadow, ShadowEnd
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Database

MOST_ENDED = 1_000
MOST_JUDGED = 20_000
DAY_US = 86_400_000_000
SLACK_US = 3_600_000_000  # a decision is at most so much older than what is decided beside it

_JOINED = (
    "SELECT s.*, e.ts AS ended_at, e.author AS ended_by, e.reason AS ended_for FROM shadows s "
    "LEFT JOIN shadow_ends e ON e.shadow_id = s.id "
)

# A row for each name that both knew of each decision: the two probabilities and all predictions.
_PAIRS = """
    WITH beside AS (
        SELECT decision_id, deployment AS chosen, len(eligible) AS arms, unnest(eligible) AS name,
               unnest(propensities) AS p, unnest(quality) AS q, unnest(cost_usd) AS c
        FROM shadow_decisions WHERE version_id = $1 AND ts >= $2),
    live AS (
        SELECT id, task, deployment AS chosen, len(eligible) AS arms, unnest(eligible) AS name,
               unnest(propensities) AS p, unnest(quality) AS q, unnest(cost_usd) AS c
        FROM decisions WHERE ts >= $3 AND id IN (SELECT decision_id FROM beside))
"""


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A shadow, and how it ended; None while it runs."""

    shadow: Shadow
    end: ShadowEnd | None


class ShadowStore:
    """Those that run in memory, from the log at the start; all else is read from the log."""

    def __init__(self, database: Database) -> None:
        self._cursor = database.cursor
        rows = rows_of(database.cursor(), _JOINED + "WHERE e.ts IS NULL ORDER BY s.log_seq")
        self.active: Mapping[str, Shadow] = {row["version_id"]: _shadow(row) for row in rows}

    def put(self, shadow: Shadow) -> None:
        """A durable shadow runs from now on."""
        self.active = {**self.active, shadow.version_id: shadow}

    def remove(self, version_id: str) -> None:
        """It runs no longer."""
        self.active = {name: each for name, each in self.active.items() if name != version_id}

    def find(self, version_id: str) -> Shadowed | None:
        """The one of a version that runs, or the last that ran; reads the log."""
        found = self.active.get(version_id)
        if found is not None:
            return Shadowed(found, None)
        sql = _JOINED + "WHERE s.version_id = ? ORDER BY s.log_seq DESC LIMIT 1"
        rows = rows_of(self._cursor(), sql, [version_id])
        return _shadowed(rows[0]) if rows else None

    def ended(self) -> list[Shadowed]:
        """Those that were stopped, the newest first; reads the log."""
        sql = _JOINED + "WHERE e.ts IS NOT NULL ORDER BY e.log_seq DESC LIMIT ?"
        return [_shadowed(row) for row in rows_of(self._cursor(), sql, [MOST_ENDED])]

    def knows(self, version_id: str) -> bool:
        """Whether there is such a version; reads the log."""
        return bool(rows_of(self._cursor(), "SELECT id FROM versions WHERE id = ?", [version_id]))

    def spent_micro_usd(self, version_id: str, since_us: int) -> int:
        """What a version's mirrored calls and their judges have cost; reads the log. What judging
        the served answers of the same requests has cost is not theirs.
        """
        rows = rows_of(
            self._cursor(),
            "WITH mine AS (SELECT decision_id FROM shadow_decisions WHERE version_id = $2 "
            "AND mirrored AND ts >= $3) SELECT (SELECT coalesce(sum(cost_micro_usd), 0) FROM "
            "attempts WHERE role IN ('shadow', 'judge') AND ts >= $1 AND decision_id IN "
            "(FROM mine))::BIGINT AS spent, (SELECT coalesce(sum(cost_micro_usd), 0) FROM judgings "
            "WHERE origin = 'sample' AND ts >= $1 AND decision_id IN (FROM mine))::BIGINT AS other",
            [at_time(since_us), version_id, at_time(since_us - DAY_US)],
        )
        return max(int(rows[0]["spent"]) - int(rows[0]["other"]), 0)

    def agreement(self, version_id: str, since_us: int) -> dict[str, Any]:
        """How often both chose alike, and what each is predicted to give, by either's predictions.

        ``comparable``: decisions all of whose eligible deployments the version knows; the means of
        the predictions are over these.
        """
        sql = (
            _PAIRS
            + """, each_decision AS (
            SELECT s.decision_id, any_value(l.chosen = s.chosen) AS alike, sum(l.p * s.p) AS chance,
                   any_value(l.arms = s.arms) AS whole,
                   sum(l.p * l.q) AS live_q, sum(s.p * l.q) AS beside_q,
                   sum(l.p * s.q) AS live_own_q, sum(s.p * s.q) AS beside_own_q,
                   sum(l.p * l.c) AS live_c, sum(s.p * l.c) AS beside_c,
                   sum(l.p * s.c) AS live_own_c, sum(s.p * s.c) AS beside_own_c
            FROM beside s JOIN live l ON l.id = s.decision_id AND l.name = s.name
            GROUP BY s.decision_id)
            SELECT count(*) AS decisions, avg(alike::INT) AS alike, avg(chance) AS chance,
                   count(*) FILTER (whole) AS comparable,
            """
            + ", ".join(
                f"avg({name}) FILTER (whole) AS {name}"
                for of in ("q", "c")
                for name in (f"live_{of}", f"beside_{of}", f"live_own_{of}", f"beside_own_{of}")
            )
            + " FROM each_decision"
        )
        return self._paired(sql, version_id, since_us)[0]

    def shares(self, version_id: str, since_us: int) -> list[dict[str, Any]]:
        """The mean probability that each gives to each deployment, by task."""
        sql = (
            _PAIRS
            + """, counted AS (SELECT task, count(DISTINCT id) AS n FROM live GROUP BY task)
            SELECT l.task, l.name AS deployment, c.n AS decisions, sum(l.p) / c.n AS live,
                   coalesce(sum(s.p), 0) / c.n AS shadow
            FROM live l LEFT JOIN beside s ON s.decision_id = l.id AND s.name = l.name
            JOIN counted c USING (task) GROUP BY l.task, l.name, c.n
            ORDER BY l.task, l.name"""
        )
        return self._paired(sql, version_id, since_us)

    def _paired(self, sql: str, version_id: str, since_us: int) -> list[dict[str, Any]]:
        bounds = [at_time(since_us), at_time(since_us - SLACK_US)]
        return rows_of(self._cursor(), sql, [version_id, *bounds])

    def preferences(self, version_id: str, since_us: int) -> list[tuple[float | None, bool]]:
        """The judgements in their order, at most the last 20,000: preference, and consistent."""
        sql = (
            "SELECT preference, consistent FROM judgements WHERE version_id = ? AND ts >= ? "
            "ORDER BY log_seq DESC LIMIT ?"
        )
        rows = rows_of(self._cursor(), sql, [version_id, at_time(since_us), MOST_JUDGED])
        return [(row["preference"], row["consistent"]) for row in reversed(rows)]


def _shadow(row: dict[str, Any]) -> Shadow:
    return Shadow(
        row["id"], us(row["ts"]), row["version_id"], row["share"], row["mirror_share"],
        row["cap_micro_usd"], row["judge"], row["author"], row["reason"],
    )  # fmt: skip


def _shadowed(row: dict[str, Any]) -> Shadowed:
    shadow = _shadow(row)
    if row["ended_at"] is None:
        return Shadowed(shadow, None)
    end = ShadowEnd(shadow.id, us(row["ended_at"]), row["ended_by"], row["ended_for"])
    return Shadowed(shadow, end)
