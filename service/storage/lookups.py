"""Short looks into the live log for a person who waits: bounded in rows, one thread, no writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.domain.records import Act
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Sought:
    """Which decisions: every word that is given must hold; times in microseconds."""

    since_us: int
    until_us: int
    equal: dict[str, str] = field(default_factory=dict)  # of SOUGHT: a column and its value
    failed: bool = False


SOUGHT = {
    "task": "d.task", "deployment": "d.deployment", "tenant": "d.tenant", "mode": "d.mode",
    "override": "d.override_id", "key": "d.key_id",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A decision in a list. ``status``: None while it is under way."""

    id: str
    at_us: int
    task: str
    tenant: str
    deployment: str
    propensity: float
    mode: str
    answered_by: str | None
    status: int | None
    latency_s: float | None
    cost_micro_usd: int | None


def decisions(cursor: Cursor, sought: Sought, most: int) -> list[Found]:
    """The newest decisions that are sought."""
    where, values = ["d.ts BETWEEN ? AND ?"], [at_time(sought.since_us), at_time(sought.until_us)]
    given: list[Any] = list(values)
    for name, value in sought.equal.items():
        where.append(f"{SOUGHT[name]} = ?")
        given.append(value)
    if sought.failed:
        where.append("o.status >= 400")
    sql = (
        "SELECT d.id, d.ts, d.task, d.tenant, d.deployment, d.propensity, d.mode, "
        "o.deployment AS answered_by, o.status, o.latency_s, o.cost_micro_usd "
        "FROM decisions d LEFT JOIN (SELECT * FROM outcomes WHERE ts >= ?) o "
        f"ON o.decision_id = d.id WHERE {' AND '.join(where)} ORDER BY d.ts DESC LIMIT ?"
    )
    rows = rows_of(cursor, sql, [values[0], *given, most])
    return [
        Found(
            str(row["id"]), us(row["ts"]), row["task"], row["tenant"], row["deployment"],
            row["propensity"], row["mode"], row["answered_by"], row["status"], row["latency_s"],
            row["cost_micro_usd"],
        )
        for row in rows
    ]  # fmt: skip


_ACT = ("actor", "act", "subject", "reason", "detail", "author", "role", "key_id", "ip",
        "request_id", "before", "after")  # fmt: skip


def acts(
    cursor: Cursor, since_us: int, words: Sequence[str], kinds: Sequence[str], most: int
) -> list[Act]:
    """The newest acts since a time that hold every word (in actor, act, subject or reason), and
    whose name begins with one of ``kinds``, where there are any.
    """
    text = "lower(concat_ws(' ', actor, act, subject, reason))"
    where, given = ["ts >= ?"], [at_time(since_us)]
    values: list[Any] = list(given)
    for word in words:
        where.append(f"contains({text}, ?)")
        values.append(word.lower())
    if kinds:
        where.append("(" + " OR ".join("starts_with(act, ?)" for _ in kinds) + ")")
        values += list(kinds)
    sql = f"SELECT * FROM acts WHERE {' AND '.join(where)} ORDER BY log_seq DESC LIMIT ?"
    return [
        Act(
            str(row["id"]), us(row["ts"]), *(row[name] or "" for name in _ACT),
        )
        for row in rows_of(cursor, sql, [*values, most])
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """The last share of a deployment in a stretch of time."""

    at_us: int  # where the stretch begins
    task: str
    deployment: str
    share: float


def shares(cursor: Cursor, since_us: int, width_us: int) -> list[Share]:
    """Shares over time, one for every stretch in which any was kept."""
    sql = (
        "SELECT (epoch_us(ts) // ?) * ? AS from_us, task, deployment, arg_max(share, ts) AS share "
        "FROM weights WHERE ts >= ? GROUP BY ALL ORDER BY from_us"
    )
    rows = rows_of(cursor, sql, [width_us, width_us, at_time(since_us)])
    return [Share(row["from_us"], row["task"], row["deployment"], row["share"]) for row in rows]


@dataclass(frozen=True, slots=True)
class Spent:
    """What the calls to a deployment cost in an hour, and how many requests began in it."""

    at_us: int
    deployment: str
    cost_micro_usd: int
    calls: int


def spending(cursor: Cursor, since_us: int) -> list[Spent]:
    """Spend by hour and deployment, calls beside the answer included."""
    sql = (
        f"SELECT (epoch_us(ts) // {HOUR_US}) * {HOUR_US} AS from_us, deployment, "
        "sum(cost_micro_usd)::BIGINT AS cost, count(*) AS calls FROM attempts WHERE ts >= ? "
        "GROUP BY ALL ORDER BY from_us"
    )
    return [
        Spent(row["from_us"], row["deployment"], row["cost"], row["calls"])
        for row in rows_of(cursor, sql, [at_time(since_us)])
    ]


def spent_by_tenant(cursor: Cursor, since_us: int, most: int) -> list[tuple[str, int, int]]:
    """Tenants by what they spent since: tenant, micro-dollars, requests."""
    sql = (
        "SELECT d.tenant, sum(o.cost_micro_usd)::BIGINT AS cost, count(*) AS requests "
        "FROM outcomes o JOIN decisions d ON d.id = o.decision_id "
        "WHERE o.ts >= ? AND d.ts >= ? GROUP BY ALL ORDER BY cost DESC LIMIT ?"
    )
    since = at_time(since_us)
    rows = rows_of(cursor, sql, [since, at_time(since_us - HOUR_US), most])
    return [(row["tenant"], row["cost"], row["requests"]) for row in rows]
