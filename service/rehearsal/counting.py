"""The day's history counted: money by its labels, fallbacks, alerts, people, and what was saved."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.errors import CannotSay
from experiments.offline.savings import ALL, Baseline, Saving, savings
from experiments.statistics.moments import Interval
from service.rehearsal.playing import START_US
from service.storage.batch_savings import SavingsAsked, batch_savings
from service.storage.costs import Costs, CostsAsked, costs
from service.storage.drawn import Asked, drawn_requests
from service.storage.history import connect, query

UNTIL_US = START_US + 2 * 86_400_000_000
BY = ("task", "tier", "deployment", "role")

_SPENT = """
    SELECT coalesce(run, decision_id::VARCHAR), sum(cost_micro_usd)::BIGINT
    FROM outcomes LEFT JOIN (
        SELECT unnest(decisions) AS step, any_value(run_id::VARCHAR) AS run FROM workflow_steps
        GROUP BY 1) ON decision_id::VARCHAR = step
    GROUP BY 1"""
_RUNS = """
    SELECT workflow, state, count(*), sum(calls)::BIGINT, sum(cost_micro_usd)::BIGINT,
           round(median(latency_s), 6)
    FROM workflow_runs GROUP BY ALL ORDER BY ALL"""
_STEPS = """
    SELECT step, count(*), count(*) FILTER (state = 'done'), sum(cost_micro_usd)::BIGINT
    FROM workflow_steps GROUP BY 1 ORDER BY 1"""
_KEPT = """
    SELECT kind, count(*), sum(saved_micro_usd)::BIGINT FROM cached_answers
    GROUP BY ALL ORDER BY ALL"""
_FALLBACKS = """
    SELECT failed, error_kind, tried, count(*), count(*) FILTER (answered) FROM fallbacks
    GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3"""
_ALERTS = """
    SELECT rule, scope, severity, strftime(fired, '%H:%M'), round(lasted_s / 60), acted,
           paged IS NOT NULL
    FROM alert_episodes ORDER BY fired, rule, scope"""
_BREAKERS = """
    SELECT deployment, strftime(opened, '%H:%M'), round(lasted_s / 60, 1), openings
    FROM breaker_episodes ORDER BY opened, deployment"""
_PEOPLE = """
    SELECT kind, why, count(*), round(avg(confidence), 6) FROM review_items
    GROUP BY ALL ORDER BY ALL"""
_SURE = """
    SELECT count(*), count(*) FILTER (task_confidence < 0.75) FROM decisions
    WHERE task_source <> 'condition'"""
_REFUSED = "SELECT count(*), count(repeat_of) FROM refusals"
_STARS = """
    SELECT count(*), round(avg(quality), 9), round(stddev_samp(quality), 9) FROM ratings
    WHERE quality IS NOT NULL"""
_BATCHED = """
    SELECT decision_id::VARCHAR, sum(list_micro_usd - paid_micro_usd)::BIGINT FROM batch_requests
    WHERE decision_id IS NOT NULL GROUP BY 1"""
_BATCH_SPENT = """
    SELECT coalesce(sum(cost_micro_usd), 0)::BIGINT FROM outcomes
    WHERE decision_id IN (SELECT decision_id FROM batch_requests)"""
_DRAWN = "SELECT mode, count(*) FROM decisions GROUP BY ALL ORDER BY ALL"


@dataclass(frozen=True, slots=True)
class Counted:
    """What the history says. ``spent``: micro-dollars by decision, or by the run of a workflow that
    it was made for; the rest as rows. ``batches``: their savings ledger; ``batched``: what each
    decision of theirs cost less than alone; ``batch_spent``: what these decisions cost, by the
    outcomes.
    """

    money: Costs
    spent: Mapping[str, int]
    fallbacks: list[tuple[Any, ...]]
    alerts: list[tuple[Any, ...]]
    breakers: list[tuple[Any, ...]]
    people: list[tuple[Any, ...]]
    unsure: tuple[int, int]
    refusals: tuple[int, int]
    ratings: tuple[int, float | None, float | None]
    modes: list[tuple[Any, ...]]
    runs: list[tuple[Any, ...]]
    steps: list[tuple[Any, ...]]
    kept: list[tuple[Any, ...]]
    batches: Mapping[str, Any]
    batched: Mapping[str, int]
    batch_spent: int
    savings: tuple[Saving, ...]


def counted(state_dir: Path) -> Counted:
    """Count a day's published history; raises StorageError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection = connect(state_dir)
    try:

        def rows(sql: str) -> list[tuple[Any, ...]]:
            return query(connection, sql)[1]

        log = drawn_requests(connection, Asked(START_US, UNTIL_US))
        several = log.of((log.propensities > 0.0).sum(1) > 1)
        return Counted(
            costs(connection, CostsAsked(BY, START_US, UNTIL_US)), dict(rows(_SPENT)),
            rows(_FALLBACKS), rows(_ALERTS), rows(_BREAKERS), rows(_PEOPLE), rows(_SURE)[0],
            rows(_REFUSED)[0], rows(_STARS)[0], rows(_DRAWN),
            rows(_RUNS), rows(_STEPS), rows(_KEPT),
            batch_savings(connection, SavingsAsked(START_US, UNTIL_US)), dict(rows(_BATCHED)),
            int(rows(_BATCH_SPENT)[0][0]),
            savings(several) if len(several) > 1 else (),
        )  # fmt: skip
    finally:
        connection.close()


def said(saving: Saving) -> dict[str, Any]:
    """A saving for machines: an interval, or why nothing can be said."""

    def figure(value: Interval | CannotSay) -> dict[str, Any]:
        if isinstance(value, CannotSay):
            return {"cannot_say": str(value)}
        return {"estimate": value.estimate, "low": value.low, "high": value.high}

    return {
        "against": saving.baseline.value, "deployment": saving.deployment, "draws": saving.draws,
        "rated": saving.rated, "spent_usd": saving.spent_usd,
        "where": saving.where, "saved_usd": figure(saving.saved_usd),
        "quality_gained": figure(saving.quality_gained),
        "unsaid": dict(saving.unsaid),
    }  # fmt: skip


def overall(found: tuple[Saving, ...]) -> list[Saving]:
    """Of all tasks together, each baseline once."""
    return [each for each in found if each.task == ALL and each.baseline in tuple(Baseline)]
