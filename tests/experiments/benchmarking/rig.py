"""Made-up trials whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.benchmarking.trials import Trial

COSTS = {"small": 0.001, "middle": 0.004, "large": 0.02}


def trials(quality: Mapping[str, Mapping[str, float]], prompts: int, seed: int = 1) -> list[Trial]:
    """``quality``: of each task and arm the chance to be right; ``prompts`` a task."""
    rng = np.random.default_rng(seed)
    made = []
    for task, arms in quality.items():
        for at in range(prompts):
            for arm, chance in arms.items():
                right = float(rng.random() < chance)
                made.append(
                    Trial(f"{task}-{at}", task, arm, right, False, float(rng.gamma(4.0, 0.1)),
                          0.1, COSTS[arm] * float(rng.uniform(0.8, 1.2)), 50, 100)
                )  # fmt: skip
    return made
