"""What climbing earns on recorded outcomes at equal spend, beside the best static mix and routing.

    python -m benchmarks.escalation --outcomes FILE.parquet --rungs CHEAP STRONG [--bar 0.7]
        [--worth 0.02 ...] [--checks 0 0.65 0.75 0.85] [--seeds 8] [--json OUT]

The first half of the prompts, shuffled by the seed, is rated for one deployment each, drawn alike;
from these prediction is fitted, as the service would. Requests of the second half climb by the
service's own rule (``learning.stopping``), which begins cold, is learned anew every 200 ratings
from the answers that were served, and explores with its lots; all of it is counted.

The sets hold no answers, so nothing can be seen of one. A check after the answer is therefore
SIMULATED: a yes or no that is right with a given accuracy, for a call of the cheapest deployment.
``0``: no check at all; then climbing has nothing to go by but what was foreseen before.

Beside it at the very spend that climbing came to, on the same prompts: the best static mix of all
deployments of the set that are named, in hindsight; and routing by the same foreseen chances, its
price of a dollar set in hindsight so that the spend is the same. Student's intervals over seeds, of
paired differences.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_prediction import Seen, halves, seen
from experiments.offline.baselines import Known, static_mix
from experiments.offline.learning_benchmark import FIRST_SEED, interval
from experiments.offline.outcomes import read
from learning.acceptance import Foresight, Tally
from learning.acceptance_check import Held, refit
from learning.difficulty import Demand
from learning.stopping import Assessed, Lots, Signals, Step, StopRule, best_step, fitted

LEARN_EVERY = 200
EXPLORE = 0.05
BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class Wanted:
    """``worth_usd``: of an acceptable answer; ``accuracy``: of the simulated check, 0 for none."""

    bar: float
    worth_usd: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Half:
    """The second half: rewards, costs, foreseen chances [n, K]; the usual cost of each [K]."""

    names: tuple[str, ...]
    reward: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    chance: NDArray[np.float64]
    usual_usd: NDArray[np.float64]
    believed: bool


def second_half(made: Seen, bar: float, seed: int) -> Half:
    """Foreseen by a fit of the first half."""
    first, later = halves(made, seed)
    names, k = made.outcomes.names, len(made.outcomes.names)
    drawn = np.random.default_rng([seed, 5]).integers(0, k, len(first))
    rows = made.rows(first, drawn)
    found = refit(rows, bar)
    arms = dict.fromkeys(names, 0.7)
    model = found.model if isinstance(found, Held) else None
    foresight = Foresight(arms, bar, model, Tally.of(rows, bar))
    chance = np.empty((len(later), k))
    for at, row in enumerate(later):
        scores = 100.0 * (made.joined[row][-4:-1] + 0.5)
        chance[at] = foresight.told(made.plain[row], Demand(*scores.tolist()))
    usual = np.array([made.outcomes.cost_usd[first[drawn == at], at].mean() for at in range(k)])
    return Half(
        names, made.outcomes.reward[later], made.outcomes.cost_usd[later], chance, usual,
        model is not None,
    )  # fmt: skip


class Climber:
    """Goes through the half in order, learning as it goes; by price from the first to the last."""

    def __init__(self, half: Half, wanted: Wanted, seed: int) -> None:
        self.half, self.wanted = half, wanted
        self.order = np.argsort(half.usual_usd, kind="stable")
        self.rule = StopRule({})
        self.dice = np.random.default_rng([seed, 17])
        self.rated: list[tuple[int, Signals, bool]] = []
        self.served = np.zeros(len(half.reward), dtype=np.int64)
        self.spent = np.zeros(len(half.reward))
        self.calls = np.zeros(len(half.reward), dtype=np.int64)

    def run(self) -> None:
        """All of it."""
        for at in range(len(self.half.reward)):
            self._one(at)
            if len(self.rated) % LEARN_EVERY == 0:
                self._learn()

    def _one(self, at: int) -> None:
        half, share = self.half, EXPLORE / (1.0 - EXPLORE)
        lots = Lots(share, bool(self.dice.random() < share))
        drawn: tuple[int, bool] | None = None
        place, below = 0, None
        if self.dice.random() < EXPLORE:  # straight to the last, to compare with
            place = len(self.order) - 1
        while True:
            arm = int(self.order[place])
            self.spent[at] += half.cost_usd[at, arm]
            self.calls[at] += 1
            left = self.order[place + 1 :]
            signals = self._signals(at, arm, below, bool(len(left)))
            chance = self.rule.chance(half.names[arm], signals)
            steps = [self._step(at, int(each), chance) for each in left]
            by_rule, gain = best_step(chance, steps, self.wanted.worth_usd)
            act = by_rule + 1 if steps and gain > 0.0 else 0
            if steps and drawn is None:
                act, _ = lots.first(len(steps) + 1, act, float(self.dice.random()))
                drawn = len(steps) + 1, True
            elif steps and lots.by_lot:
                act = 0
            if not act:
                self.served[at] = arm
                self.rated.append((arm, signals, bool(half.reward[at, arm] >= self.wanted.bar)))
                return
            place, below = place + act, chance

    def _signals(self, at: int, arm: int, below: float | None, check: bool) -> Signals:
        half, accuracy, said = self.half, self.wanted.accuracy, None
        if accuracy and check:
            right = bool(self.dice.random() < accuracy)
            good = bool(half.reward[at, arm] >= self.wanted.bar)
            said = float(good is right)
            self.spent[at] += half.cost_usd[at].min()
        return Signals(float(half.chance[at, arm]), verified=said, below=below)

    def _step(self, at: int, arm: int, below: float) -> Step:
        half = self.half
        signals = Signals(float(half.chance[at, arm]), below=below)
        chance = self.rule.chance(half.names[arm], signals)
        return Step(half.names[arm], chance, float(half.usual_usd[arm]))

    def _learn(self) -> None:
        arm = np.array([each[0] for each in self.rated], dtype=np.int64)
        coded = np.array([each[1].coded() for each in self.rated])
        good = np.array([float(each[2]) for each in self.rated])
        self.rule = fitted(Assessed(self.half.names, arm, coded, good, np.ones(len(good))))


def routed(half: Half, budget_usd: float) -> float:
    """The mean reward of routing by the foreseen chances at that mean spend: at the price of a
    dollar that comes to it, mixed of the choices just above and just below.
    """
    rows, typical = np.arange(len(half.chance)), half.usual_usd[None, :]

    def at(price: float) -> tuple[float, float]:
        chosen = (half.chance - price * typical).argmax(1)
        return float(half.cost_usd[rows, chosen].mean()), float(half.reward[rows, chosen].mean())

    low, high = 0.0, 1.0
    if at(0.0)[0] <= budget_usd:
        return at(0.0)[1]
    while at(high)[0] > budget_usd and high < 1e12:
        low, high = high, high * 4.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if at(middle)[0] > budget_usd else (low, middle)
    (dear, more), (cheap, less) = at(low), at(high)
    share = (budget_usd - cheap) / (dear - cheap) if dear > cheap else 0.0
    return less + min(max(share, 0.0), 1.0) * (more - less)


def one(made: Seen, wanted: Sequence[Wanted], seed: int) -> list[dict[str, float]]:
    """A row for each thing that is wanted."""
    half = second_half(made, wanted[0].bar, seed)
    known = Known(half.names, half.reward, half.cost_usd)
    strong = int(half.reward.mean(0).argmax())
    found = []
    for each in wanted:
        climber = Climber(half, each, seed)
        climber.run()
        rows = np.arange(len(half.reward))
        spend = float(climber.spent.mean())
        mix, _ = static_mix(known, spend)
        found.append(
            {"reward": float(half.reward[rows, climber.served].mean()), "spend": spend,
             "calls": float(climber.calls.mean()), "mix": mix, "routed": routed(half, spend),
             "strong": float(half.reward[:, strong].mean()),
             "strong_usd": float(half.cost_usd[:, strong].mean()),
             "believed": float(half.believed), "fitted": float(climber.rule.state == "fitted")}
        )  # fmt: skip
    return found


def report(runs: list[list[dict[str, float]]], wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
    """Means over seeds; paired differences with Student's intervals."""
    told = []
    for at, each in enumerate(wanted):
        rows = [run[at] for run in runs]
        values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        reward = values["reward"]
        row: dict[str, Any] = {"accuracy": each.accuracy, "worth_usd": each.worth_usd}
        for name in values:
            row[name] = float(values[name].mean())
        for name in ("mix", "routed", "strong"):
            found = interval(reward - values[name])
            row[f"over_{name}"] = [found.estimate, found.low, found.high]
        found = interval(values["spend"] - values["strong_usd"])
        row["cost_less_strong"] = [found.estimate, found.low, found.high]
        told.append(row)
    return told


