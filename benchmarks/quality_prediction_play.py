"""What routing on the chance to be acceptable earns at equal spend, beside the policy without it.

    python -m benchmarks.quality_prediction_play --outcomes FILE.parquet --budget 0.0005
        [--bar 0.7] [--margins 0.1 0.2 0.3] [--sure 0 1.64] [--seeds 3] [--models ...] [--json OUT]

The default policy goes through seeded streams of recorded outcomes, as in the benchmark of
policies: alone; with deployments taken out whose chance is surely further below the best than a
margin; and drawn towards the refitted quality model (its prior). All fits are made from what the
policy itself was told, anew whenever the ratings have grown by half, and a prediction acts only
while its refit beats its baselines, as in the service. The best static mix is chosen with
hindsight.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_prediction import Seen, seen
from experiments.offline.learning_benchmark import FIRST_SEED, interval
from experiments.offline.outcomes import read
from experiments.offline.play import Wanted, measure, play
from experiments.offline.references import references
from experiments.offline.streams import Stream, make
from learning import quality_check
from learning.acceptance import Foresight, with_scores
from learning.acceptance_check import Held, refit
from learning.difficulty import Demand
from learning.policies.base import Policy
from learning.quality import Rows

FIRST_FIT, GROWTH = 400, 1.5
SURE = 1.64
HELD_OUT = 0.05


class Told:
    """What was rated so far, and when a fit is due."""

    def __init__(self, made: Seen, stream: Stream, bar: float) -> None:
        self.made, self.stream, self.bar = made, stream, bar
        self.steps: list[int] = []
        self.arms: list[int] = []
        self.next = FIRST_FIT

    def rated(self, step: int, arm: int, quality: float) -> None:
        """Remembered."""
        self.steps.append(step)
        self.arms.append(arm)

    @property
    def due(self) -> bool:
        """Whether the ratings have grown by half since the last fit."""
        if len(self.steps) < self.next:
            return False
        self.next = int(len(self.steps) * GROWTH)
        return True

    def rows(self, scores: bool) -> Rows:
        """The rated answers, in order."""
        steps, arms = np.array(self.steps), np.array(self.arms)
        ids = self.stream.rows[steps]
        x = self.made.joined[ids] if scores else self.made.plain[ids]
        size = self.made.plain.shape[1]
        names = (*(f"f{i}" for i in range(size - 1)), "constant")
        if scores:
            named = (*self.made.names[:-1], "constant")
            names = with_scores(named)
        return Rows(
            self.made.outcomes.names, names, arms, x, self.stream.reward[steps, arms],
            np.ones(len(steps)), np.arange(len(steps)),
        )  # fmt: skip


class Narrowing(Told):
    """Takes out whoever is surely further below the best chance than the margin."""

    def __init__(
        self, made: Seen, stream: Stream, bar: float, margins: tuple[float, float], seed: int
    ) -> None:
        super().__init__(made, stream, bar)
        self.margin, self.sure = margins
        self.foresight: Foresight | None = None
        self.acted = self.steps_fitted = self.refits = self.believed = 0
        self._lots = np.random.default_rng([seed, 9]).random(len(stream.rows))

    def publishing(self, step: int, policy: Policy) -> None:
        """A refit when it is due; believed or set aside."""
        if not self.due:
            return
        found = refit(self.rows(True), self.bar)
        self.refits += 1
        self.foresight = None
        if isinstance(found, Held):
            self.believed += 1
            arms = dict.fromkeys(self.made.outcomes.names, 0.7)
            self.foresight = Foresight(arms, self.bar, found.model)

    def allowed(self, step: int, arms: Sequence[int]) -> Sequence[int]:
        """Those who are not surely too far below the best."""
        everybody = range(len(arms))
        if self.foresight is None or self._lots[step] < HELD_OUT:
            return everybody
        self.steps_fitted += 1
        at = self.stream.rows[step]
        scores = 100.0 * (self.made.joined[at][-4:-1] + 0.5)
        told = self.foresight.foreseen(self.made.plain[at], Demand(*scores.tolist()))
        chance, high = (
            told.chance[list(arms)],
            (told.chance + self.sure * told.deviation)[list(arms)],
        )
        kept = [i for i in everybody if high[i] >= chance.max() - self.margin]
        self.acted += len(kept) < len(arms)
        return kept


class Prior(Told):
    """Draws the policy towards the refitted quality model."""

    def publishing(self, step: int, policy: Policy) -> None:
        """A refit when it is due; taken where it is not refused."""
        if self.due:
            found = quality_check.refit(self.rows(False))
            if isinstance(found, quality_check.Fitted):
                policy.take_prior(found.model.prior())

    def allowed(self, step: int, arms: Sequence[int]) -> Sequence[int]:
        """Everybody."""
        return range(len(arms))


def one(
    made: Seen, budget: float | None, bar: float, margins: Sequence[tuple[float, float]], seed: int
) -> dict[str, Any]:
    """All of them on one seed's stream."""
    outcomes, x = made.outcomes, made.plain.astype(np.float32)
    stream = make(outcomes, "stationary", seed, None)
    wanted = Wanted("linear", {}, budget)
    known = references(stream, x, outcomes.names, budget)
    found: dict[str, Any] = {
        "best static mix": {"reward": known.best_static_mix},
        "full-information ridge": {"reward": known.full_information_ridge},
    }
    found["policy"] = measure(stream, play(outcomes, x, stream, wanted, seed), budget)
    for margin, sure in margins:
        beside = Narrowing(made, stream, bar, (margin, sure), seed)
        told = measure(stream, play(outcomes, x, stream, wanted, seed, beside), budget)
        told |= {"acted": beside.acted / max(beside.steps_fitted, 1),
                 "believed": beside.believed / max(beside.refits, 1)}  # fmt: skip
        found[f"narrowed by {margin:g} at {sure:g} deviations"] = told
    prior = Prior(made, stream, bar)
    found["quality prior"] = measure(stream, play(outcomes, x, stream, wanted, seed, prior), budget)
    return found


