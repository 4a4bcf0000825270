"""Rated answers of the simulated providers, for fits of prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learning.acceptance import joined, with_scores
from learning.difficulty import demand
from learning.features import Featurizer, RequestShape, inspect
from learning.quality import Rows
from service.providers.simulated import Stream, prompts


def rated(names: tuple[str, ...], tasks: Sequence[str], noise: bool = False) -> Rows:
    """2,000 (of noise 600) answers of the simulated providers, one deployment drawn for each."""
    world, featurizer, rng = Stream(seed=11), Featurizer(tasks), np.random.default_rng(2)
    who = {each.model: each for each in world.characters}
    x, scores, arms, quality = [], [], [], []
    count = 600 if noise else 2_000
    for text in prompts(5, count):
        signals = inspect(RequestShape(text, max(1, len(text) // 4)))
        task = "code" if signals.has_code else "maths" if signals.has_maths else "other"
        at = int(rng.integers(0, len(names)))
        told = demand(signals)
        x.append(featurizer.vector(signals, task))
        scores.append((told.complexity, told.ambiguity, told.difficulty))
        arms.append(at)
        good = world.quality(who[names[at]], text, float(rng.random()))
        quality.append(float(rng.random() if noise else np.clip(good, 0.0, 1.0)))
    return Rows(
        names, with_scores(featurizer.names), np.array(arms),
        joined(np.stack(x).astype(np.float64), np.array(scores)), np.array(quality),
        np.ones(count), np.arange(count),
    )  # fmt: skip
