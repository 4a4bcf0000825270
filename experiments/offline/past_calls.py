"""What the calls of a made-up past showed: latency, tokens, money, failures, and who came next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.offline.past_cast import Cast
from experiments.offline.past_choices import PINNED, Choices
from experiments.offline.past_columns import Flags, Reals, Whole
from experiments.offline.past_events import OUTAGE_FAILS, Happenings
from experiments.offline.past_policy import SPREAD, Beliefs, tokens_sent

KINDS = (
    "timeout", "connection", "rate_limit", "overloaded", "server", "malformed", "cut", "policy",
    "invalid", "cancelled",
)  # fmt: skip
TIMEOUT, CONNECTION, RATE_LIMIT, OVERLOADED, SERVER, MALFORMED, CUT, POLICY, INVALID, CANCELLED = (
    range(10)
)
STATUS = np.array([0, 0, 429, 529, 500, 200, 200, 400, 400, 0, 200])  # the last: answered
FINAL = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0], bool)  # nobody else is asked
TRANSIENT = np.array([0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0], bool)
BLAMED = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0], bool)  # by the learner, on the deployment
USUAL = np.array([0.2, 0.1, 0.25, 0.2, 0.2, 0.05])
IN_OUTAGE = np.array([0.1, 0.5, 0.0, 0.0, 0.4, 0.0])
OWN = ((CUT, 0.0008), (POLICY, 0.0015), (INVALID, 0.001), (CANCELLED, 0.004))
TIMEOUTS_S = (30.0, 25.0, 20.0)
TAIL, TAIL_SHAPE = 0.01, 1.5  # of the calls take so many times as long (Pareto)
LENGTH_SPREAD = 0.6  # of the logarithm of an answer's length
CACHED = 0.6  # of what is sent again, the providers say


@dataclass(frozen=True, slots=True)
class Calls:
    """A row a call, in the order of their number; ``row``: of which request. ``kind`` -1: it
    was answered.
    """

    row: Whole
    number: Whole
    deployment: Whole
    kind: Whole
    ttft_s: Reals
    latency_s: Reals
    tokens_in: Whole
    tokens_out: Whole
    cached: Whole
    cost: Whole
    estimated: Flags
    ended_us: Whole

    @property
    def answered(self) -> Flags:
        """Whether there was an answer."""
        return self.kind < 0


@dataclass(frozen=True, slots=True)
class Ends:
    """A row a request: what its calls showed together. ``deployment``: -1 where nobody answered."""

    at_us: Whole
    deployment: Whole
    fell_back: Flags
    status: Whole
    kind: Whole
    latency_s: Reals
    ttft_s: Reals
    overhead_s: Reals
    attempts: Whole
    tokens_in: Whole
    tokens_out: Whole
    cached: Whole
    cost: Whole
    estimated: Flags
    last: Whole  # the row of the last call


class Providers:
    """The deployments as they really were."""

    def __init__(self, cast: Cast, happened: Happenings, beliefs: Beliefs) -> None:
        self._cast, self._happened, self._beliefs = cast, happened, beliefs

    def answer(self, made: Choices, stream: Flags, rng: np.random.Generator) -> tuple[Calls, Ends]:
        """The calls of a day's requests and how each ended."""
        count, width = len(made.chosen), len(self._cast.members)
        overhead = np.round(0.001 + rng.lognormal(-5.8, 0.4, count), 5)
        clock = made.asked.at_us + (overhead * 1e6).astype(np.int64)
        tried = np.zeros((count, width), np.int64)
        rows, arm = np.arange(count), made.chosen.copy()
        rounds: list[Calls] = []
        for number in range(len(TIMEOUTS_S)):
            calls = self._round(made, (rows, arm[rows]), stream, clock, number, rng)
            rounds.append(calls)
            clock[rows] = calls.ended_us
            tried[rows, calls.deployment] += 1
            again = (calls.kind >= 0) & ~FINAL[calls.kind] & (made.mode[rows] != PINNED)
            rows, kinds = rows[again], calls.kind[again]
            following = self._following(made, rows, tried, kinds)
            arm[rows] = following
            rows = rows[following >= 0]
            if not len(rows):
                break
        joined = Calls(
            *(np.concatenate([getattr(each, name) for each in rounds]) for name in Calls.__slots__)
        )
        return joined, _ends(joined, made, overhead, count)

    def _following(self, made: Choices, rows: Whole, tried: Whole, kinds: Whole) -> Whole:
        """Who is asked next: the best of the others, another provider first; the same once more
        where nobody else is left and the failure may pass; -1 nobody.
        """
        if not len(rows):
            return np.zeros(0, np.int64)
        names = [each.provider for each in self._cast.members]
        provider = np.array([names.index(each) for each in names])
        down = (tried[rows] > 0) @ (provider[:, None] == provider[None, :])
        left = made.eligible[rows] & (tried[rows] == 0)
        rank = np.where(left, made.scores.utility[rows] - 1e3 * down, -np.inf)
        best = rank.argmax(axis=1)
        alone = ~left.any(axis=1)
        last = made.chosen[rows]
        once = TRANSIENT[kinds] & (tried[rows].sum(axis=1) == 1)
        found: Whole = np.where(~alone, best, np.where(once, last, -1))
        return found

    def _round(
        self, made: Choices, who: tuple[Whole, Whole], stream: Flags, clock: Whole, number: int,
        rng: np.random.Generator,
    ) -> Calls:  # fmt: skip
        cast, asked = self._cast, made.asked
        rows, arm = who
        count, at_us = len(rows), clock[rows]
        task, prompt = asked.task[rows], asked.prompt[rows]
        first = cast.first_token_s[arm] * rng.lognormal(0.0, SPREAD, count)
        mean = cast.prompts.tokens_out[task, prompt] * cast.verbosity[arm]
        long = mean * rng.lognormal(-(LENGTH_SPREAD**2) / 2.0, LENGTH_SPREAD, count)
        limit = cast.prompts.limit[task, prompt]
        long = np.where(limit > 0, np.minimum(long, limit), long)
        tokens_out = np.maximum(np.round(long), 1).astype(np.int64)
        factor = np.where(rng.random(count) < TAIL, 1.0 + rng.pareto(TAIL_SHAPE, count), 1.0)
        slow = np.where(arm == self._happened.slow.deployment, self._happened.slowness(at_us), 1.0)
        first, whole = first * factor * slow, (first + long * cast.token_s[arm]) * factor * slow
        sent = np.round(tokens_sent(cast, asked)[rows] * rng.lognormal(0.0, 0.04, count))
        tokens_in = np.maximum(sent, 1).astype(np.int64)
        kind = self._kinds(arm, at_us, stream[rows], number, rng)
        kind = np.where((kind < 0) & (whole > TIMEOUTS_S[number]), TIMEOUT, kind)
        whole = _waited(kind, whole, number, rng)
        billed = (kind < 0) | np.isin(kind, (TIMEOUT, MALFORMED, CUT, CANCELLED))
        part = np.where(np.isin(kind, (CUT, CANCELLED)), rng.random(count), 1.0)
        part[(kind == TIMEOUT) | ~billed] = 0.0
        tokens_out = np.floor(tokens_out * part).astype(np.int64)
        tokens_in = np.where(billed, tokens_in, 0)
        price = self._beliefs.prices(at_us)[np.arange(count), arm]
        cost = (tokens_in * price[:, 0] + tokens_out * price[:, 1] + 500_000) // 1_000_000
        again = (kind < 0) & (asked.turn[rows] > 0)
        cached = np.where(again, np.floor(CACHED * tokens_in), 0).astype(np.int64)
        began = stream[rows] & ((kind < 0) | (kind == CUT))
        whole = np.round(whole, 4)
        return Calls(
            rows, np.full(count, number + 1), arm, kind,
            np.where(began, np.minimum(np.round(first, 4), whole), np.nan), whole, tokens_in,
            tokens_out, cached, cost, np.isin(kind, (TIMEOUT, CUT, CANCELLED)),
            at_us + np.round(whole * 1e6).astype(np.int64),
        )  # fmt: skip

    def _kinds(
        self, arm: Whole, at_us: Whole, stream: Flags, number: int, rng: np.random.Generator
    ) -> Whole:
        outage = self._happened.outage
        down = (arm == outage.deployment) & (at_us >= outage.begins_us) & (at_us < outage.ends_us)
        fails = rng.random(len(arm)) < np.where(down, OUTAGE_FAILS, self._cast.errors[arm])
        usual = rng.choice(len(USUAL), len(arm), p=USUAL)
        hard = rng.choice(len(IN_OUTAGE), len(arm), p=IN_OUTAGE)
        kind = np.where(fails, np.where(down, hard, usual), -1)
        luck, below = rng.random(len(arm)), 0.0
        for own, share in OWN:
            if own == CUT or number == 0:
                here = (luck >= below) & (luck < below + share) & (kind < 0)
                kind[here & (stream | (own != CUT))] = own
            below += share
        found: Whole = kind.astype(np.int64)
        return found


