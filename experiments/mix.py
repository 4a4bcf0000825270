"""Why a mean moved: other tasks, other deployments, or other answers, in parts that add up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from experiments.errors import CannotSay, ExperimentError

ALIKE = 1e-6  # of two columns of tokens, below which they cannot be told apart
NAMED = 3


@dataclass(frozen=True, slots=True)
class Bill:
    """Of requests that say how they were billed, sums of products: tokens in x, out y, cost c."""

    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0
    xc: float = 0.0
    yc: float = 0.0

    def __add__(self, other: Bill) -> Bill:
        return Bill(
            self.xx + other.xx, self.xy + other.xy, self.yy + other.yy, self.xc + other.xc,
            self.yc + other.yc,
        )  # fmt: skip

    def prices(self) -> tuple[float, float] | None:
        """Of a token in and a token out, by least squares: exact where one price list held. Both
        the same where the bills cannot tell them apart; None without bills.
        """
        whole = self.xx + 2.0 * self.xy + self.yy
        if whole <= 0.0:
            return None
        determinant = self.xx * self.yy - self.xy**2
        if determinant > ALIKE * self.xx * self.yy:
            one = (self.yy * self.xc - self.xy * self.yc) / determinant
            two = (self.xx * self.yc - self.xy * self.xc) / determinant
            if one >= 0.0 and two >= 0.0:
                return one, two
        both = max(0.0, (self.xc + self.yc) / whole)
        return both, both


@dataclass(frozen=True, slots=True)
class Share:
    """A task's requests at a deployment over a time: how many, and the sum of what is averaged.

    ``tokens_in``, ``tokens_out``, ``bill``: where the sum is money.
    """

    task: str
    deployment: str
    count: float
    total: float
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    bill: Bill = field(default_factory=Bill)

    def __add__(self, other: Share) -> Share:
        return Share(
            self.task, self.deployment, self.count + other.count, self.total + other.total,
            self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out,
            self.bill + other.bill,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parts:
    """A change of a mean, and what adds up to it.

    ``tasks``: other shares of tasks; ``deployments``: within tasks other shares of deployments;
    ``within``: the mean itself within task and deployment. Of money the last is again the sum of
    ``prompts`` and ``answers`` (longer, at the mean price), ``prices`` (of a token), and ``rest``
    (calls that failed or were cached, and what fits no price); None of anything else.
    ``largest``: the cells that moved most with their whole contribution.
    """

    before: float
    after: float
    tasks: float
    deployments: float
    within: float
    prompts: float | None = None
    answers: float | None = None
    prices: float | None = None
    rest: float | None = None
    largest: tuple[tuple[str, str, float], ...] = ()

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class _Unit:
    """What a request of a cell is: prompt, answer, their prices, and what they do not explain."""

    mean: float
    x: float = 0.0
    y: float = 0.0
    a: float = 0.0
    b: float = 0.0

    @property
    def rest(self) -> float:
        return self.mean - self.a * self.x - self.b * self.y


def decompose(
    before: Iterable[Share], after: Iterable[Share], money: bool = False
) -> Parts | CannotSay:
    """The change of sum over count, all cells together, in parts that add up to it exactly.

    mean = sum of task share x deployment share within the task x the cell's mean. Each factor's
    change is taken at the middle of the others, before and after (the two-point form of Marshall
    and Edgeworth, which has no remainder). A cell that is on one side only has on the other the
    same mean and no share, so that it counts as mix.
    """
    one, two = _cells(before), _cells(after)
    if not one or not two:
        return CannotSay("there are no requests on one side of the change")
    keys = list(dict.fromkeys([*one, *two]))
    shares = [_shares(side, other, keys) for side, other in ((one, two), (two, one))]
    units = [_units(side, other, keys, money) for side, other in ((one, two), (two, one))]
    sums = dict.fromkeys(("tasks", "deployments", "prompts", "answers", "prices", "rest"), 0.0)
    whole = [
        math.fsum(t * d * units[side][key].mean for key, (t, d) in shares[side].items())
        for side in (0, 1)
    ]
    centre, moved = (whole[0] + whole[1]) / 2.0, []
    within = 0.0
    for key in keys:
        (t0, d0), (t1, d1) = shares[0][key], shares[1][key]
        u0, u1 = units[0][key], units[1][key]
        weight = (t0 * d0 + t1 * d1) / 2.0
        off = (u0.mean + u1.mean) / 2.0 - centre  # shares add to nothing, so any centre will do
        mix = {
            "tasks": (t1 - t0) * (d0 + d1) / 2.0 * off,
            "deployments": (t0 + t1) / 2.0 * (d1 - d0) * off,
        }
        inner = {
            "prompts": weight * (u0.a + u1.a) / 2.0 * (u1.x - u0.x),
            "answers": weight * (u0.b + u1.b) / 2.0 * (u1.y - u0.y),
            "prices": weight
            * ((u0.x + u1.x) * (u1.a - u0.a) + (u0.y + u1.y) * (u1.b - u0.b))
            / 2.0,
            "rest": weight * (u1.rest - u0.rest),
        }
        within += weight * (u1.mean - u0.mean)
        for name, value in (mix | inner).items():
            sums[name] += value
        moved.append((*key, math.fsum(mix.values()) + weight * (u1.mean - u0.mean)))
    moved.sort(key=lambda each: (-abs(each[2]), each))
    told = Parts(
        whole[0], whole[1], sums["tasks"], sums["deployments"], within, largest=tuple(moved[:NAMED])
    )
    if not money:
        return told
    return replace(
        told, prompts=sums["prompts"], answers=sums["answers"], prices=sums["prices"],
        rest=sums["rest"],
    )  # fmt: skip


_Key = tuple[str, str]


def _cells(shares: Iterable[Share]) -> dict[_Key, Share]:
    found: dict[_Key, Share] = {}
    for each in shares:
        if each.count < 0.0 or not math.isfinite(each.total):
            raise ExperimentError("count must be at least 0 and total finite")
        if each.count > 0.0:
            key = each.task, each.deployment
            found[key] = found[key] + each if key in found else each
    return found


def _shares(
    cells: Mapping[_Key, Share], other: Mapping[_Key, Share], keys: Sequence[_Key]
) -> dict[_Key, tuple[float, float]]:
    """The task's share, and the deployment's within it; of a task without requests here that of
    the other side.
    """
    tasks, elsewhere = _by_task(cells), _by_task(other)
    whole = math.fsum(tasks.values())
    found = {}
    for key in keys:
        task = key[0]
        side, among = (cells, tasks) if task in tasks else (other, elsewhere)
        within = side[key].count / among[task] if key in side else 0.0
        found[key] = tasks.get(task, 0.0) / whole, within
    return found


def _by_task(cells: Mapping[_Key, Share]) -> dict[str, float]:
    tasks: dict[str, float] = {}
    for (task, _), each in cells.items():
        tasks[task] = tasks.get(task, 0.0) + each.count
    return tasks


def _units(
    cells: Mapping[_Key, Share], other: Mapping[_Key, Share], keys: Sequence[_Key], money: bool
) -> dict[_Key, _Unit]:
    prices = _prices(cells) if money else {}
    elsewhere = _prices(other) if money else {}
    found = {}
    for key in keys:
        here = cells.get(key)
        cell, known = (here, prices) if here is not None else (other[key], elsewhere)
        a, b = known.get(key[1], (0.0, 0.0))
        found[key] = _Unit(
            cell.total / cell.count, cell.tokens_in / cell.count, cell.tokens_out / cell.count, a, b
        )
    return found


def _prices(cells: Mapping[_Key, Share]) -> dict[str, tuple[float, float]]:
    bills: dict[str, Bill] = {}
    for (_, deployment), each in cells.items():
        bills[deployment] = bills.get(deployment, Bill()) + each.bill
    told = {name: bill.prices() for name, bill in bills.items()}
    return {name: each for name, each in told.items() if each is not None}
