"""Who rated what in a made-up past: a minority, some late, some who change their minds, judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.offline.past_calls import Ends
from experiments.offline.past_cast import Cast
from experiments.offline.past_choices import Choices
from experiments.offline.past_columns import Bytes, Flags, Reals, Whole, ids_at
from experiments.offline.past_events import DAY_US, Happenings

LATE, LATE_DAYS = 0.12, 1.5  # of the ratings, and the mean of how late
SOON = 3.8, 1.1  # of the logarithm of the seconds until the others
REVISED = 0.05
JUDGED, JUDGED_RATED = 0.004, 0.1  # of all answers, and of those that were rated
CONCENTRATION = 7.0  # of the beta distribution of single answers round the mean
FLATTERED = 0.06  # what judges give the dearest deployment too much
STEPS = {"unit": 20, "stars": 4}


@dataclass(frozen=True, slots=True)
class Ratings:
    """A row a rating; ``row``: of which request, ``revises``: the row that it replaces, -1."""

    ids: Bytes
    row: Whole
    at_us: Whole
    quality: Reals
    judged: Flags
    revises: Whole


def true_quality(cast: Cast, happened: Happenings, made: Choices) -> Reals:
    """The mean quality that every deployment's answer would have had, [n, K]."""
    asked = made.asked
    difficulty = cast.prompts.difficulty[asked.task, asked.prompt]
    worse = happened.worse
    inside = (asked.at_us >= worse.begins_us) & (asked.at_us < worse.ends_us)
    inside &= asked.task == worse.task
    found = cast.quality_of(asked.task, difficulty)
    taken = np.clip(found[inside, worse.deployment] - worse.size, 0.02, 0.98)
    found[inside, worse.deployment] = taken
    return found


def rate(
    cast: Cast, made: Choices, ends: Ends, quality: Reals, rng: np.random.Generator
) -> Ratings:
    """The ratings of a day's answers; of each the mean is the truth, whatever its scale."""
    answered = ends.status == 200
    wanted = rng.random(len(answered)) < cast.rating_rate[made.asked.task]
    mine = np.flatnonzero(answered & wanted)
    late = rng.random(len(mine)) < LATE
    delay = np.where(
        late, rng.exponential(LATE_DAYS * DAY_US, len(mine)),
        rng.lognormal(*SOON, len(mine)) * 1e6 + 1_500_000,
    ).astype(np.int64)  # fmt: skip
    at_us = ends.at_us[mine] + delay
    given = _given(quality[mine, ends.deployment[mine]], cast.told.scale, rng)
    turned = np.flatnonzero(rng.random(len(mine)) < REVISED)
    again_us = at_us[turned] + rng.exponential(DAY_US / 4, len(turned)).astype(np.int64) + 5_000_000
    second = mine[turned]
    changed = _given(quality[second, ends.deployment[second]], cast.told.scale, rng)
    rows, times, values = [mine, second], [at_us, again_us], [given, changed]
    revises = [np.full(len(mine), -1), turned]
    if cast.told.judged:
        looked = rng.random(len(answered))
        share = np.where(answered & wanted, JUDGED_RATED, JUDGED)
        shown = np.flatnonzero(answered & (looked < share))
        arm = ends.deployment[shown]
        flattered = np.where(cast.ranks[arm] == len(cast.members) - 1, FLATTERED, 0.0)
        mean = np.clip(quality[shown, arm] + flattered, 0.0, 0.99)
        rows.append(shown)
        times.append(ends.at_us[shown] + rng.integers(300, 3_600, len(shown)) * 1_000_000)
        values.append(_given(mean, cast.told.judged_scale, rng))
        revises.append(np.full(len(shown), -1))
    row, at = np.concatenate(rows), np.concatenate(times)
    judged = np.arange(len(row)) >= len(mine) + len(second)
    return Ratings(
        ids_at(at, rng), row, at, np.concatenate(values), judged, np.concatenate(revises)
    )


def _given(mean: Reals, scale: str, rng: np.random.Generator) -> Reals:
    """Ratings on their scale's grid, as quality in [0, 1], with exactly that mean."""
    single = rng.beta(mean * CONCENTRATION, (1.0 - mean) * CONCENTRATION)
    steps = STEPS[scale]
    found: Reals = rng.binomial(steps, single) / steps
    return found
