"""What the charts of a review show, as plain series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from experiments.reviewing.finding import CONFIDENCE, Table
from experiments.reviewing.serving import percentile

LEAST_RATED = 10  # of a dot
LEAST_REQUESTS = 20  # of a band
DAYS = 7


def weights(seen: Table, steps: int) -> dict[str, dict[str, list[float | None]]]:
    """Shares by task and deployment over the ``steps`` of the week; None where none was told.

    ``seen``: task, deployment, step, share; or requests in place of the share.
    """
    told: dict[str, dict[str, list[float | None]]] = {}
    name = "share" if "share" in seen.columns else "requests"
    sums: dict[tuple[str, int], float] = {}
    for row in seen.rows():
        task, at = str(row["task"]), int(row["step"])
        if not 0 <= at < steps:
            continue
        series = told.setdefault(task, {}).setdefault(str(row["deployment"]), [None] * steps)
        series[at] = float(row[name])
        sums[task, at] = sums.get((task, at), 0.0) + float(row[name])
    for task, by in told.items():
        for series in by.values():
            for at, value in enumerate(series):
                whole = sums.get((task, at), 0.0)
                series[at] = None if not whole else round((value or 0.0) / whole, 4)
    return told


def spend(days: Table, last_day: int) -> dict[str, list[float]]:
    """Dollars by deployment and day of the week."""
    told: dict[str, list[float]] = {}
    for row in days.rows():
        at = int(row["day"]) - (last_day - DAYS + 1)
        if 0 <= at < DAYS:
            series = told.setdefault(str(row["deployment"]), [0.0] * DAYS)
            series[at] += float(row["cost_usd"])
    return {name: [round(each, 6) for each in series] for name, series in sorted(told.items())}


def quality(rated: Table) -> list[dict[str, Any]]:
    """Mean ratings of drawn answers with Student's intervals, by task and deployment."""
    told = []
    for row in rated.rows():
        number = float(row["rated"])
        if number < LEAST_RATED:
            continue
        mean = float(row["quality"]) / number
        variance = max(float(row["squares"]) / number - mean**2, 0.0) * number / (number - 1)
        reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, number - 1)) * math.sqrt(
            variance / number
        )
        told.append({
            "task": str(row["task"]), "deployment": str(row["deployment"]), "rated": int(number),
            "mean": round(mean, 4), "low": round(max(0.0, mean - reach), 4),
            "high": round(min(1.0, mean + reach), 4),
        })  # fmt: skip
    return told


def latency(latencies: Table) -> dict[str, list[dict[str, float] | None]]:
    """By task and day the median, the 90th and the 95th percentile, in seconds."""
    told: dict[str, list[dict[str, float] | None]] = {}
    tasks = latencies["task"].astype(str)
    for task in np.unique(tasks):
        mine = latencies.where(tasks == task)
        told[str(task)] = []
        for day in range(DAYS):
            part = mine.where(mine["day"] == day)
            if part.number("requests").sum() < LEAST_REQUESTS:
                told[str(task)].append(None)
                continue
            shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95}
            told[str(task)].append(
                {name: round(percentile(part, share), 4) for name, share in shares.items()}
            )
    return told


def responses(rates: Table) -> list[dict[str, Any]]:
    """Share of drawn answers that were rated, by task and deployment."""
    sums: dict[tuple[str, str], list[int]] = {}
    for row in rates.rows():
        mine = sums.setdefault((str(row["task"]), str(row["deployment"])), [0, 0])
        mine[0] += int(row["answers"])
        mine[1] += int(row["rated"])
    return [
        {"task": task, "deployment": deployment, "answers": answers, "rated": rated,
         "rate": round(rated / answers, 4)}
        for (task, deployment), (answers, rated) in sorted(sums.items()) if answers
    ]  # fmt: skip
