"""Ensembles on recorded outcomes: at equal spend, against the best single and plain routing.

    python -m benchmarks.ensembles --outcomes FILE.parquet [FILE ...] [--json OUT]

Half of the prompts (a seeded shuffle) tells who is how good and what everything costs; the other
half is scored. An ensemble's reward is set beside what the same money buys otherwise: the best
single deployment that costs no more, the best static mix of deployments at that spend, and routing
by a ridge regression of the service's features at that spend. Differences are paired, with 95 %
intervals.

What the sets do not hold is bounded or assumed, and told: which wrong answers are the same (votes:
all of them, the worst case; alike among ``--options``; none, the best case), and what a judge
would say (right in ``--judge`` of the comparisons of unequal answers, wrong at random; each
comparison costs one answer of the dearest member). A deployment has one output a prompt, so
self-ensembles cannot be replayed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from experiments.offline.outcomes import Outcomes, read
from learning.features import Featurizer, RequestShape, inspect
from learning.voting import Vote, calibrated, majority, weighted

Floats = NDArray[np.float64]
NORMAL = 1.96
WRONGS = ("all wrong agree", "wrong alike", "no wrong agree")


@dataclass(frozen=True)
class Half:
    """Some prompts: rewards and costs [n, K], and the service's features [n, d]."""

    reward: Floats
    cost: Floats
    x: Floats


@dataclass(frozen=True)
class Line:
    """One ensemble on one set: its reward and spend a prompt, and by how much each alternative at
    the same spend is beaten, with the interval's reach.
    """

    set: str
    ensemble: str
    assumed: str
    reward: float
    usd: float
    multiplier: float  # of the spend over that of the best single
    over_best: tuple[float, float]  # the best single, whatever it costs
    over_single: tuple[float, float]  # the best single that costs no more
    over_mix: tuple[float, float]
    over_routing: tuple[float, float]


