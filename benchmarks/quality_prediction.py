"""Prediction before generation on recorded outcomes: does it beat a constant and length, and pay?

    python -m benchmarks.quality_prediction --outcomes FILE.parquet [FILE ...] [--bar 0.7]
        [--seeds 3] [--cpu] [--json OUT]

The first half of the prompts is rated for one deployment each, drawn alike; the chances of the
second half are held against what every deployment did there. Brier's score and AUC by deployment
with 95 % intervals; the paired differences to the deployments' shares and to length alone. Halves
by the order of the file, and by a seeded shuffle. What routing on it earns is told by
quality_prediction_play.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.offline.outcomes import Outcomes, read
from learning.acceptance import Foresight, joined, with_scores
from learning.acceptance_check import (
    Held,
    beside,
    by_length,
    refit,
    shares,
    shortfalls,
)
from learning.acceptance_fit import KINDS, fit
from learning.difficulty import demand
from learning.features import Featurizer, RequestShape, inspect
from learning.interaction import Vector
from learning.quality import Rows, calibration_error
from learning.ranking import auc, auc_gain

NORMAL = 1.96


@dataclass(frozen=True)
class Seen:
    """A set with what the service sees of its prompts: [n, d] and the joined [n, d + 3]."""

    outcomes: Outcomes
    plain: NDArray[np.float64]
    joined: NDArray[np.float64]
    names: tuple[str, ...]

    def rows(self, ids: NDArray[np.int64], arm: NDArray[np.int64], scores: bool = True) -> Rows:
        """Rated answers of these prompts by these deployments."""
        x = self.joined if scores else self.plain
        names = with_scores(self.names) if scores else self.names
        count = len(ids)
        return Rows(
            self.outcomes.names, names, arm, x[ids], self.outcomes.reward[ids, arm],
            np.ones(count), np.arange(count),
        )  # fmt: skip


def seen(outcomes: Outcomes) -> Seen:
    """The service's features and scores of every prompt."""
    featurizer = Featurizer(())
    signals = [
        inspect(RequestShape(text, int(tokens)))
        for text, tokens in zip(outcomes.prompts, outcomes.tokens_in, strict=True)
    ]
    plain = np.stack([featurizer.vector(each, "") for each in signals]).astype(np.float64)
    scores = np.array([(d.complexity, d.ambiguity, d.difficulty) for d in map(demand, signals)])
    return Seen(outcomes, plain, joined(plain, scores), featurizer.names)


def halves(made: Seen, seed: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The prompts to fit on and those to test on; in the file's order without a seed."""
    count = len(made.plain)
    order = np.arange(count)
    if seed is not None:
        order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]


def split(made: Seen, seed: int | None, scores: bool = True) -> tuple[Rows, Rows]:
    """Answers to fit on, one a prompt, and all answers of the other half."""
    first, later = halves(made, seed)
    arms = len(made.outcomes.names)
    drawn = np.random.default_rng([seed or 0, 5]).integers(0, arms, len(first))
    every = np.tile(np.arange(arms), len(later))
    return made.rows(first, drawn, scores), made.rows(np.repeat(later, arms), every, scores)


def mean(values: Vector) -> list[float]:
    """A mean and its 95 % interval."""
    centre = float(values.mean())
    reach = NORMAL * float(values.std(ddof=1)) / math.sqrt(len(values))
    return [centre, centre - reach, centre + reach]


def figures(made: Seen, seed: int | None, bar: float) -> dict[str, Any]:
    """One split: whether it would be believed, and by deployment how it does."""
    train, test = split(made, seed)
    fitted, good = fit(train, bar), test.quality >= bar
    ours, length = fitted.chances(test), by_length(train, test, bar)
    constant = shares(train, bar)[test.arm]
    whole = beside(fitted, train, test, bar)
    found = refit(train, bar)
    by_arm = {}
    for at, name in enumerate(made.outcomes.names):
        mine = test.arm == at
        o, g, c, by = ours[mine], good[mine], constant[mine], length[mine]
        row: dict[str, Any] = {"share": float(g.mean()), "rows": int(mine.sum())}
        row["brier"] = mean((o - g) ** 2)
        row["less_constant"] = mean((o - g) ** 2 - (c - g) ** 2)
        row["less_length"] = mean((o - g) ** 2 - (by - g) ** 2)
        row["ece"] = calibration_error(o, g.astype(np.float64))
        if 0 < g.sum() < len(g):
            one, gain = auc(o, g), auc_gain(o, by, g)
            row["auc"] = [one.value, one.value - NORMAL * one.error, one.value + NORMAL * one.error]
            row["auc_over_length"] = [
                gain.value, gain.value - NORMAL * gain.error, gain.value + NORMAL * gain.error,
            ]  # fmt: skip
        by_arm[name] = row
    return {
        "seed": seed, "train": len(train), "test": len(test), "whole": asdict(whole),
        "beats_all_on_test": not shortfalls(whole),
        "believed_in_production": isinstance(found, Held),
        "why_not": "" if isinstance(found, Held) else found.reason,
        "deployments": by_arm,
    }  # fmt: skip


