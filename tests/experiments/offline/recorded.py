"""Made-up outcomes of the recorded form, for tests: two kinds of prompts, three models."""

from __future__ import annotations

import numpy as np
import pandas as pd

MODELS = ("small", "middle", "large")
COSTS = (0.0001, 0.001, 0.01)


def frame(count: int = 400, seed: int = 0) -> pd.DataFrame:
    """Middle is good at all; small at words only; large at all and dear. A quarter unscored."""
    rng = np.random.default_rng(seed)
    rows = []
    for at in range(count):
        maths = bool(rng.random() < 0.5)
        words = rng.choice(["river", "mill", "brook", "gate", "field"], 8).tolist()
        sums = rng.choice(["3 + 4", "sum", "divide 9", "equation", "7 * 8"], 8).tolist()
        prompt = " ".join(sums if maths else words)
        means = (0.4 if maths else 0.85, 0.8, 0.9)
        for model, mean, cost in zip(MODELS, means, COSTS, strict=True):
            rows.append(
                {
                    "prompt_id": f"p{at:04}", "prompt": prompt, "domain": "x", "model": model,
                    "reward": float(np.clip(mean + 0.05 * rng.standard_normal(), 0, 1)),
                    "cost_usd": cost * float(np.exp(0.2 * rng.standard_normal())),
                    "split": "train" if at % 4 == 0 else "test",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