def report(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds with Student's intervals; paired differences to the policy alone."""
    told: dict[str, Any] = {}
    base = np.array([run["policy"]["reward"] for run in runs])
    for name in runs[0]:
        values = np.array([run[name]["reward"] for run in runs])
        mean, gain = interval(values), interval(values - base)
        row: dict[str, Any] = {"reward": [mean.estimate, mean.low, mean.high],
                               "over_policy": [gain.estimate, gain.low, gain.high]}  # fmt: skip
        for extra in ("spend_over_budget", "cost_usd", "acted", "believed"):
            if extra in runs[0][name]:
                row[extra] = float(np.mean([run[name][extra] for run in runs]))
        told[name] = row
    return told


def show(told: dict[str, Any]) -> None:
    """A table."""
    for name, row in told.items():
        r, g = row["reward"], row["over_policy"]
        rest = {k: round(v, 6) for k, v in row.items() if k not in ("reward", "over_policy")}
        print(
            f"| {name} | {r[0]:.4f} [{r[1]:.4f}, {r[2]:.4f}] | {g[0]:+.4f} [{g[1]:+.4f}, "
            f"{g[2]:+.4f}] | {rest} |",
            flush=True,
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--outcomes", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=None, help="dollars a request")
    parser.add_argument("--bar", type=float, default=0.7)
    parser.add_argument("--margins", type=float, nargs="*", default=[0.1, 0.2, 0.3])
    parser.add_argument("--sure", type=float, nargs="*", default=[0.0, SURE])
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    made = seen(read(o.outcomes, o.models))
    pairs = [(margin, sure) for margin in o.margins for sure in o.sure]
    runs = [one(made, o.budget, o.bar, pairs, FIRST_SEED + seed) for seed in range(o.seeds)]
    told = report(runs)
    print(f"\n{o.outcomes.stem}, budget {o.budget}, bar {o.bar}, {o.seeds} seeds")
    show(told)
    if o.json:
        o.json.write_text(json.dumps({"runs": runs, "report": told}, indent=1))


if __name__ == "__main__":
    main()
