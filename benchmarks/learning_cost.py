"""What the production policy costs: microseconds to choose, learn and publish; bytes; loading.

    python -m benchmarks.learning_cost [--dimension 64] [--arms 8] [--rounds 4000]

Single-threaded linear algebra. Medians over the rounds, with the 5th and 95th percentiles; means
for learning, because a full fit comes now and then.
"""

from __future__ import annotations

import argparse
import time

from service.config import one_blas_thread

one_blas_thread()

import numpy as np  # noqa: E402

from learning.interaction import Arm, Choice, Context, Interaction  # noqa: E402
from learning.policies.base import Policy, PolicySetup  # noqa: E402
from learning.policies.registry import build  # noqa: E402
from learning.reward import Reward, RewardScale  # noqa: E402

DECISIONS = 10_000_000


def policy(arms: int, dimension: int) -> Policy:
    """With a budget, so that pacing is paid for too."""
    named = tuple(Arm(f"a{i}", 0.1 * (i + 1), 0.4 * (i + 1)) for i in range(arms))
    features = (*(f"f{i}" for i in range(dimension - 1)), "constant")
    return build(
        "linear", PolicySetup(named, features, RewardScale(1e3, 1e3)), {"budget_usd": 0.002}
    )


def measure(made: Policy, arms: int, dimension: int, rounds: int) -> dict[str, np.ndarray]:
    """Microseconds of every round's steps."""
    rng, everybody = np.random.default_rng(0), list(range(arms))
    found: dict[str, list[float]] = {"choose": [], "outcome": [], "rating": [], "publish": []}
    view = made.chooser(1e9)
    for step in range(rounds):
        x = rng.standard_normal(dimension).astype(np.float32)
        x[-1] = 1.0
        context, at_s, number = Context(x, 100), 1e9 + step, float(rng.random())
        shown = Reward(cost_usd=0.001, latency_s=1.0, tokens_out=100, failed=False)
        started = time.perf_counter()
        choice, _, _ = view.choose(context, everybody, number)
        chosen = time.perf_counter()
        made.learn(Interaction(context, Choice(choice.arm, 0.5), shown, at_s))
        told = time.perf_counter()
        quality = Reward(quality=float(rng.random() < 0.7))
        made.learn(Interaction(context, Choice(choice.arm, 0.5), quality, at_s))
        rated = time.perf_counter()
        if step % 8 == 0:
            view = made.chooser(at_s)
            found["publish"].append(time.perf_counter() - rated)
        found["choose"].append(chosen - started)
        found["outcome"].append(told - chosen)
        found["rating"].append(rated - told)
    return {name: 1e6 * np.array(values)[len(values) // 4 :] for name, values in found.items()}


def loading(dimension: int) -> tuple[float, int]:
    """Seconds to thaw the state of 100 arms after 10^7 decisions, and its bytes.

    The state is sums, so its size and loading do not depend on how many decisions are in them;
    the counts are scaled to stand for that many all the same.
    """
    made = policy(100, dimension)
    measure(made, 100, dimension, 400)
    frozen = made.state()
    frozen.arrays["count"] *= DECISIONS / max(1.0, float(frozen.arrays["count"].sum()))
    made.restore(frozen)
    data = made.freeze()
    fresh = policy(100, dimension)
    started = time.perf_counter()
    fresh.thaw(data)
    fresh.chooser(2e9)
    return time.perf_counter() - started, len(data)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--arms", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=4_000)
    o = parser.parse_args()
    made = policy(o.arms, o.dimension)
    print(f"{o.arms} arms, d = {o.dimension}, us")
    for name, values in measure(made, o.arms, o.dimension, o.rounds).items():
        low, high = np.percentile(values, [5, 95])
        print(
            f"{name:10} p50 {np.median(values):8.1f}  [{low:.1f}, {high:.1f}]  mean "
            f"{values.mean():8.1f}"
        )
    size = len(made.freeze())
    print(f"state {size / 1e6:.2f} MB, {size / o.arms / 1e3:.0f} kB an arm")
    seconds, whole = loading(o.dimension)
    print(f"100 arms after 10^7 decisions: {whole / 1e6:.1f} MB, loads in {seconds:.3f} s")


if __name__ == "__main__":
    main()
