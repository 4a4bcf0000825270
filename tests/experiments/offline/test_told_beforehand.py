"""A policy that is told of benchmarks beforehand, in a simulated world: right ones, wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest

from experiments.offline.world import Weather, World
from learning.capability import Belief, Beliefs, Measured, Sums, apart, prior_from, says_more
from learning.interaction import Arm, Interaction
from learning.policies.base import PolicySetup, Prior
from learning.policies.linear import Linear
from learning.policies.linear_parameters import LinearParameters
from learning.reward import RewardScale

pytestmark = pytest.mark.slow

NAMES, TRUTH = ("a", "b", "c", "d", "e"), (0.55, 0.85, 0.75, 0.6, 0.65)
WRONG = {"a": 0.95, "b": 0.4, "c": 0.75, "d": 0.6, "e": 0.65}  # the best is said to be the worst
FEATURES = ("slope", "constant")
SEEDS, RATED, FIRST = range(6), 0.2, 300
WARM, SEEN, EVERY, BY = 24.0, 4.0, 4, 0.02


class Told(Linear):
    """Told by the rules of the matrix: of those that are cold, by what their benchmarks are worth
    as far as live answers show; as the service does every few seconds.
    """

    def __init__(self, benchmarks: Mapping[str, Measured]) -> None:
        arms = tuple(Arm(name, 1.0, 1.0) for name in NAMES)
        super().__init__(PolicySetup(arms, FEATURES, RewardScale(1e9, 4.0)), LinearParameters())
        self._benchmarks, self._rated = benchmarks, 0
        self._live = {name: Sums() for name in NAMES}
        self._given: Prior | None = None
        self._tell()

    def learn(self, interaction: Interaction) -> None:
        super().learn(interaction)
        if interaction.reward.quality is not None:
            self._live[interaction.choice.arm].add(interaction.reward.quality, 1.0)
            self._rated += 1
            if self._rated % EVERY == 0:
                self._tell()

    def _tell(self) -> None:
        live = {name: sums.measured(1.0) for name, sums in self._live.items()}
        pairs = [(live[name], each) for name, each in self._benchmarks.items()
                 if live[name].n >= SEEN]  # fmt: skip
        cold = {name: Belief(0.7, {}, {"t": each}) for name, each in self._benchmarks.items()
                if live[name].n < WARM}  # fmt: skip
        prior = prior_from(Beliefs(cold, apart(pairs)), FEATURES)
        if cold and says_more(prior, self._given, BY):
            self._given = prior
            self.take_prior(prior)


def of(qualities: Mapping[str, float], n: float = 60.0) -> dict[str, Measured]:
    return {name: Measured(n, q, q * (1.0 - q)) for name, q in qualities.items()}


def measured(seed: int, n: float = 60.0) -> dict[str, Measured]:
    """What a benchmark of n yes-or-no prompts found, by chance."""
    chance = np.random.default_rng(1_000 + seed).standard_normal(len(TRUTH))
    found = [q + z * (q * (1.0 - q) / n) ** 0.5 for q, z in zip(TRUTH, chance, strict=True)]
    return of(dict(zip(NAMES, np.clip(found, 0.0, 1.0).tolist(), strict=True)), n)


@cache
def regret(kind: str, requests: int = FIRST, since: int = 0) -> tuple[float, ...]:
    """A request's, mean over the requests from ``since`` on, of each seed."""
    arms = tuple(Arm(name, 1.0, 1.0) for name in NAMES)
    world = World(arms, tuple(Weather(q) for q in TRUTH), {}, rated=RATED)
    found = []
    for seed in SEEDS:
        told = {"none": {}, "right": measured(seed), "wrong": of(WRONG, 100.0)}[kind]
        seen = world.run(Told(told), requests, seed)
        found.append(float((max(TRUTH) - np.array(TRUTH)[seen.arm])[since:].mean()))
    return tuple(found)


def test_a_benchmark_makes_the_first_requests_better() -> None:
    assert np.mean(regret("right")) < 0.95 * np.mean(regret("none"))


def test_a_wrong_benchmark_costs_and_is_outlearned() -> None:
    """Within 200 ratings; in one of the six runs the second best still leads then."""
    late = np.sort(regret("wrong", 1_000, 700))
    assert late[-2] < 0.01
    assert late[-1] <= max(TRUTH) - sorted(TRUTH)[-2] + 0.01
