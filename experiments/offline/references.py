"""What could have been reached, where every outcome is known: oracle, static mix, ridge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay
from experiments.offline.baselines import Known, static_mix
from experiments.offline.outcomes import Matrix
from experiments.offline.streams import UNSCORED, Stream

RIDGE = 100.0
BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class References:
    """Mean rewards at the budget, over the scored requests; and at what mix.

    ``full_information_ridge`` knows every deployment's reward on the unscored prompts and every
    change; it is the ceiling for linear scores on these features.
    """

    best_static_mix: float
    oracle: float
    full_information_ridge: float
    random: float
    mix: tuple[float, ...]


def references(
    stream: Stream, features: NDArray[np.float32], names: tuple[str, ...], budget_usd: float | None
) -> References:
    """The references of a stream: those of each phase, knowing its state, weighted by length."""
    x = features[stream.rows].astype(np.float64)
    parts: list[tuple[int, References]] = []
    for phase in sorted(set(stream.phase.tolist()) - {UNSCORED}):
        here, before = stream.phase == phase, stream.phase == UNSCORED
        arms = _there(stream, phase)
        known = Known(
            tuple(names[at] for at in arms), stream.reward[here][:, arms],
            stream.cost_usd[here][:, arms],
        )  # fmt: skip
        if budget_usd is not None and known.cost_usd.mean(0).min() > budget_usd:
            raise CannotSay(
                f"the budget {budget_usd:g} is below the cheapest deployment's mean cost "
                f"{known.cost_usd.mean(0).min():.3g}"
            )
        taught = stream.reward[before].copy()
        if stream.scenario == "quality" and phase == 2 and stream.focus is not None:
            taught[:, stream.focus] = _fallen(stream.reward[here, stream.focus],
                                              taught[:, stream.focus])  # fmt: skip
        parts.append((int(here.sum()), _of_phase(known, x[before], taught[:, arms], x[here],
                                                 budget_usd)))  # fmt: skip
    total = sum(count for count, _ in parts)

    def over(name: str) -> float:
        return sum(count * float(getattr(part, name)) for count, part in parts) / total

    return References(
        over("best_static_mix"), over("oracle"), over("full_information_ridge"), over("random"),
        parts[0][1].mix,
    )  # fmt: skip


def _fallen(now: NDArray[np.float64], then: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the unscored prompts would have shown of a deployment that has fallen."""
    if np.ptp(now) == 0.0:
        return np.full(len(then), now[0])
    return np.asarray(then * (now.mean() / max(float(then.mean()), 1e-9)))


def _there(stream: Stream, phase: int) -> list[int]:
    arms = list(stream.starting)
    for step, event in stream.events.items():
        if event.arrives and event.arm not in arms and stream.phase[step] <= phase:
            arms.append(event.arm)
    return sorted(arms)


def _of_phase(
    known: Known, before: Matrix, taught: Matrix, x: Matrix, budget_usd: float | None
) -> References:
    if budget_usd is None:
        means = known.reward.mean(0)
        mix_reward, mix = float(means.max()), np.eye(len(means))[int(means.argmax())].tolist()
    else:
        mix_reward, mix = static_mix(known, budget_usd)
    penalty = np.eye(x.shape[1]) * RIDGE
    penalty[-1, -1] = 1e-3
    theta = np.linalg.solve(before.T @ before + penalty, before.T @ taught)
    typical = np.broadcast_to(known.cost_usd.mean(0), known.reward.shape)
    ridge = _at_budget(x @ theta, typical, known, budget_usd)
    oracle = _at_budget(known.reward - 1e-9 * known.cost_usd / known.cost_usd.mean(),
                        known.cost_usd, known, budget_usd)  # fmt: skip
    return References(mix_reward, oracle, ridge, float(known.reward.mean()), tuple(mix))


def _at_budget(score: Matrix, cost: Matrix, known: Known, budget_usd: float | None) -> float:
    """The mean reward of the best score less the least price at which real spend fits."""
    rows = np.arange(len(score))

    def chosen(price: float) -> NDArray[np.int64]:
        return np.asarray((score - price * cost).argmax(1))

    def spend(price: float) -> float:
        return float(known.cost_usd[rows, chosen(price)].mean())

    price = 0.0
    if budget_usd is not None and spend(0.0) > budget_usd:
        low, price = 0.0, 1.0
        while spend(price) > budget_usd and price < 1e12:
            low, price = price, price * 4.0
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + price)
            low, price = (middle, price) if spend(middle) > budget_usd else (low, middle)
    return float(known.reward[rows, chosen(price)].mean())