def show(told: Sequence[dict[str, Any]]) -> None:
    """A table."""
    print("| check | worth $ | reward | $ a request (of the strong) | calls | over the static mix "
          "| over routing | over the strong |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for row in told:
        parts = [
            "{:+.4f} [{:+.4f}, {:+.4f}]".format(*row[f"over_{name}"])
            for name in ("mix", "routed", "strong")
        ]
        print(
            f"| {row['accuracy'] or 'none'} | {row['worth_usd']:g} | {row['reward']:.4f} | "
            f"{row['spend']:.6f} ({row['spend'] / row['strong_usd']:.2f}) | {row['calls']:.2f} | "
            + " | ".join(parts) + " |",
            flush=True,
        )  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--outcomes", type=Path, required=True)
    parser.add_argument("--rungs", nargs="*", default=[])
    parser.add_argument("--bar", type=float, default=0.7)
    parser.add_argument("--worth", type=float, nargs="*", default=[0.02])
    parser.add_argument("--checks", type=float, nargs="*", default=[0.0, 0.65, 0.75, 0.85])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    made = seen(read(o.outcomes, o.rungs))
    wanted = [Wanted(o.bar, worth, check) for worth in o.worth for check in o.checks]
    runs = [one(made, wanted, FIRST_SEED + seed) for seed in range(o.seeds)]
    told = report(runs, wanted)
    print(f"{o.outcomes.stem}, bar {o.bar}, {o.seeds} seeds, "
          f"prediction believed in {told[0]['believed']:.0%}")  # fmt: skip
    show(told)
    if o.json:
        o.json.write_text(json.dumps({"runs": runs, "report": told}, indent=1))


if __name__ == "__main__":
    main()