def halves(outcomes: Outcomes, seed: int) -> tuple[Half, Half]:
    """The known half and the scored one."""
    featurizer = Featurizer(["other"])
    x = np.array([
        featurizer.vector(inspect(RequestShape(text=p, tokens_in=max(1, len(p) // 4))), "other")
        for p in outcomes.prompts
    ], dtype=np.float64)  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(outcomes.prompts))
    cut = len(order) // 2
    one, two = (
        Half(outcomes.reward[ids], outcomes.cost_usd[ids], x[ids])
        for ids in (order[:cut], order[cut:])
    )
    return one, two


# what the same money buys -------------------------------------------------------------------------


def best_single(known: Half, scored: Half, usd: float) -> Floats:
    """Of those whose known mean cost is no more; the cheapest where all cost more."""
    cost, reward = known.cost.mean(0), known.reward.mean(0)
    fits = np.flatnonzero(cost <= usd)
    at = int(fits[reward[fits].argmax()]) if len(fits) else int(cost.argmin())
    return scored.reward[:, at]


def best_mix(known: Half, scored: Half, usd: float) -> Floats:
    """The shares of deployments that earn most at that spend."""
    cost, reward = known.cost.mean(0), known.reward.mean(0)
    usd = max(usd, float(cost.min()))
    found = linprog(
        -reward, A_ub=cost[None, :], b_ub=[usd], A_eq=np.ones((1, len(cost))), b_eq=[1.0]
    )
    mixed: Floats = scored.reward @ found.x
    return mixed


def routed(known: Half, scored: Half, usd: float) -> Floats:
    """By predicted reward less a price of money that brings the known half to that spend."""
    ridge = known.x.T @ known.x + 30.0 * np.eye(known.x.shape[1])
    reward, cost = (np.linalg.solve(ridge, known.x.T @ each) for each in (known.reward, known.cost))
    low, high = 0.0, 1e7
    for _ in range(60):
        price = (low * high) ** 0.5 if low > 0.0 else high * 1e-9
        pick = (known.x @ reward - price * (known.x @ cost)).argmax(1)
        spent = float(known.cost[np.arange(len(pick)), pick].mean())
        low, high = (price, high) if spent > usd else (low, price)
    pick = (scored.x @ reward - high * (scored.x @ cost)).argmax(1)
    taken: Floats = scored.reward[np.arange(len(pick)), pick]
    return taken


# ensembles ----------------------------------------------------------------------------------------


def by_votes(
    known: Half, scored: Half, members: Sequence[int], by_weight: bool, wrong: str, options: int
) -> Floats:
    """Votes of right and wrong answers, by the service's own count and tie rule."""
    right = known.reward[:, members].round().sum(0)
    accuracy = [calibrated(r, len(known.reward), 0.7) for r in right]
    chance = np.random.default_rng(17)
    said = chance.integers(1, options, size=(len(scored.reward), len(members)))
    won = np.zeros(len(scored.reward))
    for row, rewards in enumerate(scored.reward[:, members]):
        named = {
            WRONGS[0]: ["1"] * len(members), WRONGS[1]: [str(each) for each in said[row]],
            WRONGS[2]: [f"w{at}" for at in range(len(members))],
        }[wrong]  # fmt: skip
        votes = [
            Vote("right" if r >= 0.5 else named[at], at, accuracy[at])
            for at, r in enumerate(rewards)
        ]
        found = weighted(votes, options) if by_weight else majority(votes)
        assert found is not None
        won[row] = found.answer == "right"
    return won


def by_judge(scored: Half, members: Sequence[int], right: float, known: Half) -> Floats:
    """Each compared with each by a judge that is right so often; most wins, ties to the best."""
    chance = np.random.default_rng(23)
    rewards = scored.reward[:, members]
    wins = np.zeros_like(rewards)
    for one, two in combinations(range(len(members)), 2):
        better = np.sign(rewards[:, one] - rewards[:, two])
        agrees = chance.random(len(rewards)) < right
        verdict = np.where(better == 0.0, 0.0, np.where(agrees, better, -better))
        wins[:, one] += verdict
        wins[:, two] -= verdict
    order = np.argsort(-known.reward[:, members].mean(0))  # of equals the best is first
    best = order[wins[:, order].argmax(1)]
    chosen: Floats = rewards[np.arange(len(best)), best]
    return chosen


def teams(known: Half) -> dict[str, list[int]]:
    """The best three and five; and the best of those that cost a tenth of the best at most."""
    reward, cost = known.reward.mean(0), known.cost.mean(0)
    order = [int(at) for at in np.argsort(-reward)]
    cheap = [at for at in order if cost[at] <= cost[order[0]] / 10.0]
    made = {f"best {k}": order[:k] for k in (2, 3, 5) if len(order) >= k}
    made |= {f"cheap {k}": cheap[:k] for k in (3, 5) if len(cheap) >= k}
    return made


def measured(name: str, outcomes: Outcomes, options: int, judges: Sequence[float]) -> list[Line]:
    """Every ensemble on a set."""
    known, scored = halves(outcomes, 5)
    binary = bool(np.isin(outcomes.reward, (0.0, 1.0)).all())
    lines: list[Line] = []

    def line(team: str, assumed: str, reward: Floats, cost: Floats) -> None:
        usd = float(cost.mean())

        def over(other: Callable[[Half, Half, float], Floats], at: float) -> tuple[float, float]:
            paired = reward - other(known, scored, at)
            reach = NORMAL * float(paired.std(ddof=1)) / len(paired) ** 0.5
            return float(paired.mean()), reach

        top = int(known.reward.mean(0).argmax())
        lines.append(Line(
            name, team, assumed, float(reward.mean()), usd,
            usd / float(scored.cost[:, top].mean()), over(best_single, np.inf),
            over(best_single, usd), over(best_mix, usd), over(routed, usd),
        ))  # fmt: skip

    for team, members in teams(known).items():
        cost = scored.cost[:, members].sum(1)
        if binary and len(members) > 2:
            for wrong in WRONGS:
                for by_weight in (False, True):
                    what = f"{'weighted' if by_weight else 'majority'}, {team}"
                    reward = by_votes(known, scored, members, by_weight, wrong, options)
                    line(what, wrong, reward, cost)
        if len(members) <= 3:
            pairs = len(members) * (len(members) - 1) / 2
            asked = cost + pairs * scored.cost[:, members].max(1)
            for right in judges:
                chosen = by_judge(scored, members, right, known)
                line(f"judge, {team}", f"right in {right:.0%}", chosen, asked)
            line(f"oracle, {team}", "knows", scored.reward[:, members].max(1), cost)
    return lines


def shown(each: Line) -> str:
    """A row of the table."""
    told = (f"{mean:+.4f} ± {reach:.4f}" for mean, reach in (
        each.over_best, each.over_single, each.over_mix, each.over_routing))  # fmt: skip
    return (
        f"| {each.set} | {each.ensemble} | {each.assumed} | {each.reward:.4f} | {each.usd:.6f} | "
        f"{each.multiplier:.2f} | {' | '.join(told)} |"
    )


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outcomes", type=Path, nargs="+", required=True)
    parser.add_argument("--options", type=int, default=10, help="answers that a vote may give")
    parser.add_argument("--judge", type=float, nargs="+", default=[0.65, 0.8],
                        help="how often a judge is right")  # fmt: skip
    parser.add_argument("--json", type=Path, default=None)
    told = parser.parse_args()
    print("| set | ensemble | assumed | reward | $ a prompt | cost x | over the best single | over "
          "the best single at its spend | over the best mix | over routing |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    lines: list[Line] = []
    for path in told.outcomes:
        found = measured(path.stem, read(path), told.options, told.judge)
        for each in found:
            print(shown(each), flush=True)
        lines += found
    if told.json is not None:
        told.json.write_text(json.dumps([asdict(each) for each in lines], indent=1), "utf-8")


if __name__ == "__main__":
    main()
