"""How much of the gap to the full-information ridge a start without knowledge can close at best.

    python -m benchmarks.cold_limit --outcomes FILE.parquet [--models a,b] [--among a,b]

A player that no router can be: it is told which deployments matter (``--among``), draws them evenly
while nothing is scored, which costs it nothing, and then takes the best by the estimate of the
production policy, which it goes on fitting to what it sees. No budget.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.offline import outcomes, text_features
from experiments.offline.learning_benchmark import LEAST_GAP
from experiments.offline.references import references
from experiments.offline.streams import UNSCORED, Stream, make
from experiments.statistics.moments import Moments
from learning import regression
from learning.regression import Priors, Sums

SHRINKAGE = 1_000.0  # what the policy finds likeliest on the sets of this kind
FIT_EVERY = 64


def played(stream: Stream, x: NDArray[np.float64], among: list[int], seed: int) -> float:
    """The mean reward over the scored requests."""
    rng, count = np.random.default_rng([seed, 5]), stream.reward.shape[1]
    sums = Sums.of(count, x.shape[1])
    priors = Priors.flat(np.full(count, 0.5), np.full(count, -1), x.shape[1])
    theta, earned = np.zeros((count, x.shape[1])), 0.0
    first = int((stream.phase == UNSCORED).sum())
    for step, row in enumerate(x):
        if step < first:
            at = among[int(rng.integers(len(among)))]
        else:
            if (step - first) % FIT_EVERY == 0:
                theta = regression.fit(sums, 1.0, SHRINKAGE, priors).theta
            at = among[int((theta[among] @ row).argmax())]
            earned += float(stream.reward[step, at])
        sums.add(at, row, float(stream.reward[step, at]), 1.0)
    return earned / (len(x) - first)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--outcomes", type=Path, required=True)
    parser.add_argument("--models", default="", help="only these of the file")
    parser.add_argument("--among", default="", help="the deployments that matter; all if empty")
    parser.add_argument("--seeds", type=int, default=30)
    o = parser.parse_args()
    known = outcomes.read(o.outcomes, [name for name in o.models.split(",") if name])
    features = text_features.build("svd25", known)
    wanted = [name for name in o.among.split(",") if name]
    if unknown := [name for name in wanted if name not in known.names]:
        raise SystemExit(f"--among: no {', '.join(unknown)}; there are: {', '.join(known.names)}")
    among = [known.names.index(name) for name in wanted]
    among = among or list(range(len(known.names)))
    closed, rewards = [], []
    for seed in range(1_000, 1_000 + o.seeds):
        stream = make(known, "stationary", seed, None)
        refs = references(stream, features, known.names, None)
        x = features[stream.rows].astype(np.float64)
        rewards.append(played(stream, x, among, seed))
        gap = refs.full_information_ridge - refs.best_static_mix
        if gap <= LEAST_GAP:
            raise SystemExit(f"there is no gap: the ridge earns {gap:+.4f} over the mix")
        closed.append((rewards[-1] - refs.best_static_mix) / gap)
    for name, values in (("reward", rewards), ("gap closed", closed)):
        found = Moments.of(np.array(values)).interval()
        print(f"{name:10} {found.estimate:.4f} [{found.low:.4f}, {found.high:.4f}]")


if __name__ == "__main__":
    main()
