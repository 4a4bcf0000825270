"""Savings foretold from a history, beside those of the same world run again with the change made.

Tiers: worlds of `headgate generate-history`, every draw of a task to one deployment. The cache: a
day of the content studio through the whole service, without and with its cache.

    python -m benchmarks.savings_come_true [--worlds 6] [--requests 1200] [--seed 20]
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.offline.past import Day, Past
from experiments.offline.past_choices import Choices, Chooser
from experiments.offline.past_rows import Marks
from experiments.opportunities.changes import Cache, Tier
from experiments.opportunities.estimating import alone
from experiments.opportunities.replaying import hits
from experiments.opportunities.traffic import Traffic
from experiments.statistics.inputs import Floats, Ints
from experiments.statistics.moments import Interval
from service.bootstrap.generated import PLAN, Generator, Wish
from service.check import load_checked
from service.rehearsal.playing import Wanted, played
from service.storage.drawn import Asked
from service.storage.history import connect
from service.storage.traffic import traffic

END_US = 1_795_564_800_000_000  # a midnight, UTC
DAYS, DECISIONS = 14, 30_000
EVER = Asked(0, 4_000_000_000_000_000)
STUDIO = Path(__file__).parent.parent / "examples" / "contentforge.yaml"


class AllTo(Chooser):
    """Every draw of each task to one deployment, wherever that had a chance."""

    to: Ints  # by task

    def _draw(self, made: Choices, rows: Ints) -> None:
        super()._draw(made, rows)
        target = self.to[made.asked.task[rows]]
        had = made.eligible[rows, target]
        made.shares[rows[had]] = 0.0
        made.shares[rows[had], target[had]] = 1.0
        made.chosen[rows[had]] = target[had]


def days_of(world: Past, days: int, to: Ints | None = None) -> list[Day]:
    """A world's days, with all draws of each task to one deployment where ``to`` names them."""
    if to is not None:
        world._chooser = chooser = AllTo(world.cast, world.happened, world.beliefs, world.regime)
        chooser.to = to
    trials = tuple(
        (each.id, tuple(v.name for v in each.design.variants),
         tuple(v.share for v in each.design.variants)) for each in world.regime.trials
    )  # fmt: skip
    names, start_us = ("first", "second", "third"), np.full(3, world.happened.start_us)
    told = Marks("default", names, names, trials, start_us, np.arange(3), names)
    return [world.day(number, told) for number in range(days)]


def paid(days: Sequence[Day], tasks: int) -> Floats:
    """Micro-dollars by task."""
    found = [np.bincount(each.choices.asked.task, each.ends.cost, tasks) for each in days]
    return np.asarray(np.sum(found, axis=0), dtype=np.float64)


def of_tiers(seed: int) -> list[tuple[float, float, float, float]]:
    """A world's tiers that can be said: foretold, its interval, and what really came of it."""

    def generator() -> Generator:
        plan = load_checked(PLAN, secrets=False)
        return Generator(plan, Wish(DAYS, DECISIONS, seed, END_US))

    with tempfile.TemporaryDirectory(prefix="headgate-true-") as name:
        generator().write(Path(name))
        with connect(name) as connection:
            read = traffic(connection, EVER)
    world = generator().past
    tasks, names = world.cast.tasks, world.cast.names
    spent, found = paid(days_of(world, DAYS), len(tasks)), []
    for arm, deployment in enumerate(names):
        again = paid(days_of(generator().past, DAYS, np.full(len(tasks), arm)), len(tasks))
        for at, task in enumerate(tasks):
            made = alone(read, Tier(task, deployment))
            if made.refusal is None and isinstance(made.saved, Interval):
                told = made.saved
                found.append((told.estimate, told.low, told.high, float(spent[at] - again[at])))
    return found


def day_of(requests: int, seed: int, kept: bool) -> tuple[Traffic, list[tuple[int, int]]]:
    """A studio's day with its cache or without: its traffic, and how often answers were given
    again, with what these had cost.
    """
    plan = load_checked(STUDIO, secrets=False)
    assert plan.cache is not None
    plan = plan.model_copy(update={"cache": plan.cache.model_copy(update={"enabled": kept})})
    with tempfile.TemporaryDirectory(prefix="headgate-true-") as name:
        played(Wanted(plan, requests, seed, ()), Path(name) / "state", lambda _: None)
        with connect(Path(name) / "state") as connection:
            read = traffic(connection, EVER)
            given = connection.execute(
                "SELECT count(*), coalesce(sum(saved_micro_usd), 0) FROM cached_answers"
            ).fetchall()
    return read, [(int(number), int(saved)) for number, saved in given]


def of_the_cache(requests: int, seed: int) -> dict[str, Any]:
    """Hits and money foretold from the day without a cache, beside those of the day with it."""
    read, _ = day_of(requests, seed, kept=False)
    found = hits(read, Cache("*"))
    _, ((number, saved),) = day_of(requests, seed, kept=True)
    return {
        "requests": len(read), "foretold_hits": int(found.sum()), "hits": number,
        "foretold_micro_usd": int(read.cost[found].sum()), "saved_micro_usd": saved,
    }  # fmt: skip


def main() -> None:
    """Run both and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=1_200)
    parser.add_argument("--seed", type=int, default=20)
    asked = parser.parse_args()
    logging.getLogger("headgate").setLevel(logging.CRITICAL)
    rows = [each for at in range(asked.worlds) for each in of_tiers(asked.seed + at)]
    told = np.array(rows).reshape(-1, 4)
    inside = (told[:, 1] <= told[:, 3]) & (told[:, 3] <= told[:, 2])
    found = {
        "tiers": len(told), "inside": int(inside.sum()),
        "foretold_micro_usd": round(told[:, 0].sum()), "saved_micro_usd": round(told[:, 3].sum()),
        "error_over_half_width": round(float(np.sqrt(np.mean(
            ((told[:, 0] - told[:, 3]) / ((told[:, 2] - told[:, 1]) / 2.0)) ** 2
        ))), 3) if len(told) else None,
    }  # fmt: skip
    print(json.dumps({"tiers": found, "cache": of_the_cache(asked.requests, 5)}, indent=2))


if __name__ == "__main__":
    main()
