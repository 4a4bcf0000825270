"""Days of traffic by task and deployment: seeded, with a weekday shape, and changes put in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from experiments.mix import Bill
from experiments.series import ALL, Cell

DEPLOYMENTS, TASKS = ("weak", "middle", "strong"), ("chat", "code", "maths")
PRICES = {"weak": (2e-7, 6e-7), "middle": (1e-6, 4e-6), "strong": (5e-6, 1.5e-5)}
MONDAY = 20_549  # 6 April 2026

Change = Callable[[int, str, str, dict[str, Any]], None]  # alters the figures of a day's cell


def traffic(
    days: int, seed: int, change: Change | None = None, requests: float = 400.0, noise: float = 0.03
) -> list[Cell]:
    """Cells of so many days from a Monday on. ``noise``: of the days themselves, relative."""
    rng, made = np.random.default_rng(seed), []
    for day in range(days):
        weekend = (MONDAY + day + 3) % 7 >= 5
        for task in TASKS:
            for deployment in DEPLOYMENTS:
                figures: dict[str, Any] = {
                    "requests": requests * (0.4 if weekend else 1.0),
                    "out": (250.0 if task == "code" else 120.0) * (0.8 if weekend else 1.0),
                    "in": 300.0, "prices": PRICES[deployment], "error": 0.02, "quality": 0.7,
                    "rated": 0.2, "p95": 2.0 * (0.9 if weekend else 1.0),
                }  # fmt: skip
                if change is not None:
                    change(day, task, deployment, figures)
                made.append(cell(MONDAY + day, task, deployment, figures, rng, noise))
    return made + sums(made)


def cell(
    day: int, task: str, deployment: str, f: dict[str, Any], rng: np.random.Generator, noise: float
) -> Cell:
    """A day's cell of its figures, each with the day's own noise and that of sampling."""
    n = int(rng.poisson(f["requests"] * np.exp(noise * rng.standard_normal())))
    if not n:
        return Cell(day, deployment, task)
    own = np.exp(noise * rng.standard_normal(4))
    x = rng.gamma(2.0, f["in"] * own[0] / 2.0, n)
    y = rng.gamma(2.0, f["out"] * own[1] / 2.0, n)
    a, b = f["prices"]
    c = a * x + b * y
    failed, rated = rng.binomial(n, f["error"]), rng.binomial(n, min(1.0, f["rated"]))
    good = np.clip(f["quality"] * own[2] + 0.2 * rng.standard_normal(rated), 0.0, 1.0)
    p95 = f["p95"] * own[3] * np.exp(0.9 / np.sqrt(n) * rng.standard_normal())
    bill = Bill(*(float(u @ v) for u, v in ((x, x), (x, y), (y, y), (x, c), (y, c))))
    return Cell(
        day, deployment, task, n, float(c.sum()), float(c @ c), float(x.sum()), float(y.sum()),
        float(y @ y), n, float(p95), 0.9 / np.sqrt(n), n, failed, n, rated, float(good.sum()),
        float(good @ good), bill,
    )  # fmt: skip


def sums(cells: list[Cell]) -> list[Cell]:
    """The roll-ups over tasks, and over all."""
    found: dict[tuple[int, str], list[Cell]] = {}
    for each in cells:
        for deployment in (each.deployment, ALL):
            found.setdefault((each.day, deployment), []).append(each)
    return [_sum(day, deployment, group) for (day, deployment), group in found.items()]


def _sum(day: int, deployment: str, group: list[Cell]) -> Cell:
    names = [each.name for each in fields(Cell)][3:]
    whole = {name: sum(getattr(e, name) for e in group) for name in names if name != "bill"}
    bill = Bill()
    for each in group:
        bill = bill + each.bill
    answered = max(1.0, whole["answered"])
    whole["p95_s"] = sum(e.p95_s * e.answered for e in group) / answered
    whole["p95_error"] = 0.9 / answered**0.5
    return replace(Cell(day, deployment, ALL), bill=bill, **whole)
