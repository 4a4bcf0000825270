"""Tables with a known truth for reviews: days, and drawn decisions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.reviewing.finding import Rates, Table
from experiments.reviewing.swapping import Drawn

LAST_DAY = 7 * 60 - 1  # a Sunday, counted from a Monday
SHAPE = np.array([1.1, 1.1, 1.05, 1.05, 1.0, 0.5, 0.45])
NAMES = ("brook", "granite", "sage")
RATES = Rates(0.05, 0.05 / 30.0)


def days(
    rng: np.random.Generator,
    lift: Mapping[str, float] | None = None,
    task: str = "",
    weeks: int = 5,
    noise: float = 0.03,
) -> Table:
    """Sums by day of two tasks and three deployments; ``lift`` multiplies sums of the last week
    (of ``task`` alone, where it is named).
    """
    rows: dict[str, list[object]] = {name: [] for name in (
        "day", "task", "deployment", "tenant", "requests", "cost_usd", "quality", "rated", "failed",
        "fallbacks", "latency_s")}  # fmt: skip
    for back in range(7 * weeks):
        day = LAST_DAY - back
        for name in ("extract", "write"):
            for arm in NAMES:
                up = lift if lift and back < 7 and task in ("", name) else {}
                requests = float(rng.poisson(400 * SHAPE[day % 7])) * up.get("requests", 1.0)
                rated = rng.binomial(int(requests), 0.3)
                values = {
                    "requests": requests, "rated": rated,
                    "cost_usd": 0.002 * requests * np.exp(noise * rng.normal()),
                    "quality": rng.binomial(rated, min(1.0, 0.8 * up.get("quality", 1.0))),
                    "failed": rng.binomial(int(requests), 0.01 * up.get("failed", 1.0)),
                    "fallbacks": rng.binomial(int(requests), 0.01),
                    "latency_s": 1.2 * requests * np.exp(noise * rng.normal()),
                }  # fmt: skip
                values["cost_usd"] *= up.get("cost_usd", 1.0)
                whole = {"day": day, "task": name, "deployment": arm, "tenant": "acme", **values}
                for column, value in whole.items():
                    rows[column].append(value)
    return Table({name: np.array(each) for name, each in rows.items()}, "SELECT 1")


def drawn(
    rng: np.random.Generator,
    number: int = 4_000,
    cost: tuple[float, ...] = (0.001, 0.001, 0.001),
    quality: tuple[float, ...] = (0.8, 0.8, 0.8),
    rated: float = 0.4,
) -> Drawn:
    """Decisions of a task with propensities that depend on the context; the predictions are wrong
    by a constant, so that the correction has something to do.
    """
    lean = rng.random(number)
    e = np.column_stack([0.3 + 0.4 * lean, 0.4 - 0.25 * lean, 0.3 - 0.15 * lean])
    arm = (rng.random(number)[:, None] > np.cumsum(e, 1)).sum(1)
    costs, means = np.array(cost), np.array(quality)
    told = (rng.random(number) < np.clip(means[arm] * (0.9 + 0.2 * lean), 0, 1)).astype(float)
    return Drawn(
        task="extract", names=NAMES, drawn=arm, propensities=e / e.sum(1, keepdims=True),
        values={
            "cost_usd": costs[arm] * rng.gamma(8.0, 1.0 / 8.0, number),
            "quality": np.where(rng.random(number) < rated, told, np.nan),
            "latency_s": rng.lognormal(0.0, 0.3, number),
        },
        foretold={
            "cost_usd": np.tile(costs * 1.3, (number, 1)),
            "quality": np.tile(means - 0.1, (number, 1)),
            "latency_s": np.full((number, 3), np.nan),
        },
        cell=rng.integers(0, 2, number), cells=("acme", "bolt"),
    )  # fmt: skip
