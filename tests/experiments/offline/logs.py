"""A simulated log of a learning policy, whose rewards are known for every arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.offline.log_replay import Drawn, Shown, Target, Told
from learning.interaction import Arm, Choice, Context, Interaction
from learning.policies import registry
from learning.policies.base import Policy, PolicySetup
from learning.reward import Reward, RewardScale

ARMS = (Arm("x", 1.0, 2.0), Arm("y", 2.0, 4.0), Arm("z", 4.0, 8.0))
SCALE = RewardScale(0.05, 60.0)
SETUP = PolicySetup(ARMS, ("slope", "constant"), SCALE)
START_US = 1_790_000_000_000_000
STEP_US = 250_000
COST_USD = (0.0002, 0.0004, 0.0008)
LATENCY_S = 0.6
SUCCEEDS = (0.97, 0.94, 0.9)
QUALITY = ((0.6, 0.25), (0.4, -0.1), (0.75, 0.0))  # level and slope


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Decisions and updates as logged; ``truth`` [n, K]: the mean reward by metric and arm."""

    decisions: list[Drawn]
    updates: list[Told]
    truth: Mapping[str, NDArray[np.float64]]
    policy: Policy
    checkpoint: bytes = b""
    checkpoint_seq: int = 0


def policy(kind: str, **parameters: Any) -> Policy:
    return registry.build(kind, SETUP, parameters)


def target(kind: str, **parameters: Any) -> Target:
    return Target(policy(kind, **parameters), START_US)


def mean_quality(slope: float) -> NDArray[np.float64]:
    return np.array([level + tilt * slope for level, tilt in QUALITY])


def simulate(
    kind: str, count: int, seed: int, rated: float = 0.8, publish_every: int = 4, **parameters: Any
) -> Log:
    """Requests that come evenly; outcomes are told at once, ratings five requests later."""
    rng, live = np.random.default_rng(seed), policy(kind, **parameters)
    decisions, updates, waiting = [], [], []  # type: ignore[var-annotated]
    slopes, at_us, published = [], START_US, (live.chooser(START_US / 1e6), 0)
    frozen, frozen_seq = b"", 0

    def tell(interaction: Interaction | None) -> None:
        if interaction is not None:
            live.learn(interaction)
        updates.append(Told(len(updates) + 1, at_us, interaction))

    for step in range(count):
        at_us = START_US + step * STEP_US
        while waiting and waiting[0][0] <= step:
            tell(waiting.pop(0)[1])
        if step % 50 == 49:
            tell(None)
        if step % publish_every == 0:
            at_s = updates[-1].at_us / 1e6 if updates else START_US / 1e6
            published = live.chooser(at_s), len(updates)
        if step == count // 2:
            frozen, frozen_seq = live.freeze(), len(updates)
        slope = float(rng.choice([-1.0, 1.0]))
        eligible = (0, 1, 2) if rng.random() < 0.8 else (0, 2)
        context = Context(np.array([slope, 1.0], np.float32), 100)
        choice, shares, _ = published[0].choose(context, eligible, float(rng.random()))
        arm = SETUP.names.index(choice.arm)
        failed = bool(rng.random() > SUCCEEDS[arm])
        quality = float(rng.random() < mean_quality(slope)[arm])
        told = Reward(cost_usd=COST_USD[arm], latency_s=LATENCY_S, tokens_out=90, failed=failed)
        known = Interaction(context, Choice(choice.arm, choice.propensity), told, at_us / 1e6)
        tell(known)
        is_rated = not failed and rng.random() < rated
        if is_rated:
            waiting.append((step + 5, replace(known, reward=Reward(quality=quality))))
        lost = COST_USD[arm] * SCALE.per_usd + LATENCY_S * SCALE.per_second
        reward = max(0.0, quality - lost) if is_rated else np.nan
        shown = Shown(503.0 if failed else 200.0, quality if is_rated else np.nan,
                      0.0 if failed else reward, 1e6 * COST_USD[arm])  # fmt: skip
        decisions.append(Drawn(at_us, published[1], context,
                               tuple(SETUP.names[i] for i in eligible), tuple(shares.tolist()),
                               choice.arm, SCALE, shown))  # fmt: skip
        slopes.append(slope)
    return Log(decisions, updates, _truth(np.array(slopes)), live, frozen, frozen_seq)


def _truth(slopes: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
    quality = np.array([mean_quality(slope) for slope in slopes])
    lost = np.array(COST_USD) * SCALE.per_usd + LATENCY_S * SCALE.per_second
    return {
        "quality": quality,
        "reward": quality * (1.0 - lost),  # a rating of 0 cannot lose more
        "success_rate": np.broadcast_to(SUCCEEDS, quality.shape),
        "cost_per_request": np.broadcast_to(COST_USD, quality.shape),
    }