def _waited(kind: Whole, whole: Reals, number: int, rng: np.random.Generator) -> Reals:
    """How long a failed call took, of its kind."""
    quick = rng.lognormal(-2.0, 0.8, len(kind))
    part = whole * rng.random(len(kind))
    waited = np.where(kind < 0, whole, np.minimum(quick, TIMEOUTS_S[number]))
    waited = np.where(np.isin(kind, (CUT, CANCELLED)), np.minimum(part, 30.0), waited)
    found: Reals = np.where(kind == TIMEOUT, TIMEOUTS_S[number], waited)
    return found


def _ends(calls: Calls, made: Choices, overhead: Reals, count: int) -> Ends:
    attempts = np.bincount(calls.row, minlength=count)
    last = np.zeros(count, np.int64)
    last[calls.row] = np.arange(len(calls.row))  # later rounds come later
    kind = calls.kind[last]

    def total(values: Whole) -> Whole:
        found: Whole = np.bincount(calls.row, values, count).astype(np.int64)
        return found

    latency = np.round(overhead + np.bincount(calls.row, calls.latency_s, count), 5)
    status = np.full(count, 503)
    status[kind < 0] = 200
    status[kind == CUT] = 502
    status[(kind == POLICY) | (kind == INVALID)] = 400
    status[kind == CANCELLED] = 499
    served = (kind < 0) | (kind == CUT)
    first_s = calls.ttft_s[last]
    waited = np.bincount(calls.row, calls.latency_s, count) - calls.latency_s[last]
    return Ends(
        calls.ended_us[last] + 400, np.where(served, calls.deployment[last], -1),
        served & (attempts > 1), status, kind, latency, np.round(first_s + waited + overhead, 4),
        overhead, attempts, total(calls.tokens_in), total(calls.tokens_out), total(calls.cached),
        total(calls.cost), np.bincount(calls.row, calls.estimated, count) > 0, last,
    )  # fmt: skip
