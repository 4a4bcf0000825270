"""What the log knows of money: spend, calls that a kill cut off, prices, the budgets of keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.budgets import KeyBudget
from service.domain.money import Tariff
from service.domain.records import Caller
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

_SPENT = """
    SELECT coalesce(d.key_id, '') AS key_id, coalesce(d.tenant, '') AS tenant,
           coalesce(d.feature, '') AS feature, coalesce(d.tags, []) AS tags,
           coalesce(d.task, '') AS task, a.deployment,
           a.role IN ('shadow', 'judge', 'classify', 'summary') AS beside,
           sum(a.cost_micro_usd)::BIGINT AS cost, count(*) AS calls,
           sum(a.cost_micro_usd::DOUBLE * a.cost_micro_usd) AS squares
    FROM (SELECT * FROM attempts WHERE ts >= $1 AND ts < $2 AND log_seq <= $3) a
    LEFT JOIN (SELECT id, key_id, tenant, feature, tags, task FROM decisions
               WHERE ts >= $1::TIMESTAMP - INTERVAL 3 DAY) d ON d.id = a.decision_id
    GROUP BY ALL"""

# Decided and never ended: what was under way when the service was killed.
_CUT_OFF = """
    SELECT id, key_id, tenant, feature, tags, task, deployment, tokens_in, tokens_out_limit, ts
    FROM decisions d WHERE ts >= $1 AND ts < $2 AND log_seq <= $3 AND mode <> 'cache'
         AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.decision_id = d.id AND o.ts >= $1)"""


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of a time, microseconds, up to a row of the log."""

    since_us: int
    until_us: int
    through_seq: int

    @property
    def given(self) -> list[object]:
        """As the queries take it."""
        return [at_time(self.since_us), at_time(self.until_us), self.through_seq]


@dataclass(frozen=True, slots=True)
class Group:
    """Calls of one caller, task and deployment together."""

    caller: Caller
    task: str
    deployment: str
    beside: bool
    micro_usd: int
    calls: int
    squares: float


@dataclass(frozen=True, slots=True)
class CutOff:
    """A request that was under way when the service was killed; ``id``: of its decision."""

    id: str
    caller: Caller
    task: str
    deployment: str
    tokens_in: int
    tokens_out_limit: int
    at_us: int


def spent(cursor: Cursor, span: Span) -> list[Group]:
    """Spend of calls that ended in a time; of a decision that was lost nobody is the caller."""
    return [
        Group(
            _caller(row), row["task"], row["deployment"], row["beside"], row["cost"],
            row["calls"], row["squares"],
        )
        for row in rows_of(cursor, _SPENT, span.given)
    ]  # fmt: skip


def cut_off(cursor: Cursor, span: Span) -> list[CutOff]:
    """What was decided in a time and never ended."""
    return [
        CutOff(
            str(row["id"]), _caller(row), row["task"], row["deployment"], row["tokens_in"],
            row["tokens_out_limit"], us(row["ts"]),
        )
        for row in rows_of(cursor, _CUT_OFF, span.given)
    ]  # fmt: skip


def _caller(row: dict[str, object]) -> Caller:
    tags = row["tags"]
    assert isinstance(tags, list)
    return Caller(
        str(row["key_id"]), str(row["tenant"]), "", str(row["feature"]), tuple(map(str, tags))
    )


def key_budgets(cursor: Cursor) -> list[KeyBudget]:
    """The budget that each key carries now, those that carry none any more left out."""
    rows = rows_of(
        cursor,
        "SELECT * FROM key_budgets QUALIFY row_number() OVER (PARTITION BY key_id "
        "ORDER BY log_seq DESC) = 1 ORDER BY log_seq",
    )
    return [
        KeyBudget(
            row["key_id"], us(row["ts"]), row["period"], row["hard_micro_usd"],
            row["soft_micro_usd"], row["at_cap"], row["author"], row["reason"],
        )
        for row in rows if row["period"]
    ]  # fmt: skip


def priced_from(cursor: Cursor) -> set[tuple[str, int]]:
    """The deployments and the days, microseconds, from which the log has ever had prices hold."""
    rows = rows_of(cursor, "SELECT DISTINCT deployment, from_at FROM tariffs")
    return {(row["deployment"], us(row["from_at"])) for row in rows}


def unsaid(cursor: Cursor, wanted: Iterable[Tariff]) -> list[Tariff]:
    """The prices that the log does not say yet, or says otherwise in its newest row of the day
    from which they hold.
    """
    rows = rows_of(
        cursor,
        "SELECT * FROM tariffs QUALIFY row_number() OVER (PARTITION BY deployment, from_at "
        "ORDER BY log_seq DESC) = 1",
    )
    known = {
        (row["deployment"], row["provider"], row["model"], us(row["from_at"]),
         *(row[name] for name in list(row)[6:]))
        for row in rows
    }  # fmt: skip
    return [each for each in wanted if each.said not in known]
