"""The policy of a made-up past, in closed form: lagged true utilities, a softmax above a floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.offline.past_cast import Cast
from experiments.offline.past_columns import Flags, Reals, Whole
from experiments.offline.past_events import Happenings

PRIOR = 0.7  # of every quality, before anything is known
KNOWN_H = 60.0  # hours after which 63 % of the truth is known
LAG_H = 30.0  # of what is believed of quality behind the truth
LAG_LATENCY_H, LAG_ERRORS_H = 4.0, 1.0
JITTER, MEMORY = 0.012, 0.9  # of the beliefs' own noise, an hour
SPREAD = 0.35  # of the logarithm of the time to the first token
LEAST_FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class Manner:
    """How a version draws: the softmax's temperature, and what everybody gets at least."""

    temper: float
    floor: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests to be decided: places and numbers, one a row."""

    at_us: Whole
    task: Whole
    prompt: Whole
    turn: Whole
    dial: Reals


@dataclass(frozen=True, slots=True)
class Scores:
    """What is thought of every deployment for every request, [n, K] each."""

    quality: Reals
    cost_usd: Reals
    latency_s: Reals
    error_rate: Reals
    utility: Reals


class Beliefs:
    """What the policy believes at each hour, from the truth up to the hour before."""

    def __init__(self, cast: Cast, happened: Happenings, seed: int) -> None:
        self._cast, self._happened = cast, happened
        hours, count, tasks = happened.hours, len(cast.members), len(cast.tasks)
        at_us = happened.start_us + np.arange(hours) * 3_600_000_000
        shift = np.zeros((hours, count, tasks))
        worse = happened.worse
        inside = (at_us >= worse.begins_us) & (at_us < worse.ends_us)
        shift[inside, worse.deployment, worse.task] = -worse.size
        slowness = np.ones((hours, count))
        slowness[:, happened.slow.deployment] = happened.slowness(at_us)
        errors = np.tile(cast.errors, (hours, 1))
        outage = happened.outage
        down = (at_us >= outage.begins_us) & (at_us < outage.ends_us)
        errors[down, outage.deployment] = 0.5  # few calls reach it: the breaker is open
        noise = np.random.default_rng([seed, 3]).normal(0.0, JITTER, (hours, count, tasks))
        self.quality = cast.quality + _lagged(shift, LAG_H) + _remembered(noise)
        self.known = 1.0 - np.exp(-np.arange(hours) / KNOWN_H)
        self.slowness = _lagged(slowness, LAG_LATENCY_H)
        self.errors = _lagged(errors, LAG_ERRORS_H)

    def prices(self, at_us: Whole) -> Whole:
        """Micro-dollars per million tokens in and out, in force then, [n, K, 2]."""
        event = self._happened.price
        prices = np.tile(self._cast.price, (len(at_us), 1, 1))
        before = at_us < event.begins_us
        old = np.round(self._cast.price[event.deployment] / event.size).astype(np.int64)
        prices[before, event.deployment] = old
        return prices

    def scores(self, asked: Asked) -> Scores:
        """What is thought of every deployment; to six places, cost to nine."""
        cast, prompts = self._cast, self._cast.prompts
        hour = self._happened.hour_of(asked.at_us)
        known = self.known[hour][:, None]
        easy = self.quality[hour, :, asked.task]
        truth = easy - prompts.difficulty[asked.task, asked.prompt][:, None] * cast.slope
        quality = np.clip(PRIOR + known * (truth - PRIOR), 0.0, 1.0)
        long = prompts.tokens_out[asked.task, asked.prompt][:, None] * cast.verbosity
        prices = self.prices(asked.at_us)
        tokens_in = tokens_sent(cast, asked)[:, None]
        cost = np.round((tokens_in * prices[:, :, 0] + long * prices[:, :, 1]) / 1e12, 9)
        first = cast.first_token_s * np.exp(SPREAD**2 / 2.0)
        latency = self.slowness[hour] * (first + long * cast.token_s)
        errors = self.errors[hour]
        told = cast.told
        utility = quality * (1.0 - errors) - asked.dial[:, None] * cost / told.worth_usd
        utility -= latency / told.patience_s
        return Scores(*(np.round(each, 6) for each in (quality, cost, latency, errors, utility)))


def tokens_sent(cast: Cast, asked: Asked) -> Whole:
    """Our own count of the prompt's tokens, the turns before included."""
    from_prompt: Whole = cast.prompts.tokens_in[asked.task, asked.prompt] + 160 * asked.turn
    return from_prompt


def propensities(utility: Reals, eligible: Flags, temper: Reals, floor: Reals) -> Reals:
    """Of every eligible deployment: a softmax above a floor, [n, K]; each row sums to 1.

    ``temper`` and ``floor`` are of the rows. The ineligible have 0.
    """
    scaled = np.where(eligible, utility / temper[:, None], -np.inf)
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    soft = raised / raised.sum(axis=1, keepdims=True)
    left = 1.0 - eligible.sum(axis=1) * floor
    found = np.where(eligible, floor[:, None] + left[:, None] * soft, 0.0)
    normed: Reals = found / found.sum(axis=1, keepdims=True)
    return normed


def drawn(shares: Reals, numbers: Reals) -> Whole:
    """Whom each number in [0, 1) falls on: the first whose running sum exceeds it."""
    sums = np.cumsum(shares, axis=1)
    last = shares.shape[1] - 1 - np.argmax((shares > 0.0)[:, ::-1], axis=1)
    found: Whole = np.minimum((numbers[:, None] >= sums).sum(axis=1), last)
    return found


def _lagged(truth: Reals, lag_h: float) -> Reals:
    """Exponentially smoothed over the hours before."""
    kept = np.exp(-1.0 / lag_h)
    found = np.empty_like(truth)
    state = truth[0].copy()
    for hour in range(len(truth)):
        found[hour] = state
        state = kept * state + (1.0 - kept) * truth[hour]
    return found


def _remembered(noise: Reals) -> Reals:
    """Noise that remembers the hour before."""
    found = noise.copy()
    for hour in range(1, len(noise)):
        found[hour] += MEMORY * found[hour - 1]
    return found