def ways(made: Seen, seed: int, bar: float) -> list[dict[str, Any]]:
    """Either way to a score by itself, with the scores of the text and without."""
    told = []
    for scores in (False, True):
        train, test = split(made, seed, scores)
        for kind in KINDS:
            whole = beside(fit(train, bar, (kind,)), train, test, bar)
            told.append({"scores": scores, "kind": kind, "brier": whole.brier, "auc": whole.auc,
                         "ece": whole.ece})  # fmt: skip
    return told


def cpu(made: Seen, bar: float, arms: int = 8, rounds: int = 5) -> dict[str, float]:
    """Microseconds of CPU a request: the three scores, the chances of eight deployments, both; and
    the chances with how unsure each is.
    """
    train, _ = split(made, 1)
    names = [*made.outcomes.names][:arms]
    found = refit(train, bar)
    if not isinstance(found, Held):
        return {}
    model = found.model
    foresight = Foresight(dict.fromkeys(names, 0.7), bar, model)
    signals = [inspect(RequestShape(text, 100)) for text in made.outcomes.prompts[:2_000]]
    texts = [demand(each) for each in signals]
    x = made.plain[: len(signals)].astype(np.float32)

    def timed(what: Any) -> float:
        best = math.inf
        for _ in range(rounds):
            begun = time.thread_time()
            for at in range(len(signals)):
                what(at)
            best = min(best, time.thread_time() - begun)
        return 1e6 * best / len(signals)

    return {
        "deployments": float(len(names)),
        "scores": timed(lambda at: demand(signals[at])),
        "chances": timed(lambda at: foresight.chances(x[at], texts[at])),
        "both": timed(lambda at: foresight.chances(x[at], demand(signals[at]))),
        "with_deviation": timed(lambda at: foresight.foreseen(x[at], texts[at])),
    }


def show(name: str, found: dict[str, Any]) -> None:
    """A table."""
    w = found["whole"]
    split_by = "file order" if found["seed"] is None else f"shuffled {found['seed']}"
    print(
        f"\n{name}, {split_by}: fitted on {found['train']}, tested on {found['test']}; "
        f"{w['kind']}, {w['calibration']}; Brier {w['brier']:.4f} (constant "
        f"{w['constant_brier']:.4f}, length {w['length_brier']:.4f}), AUC {w['auc']:.3f} "
        f"(length {w['length_auc']:.3f}), ECE {w['ece']:.3f}; "
        f"beats all {found['beats_all_on_test']}; believed "
        f"{found['believed_in_production']} {found['why_not']}"
    )
    for arm, row in found["deployments"].items():
        told = row.get("auc", [math.nan] * 3)
        gain = row.get("auc_over_length", [math.nan] * 3)
        print(
            f"| {arm} | {row['share']:.3f} | {row['brier'][0]:.4f} "
            f"| {_signed(row['less_constant'])} | {_signed(row['less_length'])} "
            f"| {told[0]:.3f} [{told[1]:.3f}, {told[2]:.3f}] "
            f"| {gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}] | {row['ece']:.3f} |"
        )


def _signed(of: list[float]) -> str:
    return f"{of[0]:+.4f} [{of[1]:+.4f}, {of[2]:+.4f}]"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--outcomes", type=Path, nargs="+", required=True)
    parser.add_argument("--bar", type=float, default=0.7, help="acceptable from here on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=[], help="only these models of the sets")
    parser.add_argument("--cpu", action="store_true", help="time a prediction too")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    whole: dict[str, Any] = {}
    for path in o.outcomes:
        made = seen(read(path, o.models))
        found = [figures(made, None, o.bar)]
        found += [figures(made, seed, o.bar) for seed in range(1, o.seeds + 1)]
        for each in found:
            show(path.stem, each)
        whole[path.stem] = {"splits": found, "ways": ways(made, 1, o.bar)}
        for way in whole[path.stem]["ways"]:
            print("  ", way)
        if o.cpu:
            whole[path.stem]["cpu_us"] = cpu(made, o.bar)
            print("   microseconds", whole[path.stem]["cpu_us"])
    if o.json:
        o.json.write_text(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
