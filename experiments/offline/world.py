"""A simulated world: deployments whose quality, latency, errors and cost change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.interaction import Arm, Context, Interaction
from learning.policies.base import Policy
from learning.reward import Reward

START_S = 1e9


@dataclass(frozen=True, slots=True)
class Weather:
    """How a deployment is doing: mean quality and its response to the request's slope, latency
    in seconds, the share of failures, tokens of an answer.
    """

    quality: float = 0.8
    slope: float = 0.0
    latency_s: float = 1.0
    errors: float = 0.0
    tokens_out: float = 200.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened in a world: per request the time, every arm's share, who was drawn, and the
    reward's parts; shares [n, K], the rest [n].
    """

    at_s: NDArray[np.float64]
    shares: NDArray[np.float64]
    arm: NDArray[np.int64]
    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """``weather`` by arm, with ``changes`` at a time (seconds since the start) of one arm.

    Requests come evenly, ``per_second``; a share ``rated`` of answers is rated at once. Quality
    has a deviation of 0.1, the logarithms of latency and length of 0.3.
    """

    arms: tuple[Arm, ...]
    weather: tuple[Weather, ...]
    changes: Mapping[float, tuple[int, Weather]]
    per_second: float = 2.0
    rated: float = 1.0
    publish_s: float = 1.0

    def run(self, policy: Policy, requests: int, seed: int) -> Seen:
        """Let a policy route; its features must be a slope and the constant."""
        rng = np.random.default_rng(seed)
        now = list(self.weather)
        waiting = sorted(self.changes.items())
        shares, arm = np.zeros((requests, len(self.arms))), np.zeros(requests, dtype=np.int64)
        quality, cost = np.zeros(requests), np.zeros(requests)
        times = np.arange(requests) / self.per_second
        everybody: Sequence[int] = range(len(self.arms))
        view, published_s = policy.chooser(START_S), -np.inf
        for step, since_s in enumerate(times.tolist()):
            while waiting and waiting[0][0] <= since_s:
                _, (at, told) = waiting.pop(0)
                now[at] = told
            if since_s - published_s >= self.publish_s:
                view, published_s = policy.chooser(START_S + since_s), since_s
            slope = float(rng.choice([-1.0, 1.0]))
            context = Context(np.array([slope, 1.0], np.float32), 100)
            choice, weights, _ = view.choose(context, everybody, float(rng.random()))
            at = view.arms.index(choice.arm)
            shares[step], arm[step] = weights, at
            shown, rating = self._answer(at, now[at], slope, rng)
            told_at = Interaction(context, choice, shown, START_S + since_s)
            policy.learn(told_at)
            cost[step] = shown.cost_usd or 0.0
            if not shown.failed:
                quality[step] = rating
                if rng.random() < self.rated:
                    policy.learn(replace(told_at, reward=Reward(quality=rating)))
        return Seen(times, shares, arm, quality, cost)

    def _answer(
        self, at: int, weather: Weather, slope: float, rng: np.random.Generator
    ) -> tuple[Reward, float]:
        failed = bool(rng.random() < weather.errors)
        spread = np.exp(0.3 * rng.standard_normal(2))
        tokens = 0 if failed else max(1, round(weather.tokens_out * float(spread[1])))
        arm = self.arms[at]
        cost = (100 * arm.price_input_usd_mtok + tokens * arm.price_output_usd_mtok) * 1e-6
        mean = weather.quality + weather.slope * slope
        rating = float(np.clip(mean + 0.1 * rng.standard_normal(), 0.0, 1.0))
        latency_s = weather.latency_s * float(spread[0])
        shown = Reward(
            cost_usd=0.0 if failed else cost, latency_s=latency_s,
            tokens_out=None if failed else tokens, failed=failed,
        )  # fmt: skip
        return shown, rating
