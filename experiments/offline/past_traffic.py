"""When requests come in a made-up past, and from whom: days, weeks, sessions of several turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.offline.past_cast import PROMPTS, Cast
from experiments.offline.past_columns import Bytes, Flags, Reals, Whole, hashes
from experiments.offline.past_events import DAY_US, Happenings

WEEK = (1.0, 1.06, 1.08, 1.05, 0.96, 0.52, 0.46)  # Monday first
GROWTH = 0.25  # of the traffic, from the first day to the last
IN_SESSION, OF_USER = 0.45, 0.2  # of those who begin: a conversation; a user without one
MORE, LONGEST = 0.62, 12  # the chance of another turn; turns at most
GAP_S = 70.0
PINNED = 0.02
QUIET_US = 120_000_000  # before the end of all, so that what began has ended


@dataclass(frozen=True, slots=True)
class Visits:
    """Those who begin on a day, one a row: how they ask, and what for."""

    tenant: Whole
    task: Whole
    feature: Whole
    asks_by: Whole  # 0 nobody, 1 a user, 2 a session
    unit: Bytes
    pinned: Whole  # the deployment that the caller names, -1: none
    stream: Flags
    named: Flags  # the caller names the task


@dataclass(frozen=True, slots=True)
class Turns:
    """The requests of a day in the order of time: of which visit, which turn, when, what."""

    visit: Whole
    turn: Whole
    at_us: Whole
    prompt: Whole


def budget(happened: Happenings, decisions: int, seed: int) -> Whole:
    """How many requests each day has; they sum to ``decisions``."""
    days = (happened.end_us - happened.start_us) // DAY_US
    numbers = np.arange(days)
    weekday = (happened.start_us // DAY_US + 3 + numbers) % 7
    wanted = np.array(WEEK)[weekday] * (1.0 + GROWTH * numbers / max(days - 1, 1))
    wanted *= np.exp(np.random.default_rng([seed, 4]).normal(0.0, 0.04, days))
    exact = decisions * wanted / wanted.sum()
    found: Whole = np.floor(exact).astype(np.int64)
    rest = np.argsort(found - exact, kind="stable")[: decisions - int(found.sum())]
    found[rest] += 1
    return found


def task_shares(cast: Cast, part: float) -> Reals:
    """Each task's share of those who begin; the second grows, the first shrinks."""
    base = 1.0 / np.arange(1.0, len(cast.tasks) + 1.0) ** 0.7
    base[0] *= 1.0 - 0.35 * part
    if len(base) > 1:
        base[1] *= 1.0 + 0.8 * part
    found: Reals = base / base.sum()
    return found


def hour_shares() -> Reals:
    """The traffic of the 24 hours, UTC: two humps, quiet nights."""
    hours = np.arange(24)
    shape = (
        0.25 + np.exp(-(((hours - 10.0) / 3.0) ** 2)) + 0.8 * np.exp(-(((hours - 15.5) / 3.5) ** 2))
    )
    found: Reals = shape / shape.sum()
    return found


def day_of(
    cast: Cast, happened: Happenings, day: int, count: int, rng: np.random.Generator
) -> tuple[Visits, Turns]:
    """The requests of one day, exactly ``count``; a conversation ends by midnight."""
    begins_us = happened.start_us + day * DAY_US
    last = begins_us + DAY_US >= happened.end_us
    until_us = begins_us + DAY_US - (QUIET_US if last else 1_000_000)
    visits = _begin(cast, happened, day, count, rng)
    turns = np.ones(count, np.int64)
    turns[visits.asks_by == 2] = np.minimum(
        rng.geometric(1.0 - MORE, int((visits.asks_by == 2).sum())), LONGEST
    )
    turns = turns[: int(np.searchsorted(np.cumsum(turns), 1.3 * count + 20)) + 1]
    owner = np.repeat(np.arange(len(turns)), turns)
    first = np.cumsum(turns) - turns
    number = np.arange(len(owner)) - first[owner]
    gaps = np.where(number == 0, 0, (4.0 + rng.exponential(GAP_S, len(owner))) * 1e6)
    since = np.cumsum(gaps)
    at_us = _starts(begins_us, until_us, len(turns), rng)[owner]
    at_us = at_us + (since - since[first[owner]]).astype(np.int64)
    kept = np.flatnonzero(at_us < until_us)[:count]
    while len(kept) < count:  # conversations cut by midnight: more single requests
        extra = count - len(kept)
        at_us[np.setdiff1d(np.arange(len(owner)), kept)[:extra]] = until_us - 1
        kept = np.flatnonzero(at_us < until_us)[:count]
    order = kept[np.argsort(at_us[kept], kind="stable")]
    prompt = _prompts(cast, visits.task[owner[order]], rng)
    return visits, Turns(owner[order], number[order], at_us[order], prompt)


def _starts(begins_us: int, until_us: int, count: int, rng: np.random.Generator) -> Whole:
    hour = rng.choice(24, count, p=hour_shares())
    within = rng.random(count) * 3600e6
    found: Whole = np.minimum(begins_us + (hour * 3600e6 + within).astype(np.int64), until_us - 1)
    return found


def _begin(
    cast: Cast, happened: Happenings, day: int, count: int, rng: np.random.Generator
) -> Visits:
    days = max((happened.end_us - happened.start_us) // DAY_US - 1, 1)
    tenant = rng.choice(len(cast.tenants), count, p=[each.share for each in cast.tenants])
    task = rng.choice(len(cast.tasks), count, p=task_shares(cast, day / days))
    mine = np.array([each.features for each in cast.tenants])
    feature = mine[tenant, rng.integers(0, mine.shape[1], count)]
    asks_by = rng.choice(3, count, p=[1.0 - IN_SESSION - OF_USER, OF_USER, IN_SESSION])
    named = rng.random(count) < PINNED
    pinned = np.where(named & (asks_by != 2), rng.integers(0, len(cast.members), count), -1)
    return Visits(
        tenant.astype(np.int64), task.astype(np.int64), feature, asks_by.astype(np.int64),
        hashes(count, rng), pinned.astype(np.int64), (feature % 2 == 0) | (rng.random(count) < 0.2),
        rng.random(count) < 0.1,
    )  # fmt: skip


def _prompts(cast: Cast, task: Whole, rng: np.random.Generator) -> Whole:
    found = np.zeros(len(task), np.int64)
    for at in range(len(cast.tasks)):
        mine = task == at
        found[mine] = rng.choice(PROMPTS, int(mine.sum()), p=cast.prompts.share[at])
    return found
