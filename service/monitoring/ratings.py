"""Who rates, what that may hide, and whose ratings do not count: as an operator is shown it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.statistics.response_rate import Cell, Rate, rates_of
from service.monitoring.responses import seen

LOW_TRUST = 0.5
MOST_TASKS = 100


def report(cells: Sequence[Cell]) -> dict[str, Any]:
    """Rates of response by deployment and by task, whether they are even within task and day, and
    how far a deployment's mean may be off whatever those think who did not rate.
    """
    found = seen(cells)
    tasks = sorted({cell.task for cell in cells})
    rates = {
        task: rates_of([cell for cell in cells if cell.task == task and cell.answers])
        for task in tasks[:MOST_TASKS]
    }
    return {
        "verdict": found.report.verdict.value,
        "reason": found.report.reason,
        "e_value": found.report.e_value,
        "most_uneven_task": found.report.task,
        "deployments": [
            _rate(rate) | {
                "mean_rating": _number(each.bounds.estimate),
                "mean_at_least": each.bounds.low,
                "mean_at_most": each.bounds.high,
                "hidden_bias": each.bounds.high - each.bounds.low,
                "mean_weighted_by_task": each.weighted,
            }
            for rate, each in zip(found.report.rates, found.qualities, strict=True)
        ],
        "tasks": [_rate(rate) | {"task": task} for task in rates for rate in rates[task]],
    }  # fmt: skip


def authors(
    rows: Sequence[Mapping[str, Any]],
    trust: Callable[[str], float],
    observed: Callable[[str], float],
) -> list[dict[str, Any]]:
    """Of each author, by its key's id, what counted and how far it is believed: those who were
    capped or are little believed first.
    """
    told = [
        {
            "key_id": row["author"],
            "ratings": row["ratings"],
            "counted": row["counted"],
            "weight": row["weight"],
            "users": row["raters"],
            "mostly_for": row["mostly"] or "",
            "trust": trust(row["author"]),
            "seen_beside_others": observed(row["author"]),
        }
        for row in rows
    ]
    for each in told:
        each["low_trust"] = each["trust"] < LOW_TRUST
    return sorted(told, key=lambda each: (not each["low_trust"], each["counted"] - each["ratings"]))


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "deployment": rate.deployment,
        "answers": rate.answers,
        "rated": rate.rated,
        "rate": rate.interval.estimate,
        "rate_low": rate.interval.low,
        "rate_high": rate.interval.high,
    }


def _number(value: float) -> float | None:
    return value if value == value else None  # not a number: nobody has rated
