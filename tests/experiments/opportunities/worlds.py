"""Small worlds of requests whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.offline.savings import DrawnRequests
from experiments.opportunities.traffic import DAY_US, Calls, Checks, Traffic
from experiments.statistics.inputs import Floats, Ints

FIRST = 20_000 * DAY_US
NAMES = ("small", "wide")
COSTS = np.array([200.0, 1_000.0])  # mean micro-dollars of a request
QUALITY = np.array([0.70, 0.78])


def words(*each: str) -> Any:
    return np.array(each, dtype=object)


def no_checks() -> Checks:
    none = np.zeros(0, dtype=np.int64)
    return Checks(none, words(), none, np.zeros(0), np.zeros(0), np.zeros(0))


def checks(chance: Floats, value: Floats, cost: int = 300, task: str = "code") -> Checks:
    """One a quarter of an hour, each judged for sure."""
    count = len(chance)
    at = FIRST + np.arange(count, dtype=np.int64) * (DAY_US // 96)
    return Checks(at, words(*[task] * count), np.full(count, cost, dtype=np.int64),
                  chance, value, np.ones(count))  # fmt: skip


def draws_of(drawn: Ints, propensities: Floats, cost: Ints, quality: Floats) -> DrawnRequests:
    count = len(drawn)
    unknown = np.full((count, len(NAMES)), np.nan)
    return DrawnRequests(
        NAMES, words(*["code"] * count), drawn, propensities, np.ones(count), cost / 1e6, quality,
        quality, unknown, unknown, unknown,
    )  # fmt: skip


def traffic_of(at_us: Ints, cost: Ints, **given: Any) -> Traffic:
    """Requests of one task and tenant, nobody drawn, but for what is given."""
    count = len(cost)
    plain: dict[str, Any] = {
        "ended_us": at_us + 1_000_000, "task": words(*["code"] * count),
        "tenant": words(*["acme"] * count), "key": words(*["k"] * count),
        "feature": words(*[""] * count), "deployment": words(*["wide"] * count),
        "same": np.full(count, -1), "draw": np.full(count, -1),
        "held": np.zeros(count, bool), "stream": np.zeros(count, bool),
        "keepable": np.ones(count, bool), "settled": np.zeros(count, bool),
        "labels": np.zeros(count, dtype=np.int64),
        "labelled": (frozenset({"tier:free"}), frozenset({"tier:free", "nightly"})),
        "draws": draws_of(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0, np.int64),
                          np.zeros(0)),
        "checks": no_checks(), "calls": None,
    }  # fmt: skip
    return Traffic(at_us=at_us, cost=cost, **(plain | given))


@dataclass(frozen=True)
class World:
    """A seeded span; the truth is of the requests as they were, for the chances as they were."""

    traffic: Traffic
    true_saved: float  # micro-dollars, all of code on small
    true_quality: float  # its change of an answer


def world(seed: int, days: int = 14, a_day: int = 150, floor: float = 0.1) -> World:
    """Hard requests cost more and are given to the wide one more often, so plain means mislead; a
    fifth repeat one of 40 prompts; a quarter is marked nightly; sessions of two turns.
    """
    rng = np.random.default_rng(seed)
    counts = rng.poisson(a_day * np.where(np.arange(days) % 7 < 5, 1.0, 0.5))
    day = np.repeat(np.arange(days), counts)
    count = len(day)
    at = np.sort(FIRST + day * DAY_US + rng.integers(0, DAY_US, count))
    hard = rng.random(count)
    wide = np.clip(floor + (1.0 - 2.0 * floor) * hard, 0.0, 1.0)
    propensities = np.column_stack([1.0 - wide, wide])
    drawn = (rng.random(count) < wide).astype(np.int64)
    size = 0.4 + 1.2 * hard
    cost = np.rint(COSTS[drawn] * size * rng.lognormal(-0.18, 0.6, count)).astype(np.int64)
    mean = QUALITY[None, :] - 0.3 * hard[:, None] * np.array([1.0, 0.4])
    quality = (rng.random(count) < mean[np.arange(count), drawn]).astype(np.float64)
    expected = COSTS[None, :] * size[:, None]
    quality[rng.random(count) > 0.5] = np.nan
    repeated = rng.random(count) < 0.2
    made = traffic_of(
        at, cost, draw=np.arange(count), draws=draws_of(drawn, propensities, cost, quality),
        same=np.where(repeated, rng.integers(0, 40, count), 1_000 + np.arange(count)),
        labels=(rng.random(count) < 0.25).astype(np.int64),
        deployment=np.array(NAMES, dtype=object)[drawn],
        checks=checks(rng.random(300), (rng.random(300) < 0.85).astype(float)),
    )  # fmt: skip
    spent = (propensities * expected).sum(1)
    rated = (propensities * mean).sum(1)
    return World(made, float((spent - expected[:, 0]).sum()), float((mean[:, 0] - rated).mean()))


def with_calls(made: Traffic) -> Traffic:
    """A call a request; tokens out that the small one's price of 2 dollars a million explains."""
    count = len(made)
    return replace(made, calls=Calls(
        np.arange(count), made.deployment, np.zeros(count, np.int64), made.cost // 2,
        np.zeros(count, np.int64), np.ones(count, bool), made.cost,
    ))  # fmt: skip
