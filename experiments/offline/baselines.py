"""What else could have been done, where every outcome is known: fixed, cheapest, random, oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay
from experiments.statistics.moments import Interval, Moments

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Compared:
    """One way to route: its mean reward and spend, and what ours earns and saves beside it.

    ``reward_gain`` and ``saved_usd`` are ours less theirs, a request, by paired differences.
    """

    name: str
    reward: Interval
    spend_usd: float
    reward_gain: Interval
    saved_usd: Interval


@dataclass(frozen=True, slots=True)
class Known:
    """Every outcome of every deployment for the same requests: rewards and costs, [n, K]."""

    names: tuple[str, ...]
    reward: Matrix
    cost_usd: Matrix

    def __post_init__(self) -> None:
        shape = self.reward.shape
        if shape != self.cost_usd.shape or shape[1] != len(self.names):
            raise CannotSay(
                f"rewards {shape}, costs {self.cost_usd.shape}, {len(self.names)} names"
            )
        if shape[0] < 2:
            raise CannotSay("at least two requests are needed")


def compare(
    known: Known, served_reward: NDArray[np.float64], served_cost_usd: NDArray[np.float64]
) -> list[Compared]:
    """Ours beside best fixed, best static mix, strongest, cheapest, random and oracle.

    *Best fixed* is the deployment of the highest mean reward; the *mix* is the best one of
    deployments that spends no more than ours did. *Strongest* is the dearest. *Random* is the
    mean over the deployments. *Oracle* takes the best of every request, the cheaper where two
    are equal. Served rewards and costs have shape [n].
    """
    reward, cost = known.reward, known.cost_usd
    means, costs = reward.mean(0), cost.mean(0)
    fixed, strongest, cheapest = int(means.argmax()), int(costs.argmax()), int(costs.argmin())
    rows: list[tuple[str, NDArray[np.float64], NDArray[np.float64]]] = [
        ("headgate", served_reward, served_cost_usd)
    ]
    rows.append((f"best fixed ({known.names[fixed]})", reward[:, fixed], cost[:, fixed]))
    spent = float(served_cost_usd.mean())
    if costs.min() <= spent:
        shares = np.array(static_mix(known, spent)[1])
        told = ", ".join(f"{n} {s:.0%}" for n, s in zip(known.names, shares, strict=True) if s)
        rows.append((f"best static mix at our spend ({told})", reward @ shares, cost @ shares))
    rows.append((f"strongest ({known.names[strongest]})", reward[:, strongest], cost[:, strongest]))
    rows.append((f"cheapest ({known.names[cheapest]})", reward[:, cheapest], cost[:, cheapest]))
    rows.append(("random", reward.mean(1), cost.mean(1)))
    best = np.lexsort((cost, -reward), axis=1)[:, 0]
    each = np.arange(len(best))
    rows.append(("oracle", reward[each, best], cost[each, best]))
    return [_compared(row, served_reward, served_cost_usd) for row in rows]


def _compared(
    row: tuple[str, NDArray[np.float64], NDArray[np.float64]],
    served_reward: NDArray[np.float64],
    served_cost_usd: NDArray[np.float64],
) -> Compared:
    name, reward, cost = row
    return Compared(
        name=name,
        reward=Moments.of(reward).interval(),
        spend_usd=float(cost.sum()),
        reward_gain=Moments.of(served_reward - reward).interval(),
        saved_usd=Moments.of(cost - served_cost_usd).interval(),
    )


def static_mix(known: Known, budget_usd: float) -> tuple[float, Sequence[float]]:
    """The best mix of deployments at a mean cost of at most ``budget_usd`` a request.

    On the upper hull of (mean cost, mean reward) at most two deployments share (a linear
    program in one constraint). Returns the mean reward and each deployment's share.
    """
    means, costs = known.reward.mean(0), known.cost_usd.mean(0)
    if costs.min() > budget_usd:
        raise CannotSay(f"the cheapest deployment costs {costs.min():.3g}, above {budget_usd:.3g}")
    best, shares = -np.inf, np.zeros(len(means))
    for i in range(len(means)):
        for j in range(len(means)):
            if costs[i] > budget_usd:
                continue
            dearer = costs[j] > costs[i]
            part = min(1.0, (budget_usd - costs[i]) / (costs[j] - costs[i])) if dearer else 0.0
            value = (1 - part) * means[i] + part * means[j]
            if value > best:
                best, shares = value, np.zeros(len(means))
                shares[i] += 1 - part
                shares[j] += part
    return float(best), shares.tolist()
