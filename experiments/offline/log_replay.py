"""What another policy would have done on logged decisions, knowing at each what was known then."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from experiments.statistics.inputs import Floats, Ints
from learning.errors import LearningError
from learning.interaction import Context, Interaction
from learning.policies.base import Chooser, Policy, Prior, Scores
from learning.reward import RewardScale

TOLD_EVERY = 500  # steps, between two words of the progress
NEGLIGIBLE = 1e-6  # a share so small, of an arm without a chance, is given to the others

UNKNOWN = "none of the deployments eligible is known to the policy"
OTHER_FEATURES = "decided with other features"


@dataclass(frozen=True, slots=True)
class Told:
    """A logged update, in its place ``seq``; a tick has neither an interaction nor a prior.

    ``policy``: not an update, but what the version was found to be after it: a checkpoint of its
    own, from which the replay goes on (after a rollback a version is not what it was).
    """

    seq: int
    at_us: int
    interaction: Interaction | None = None
    prior: Prior | None = None
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a decision; NaN where it is not known. ``status`` of HTTP."""

    status: float
    quality: float
    reward: float
    cost_micro_usd: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """A logged decision. ``update_seq``: the last update that the view knew which made it.
    ``left_out`` says why the row is not used, empty where it is.
    """

    at_us: int
    update_seq: int
    context: Context
    eligible: tuple[str, ...]
    propensities: tuple[float, ...]
    arm: str
    scale: RewardScale
    shown: Shown
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The policy in question as it stood after an update, which was at ``at_us``."""

    policy: Policy
    at_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """Rows that can be used, in the order of the log; arms are ``names`` [K].

    ``target`` and ``propensities`` [n, K]: the policy's probabilities and the logged ones;
    ``quality``, ``cost_usd``, ``latency_s``, ``error_rate`` [n, K]: what the policy expected, NaN
    for arms that it does not know; ``per_usd`` and ``per_second`` [n]: the exchange rates in force;
    ``shown``: columns [n] of the outcome. ``row`` [n]: which of the decisions given.
    """

    names: tuple[str, ...]
    row: Ints
    at_us: Ints
    drawn: Ints
    propensities: Floats
    target: Floats
    quality: Floats
    cost_usd: Floats
    latency_s: Floats
    error_rate: Floats
    per_usd: Floats
    per_second: Floats
    shown: Mapping[str, Floats]
    left_out: Mapping[str, int]
    updates: int
    passed_over: int
    views: int

    def __len__(self) -> int:
        return len(self.row)


class _Walk:
    """The policy on its way through the updates, and the view that it shows."""

    def __init__(self, target: Target, updates: Iterable[Told]) -> None:
        self.policy = target.policy
        self.taken = self.passed_over = self.views = 0
        self._updates: Iterator[Told] = iter(updates)
        self._next = next(self._updates, None)
        self._at_us = target.at_us
        self._stale = False
        self._view: Chooser | None = None

    def through(self, seq: int, at_us: int) -> None:
        """Take what was told up to that update, and before that time.

        The time matters after a kill: numbers whose updates were lost are given again.
        """
        while (told := self._next) is not None and told.seq <= seq and told.at_us <= at_us:
            self._take(told)
            self._next = next(self._updates, None)

    def _take(self, told: Told) -> None:
        self._stale = True
        if told.policy is not None:
            self.policy = told.policy
            return
        self._at_us = told.at_us
        self.taken += 1
        try:
            if told.prior is not None:
                self.policy.take_prior(told.prior)
            elif told.interaction is not None:
                if not self._fits(told.interaction):
                    self.passed_over += 1
                    return
                self.policy.learn(told.interaction)
        except LearningError:
            self.passed_over += 1

    def _fits(self, interaction: Interaction) -> bool:
        dimension = interaction.context.features.shape[0]
        known = self.policy.knows(interaction.choice.arm)
        return known and dimension == len(self.policy.setup.features)

    def view(self) -> Chooser:
        """What the policy would have published last."""
        if self._view is None or self._stale:
            self._view = self.policy.chooser(self._at_us / 1e6)
            self._stale = False
            self.views += 1
        return self._view


@dataclass(slots=True)
class _Rows:
    """The rows as they are gathered; arms get their columns as they appear."""

    place: dict[str, int] = field(default_factory=dict)
    kept: list[tuple[int, Drawn]] = field(default_factory=list)
    said: list[tuple[tuple[str, ...], NDArray[np.float64], Scores]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def matrix(self, of: Callable[[Drawn, int], tuple[tuple[str, ...], Iterable[float]]],
               empty: float) -> Floats:  # fmt: skip
        """[n, K] from names and values a row."""
        made = np.full((len(self.kept), len(self.place)), empty)
        for at, (_, row) in enumerate(self.kept):
            names, values = of(row, at)
            made[at, [self.place[name] for name in names]] = list(values)
        return made

    def expected(self, part: Callable[[Scores], Floats]) -> Floats:
        """[n, K] of a part of the scores."""
        return self.matrix(lambda _, at: (self.said[at][0], part(self.said[at][2])), math.nan)


def replay(
    target: Target,
    decisions: Iterable[Drawn],
    updates: Iterable[Told],
    progress: Callable[[int], None] = lambda done: None,
) -> Replayed:
    """Walk the log in its order: ``decisions`` as they were made, ``updates`` by number, all of
    those after the target's state.

    At each decision the policy knows what the view that made it knew, so its probabilities and
    its expectations depend on the past alone: what rests on them stays valid though the logged
    policy learned. It is published as often as the one that decided (a view that lacks a few
    updates more would weigh like another policy), so where it had decided itself they are the
    logged ones, bit for bit.
    """
    walk, rows = _Walk(target, updates), _Rows()
    dimension = len(target.policy.setup.features)
    for number, row in enumerate(decisions):
        if number % TOLD_EVERY == 0:
            progress(number)
        why = row.left_out
        if not why and row.context.features.shape[0] != dimension:
            why = OTHER_FEATURES
        if not why and not any(target.policy.knows(name) for name in row.eligible):
            why = UNKNOWN
        if why:
            rows.left_out[why] += 1
            continue
        walk.through(row.update_seq, row.at_us)
        view = walk.view()
        known = tuple(name for name in row.eligible if target.policy.knows(name))
        scores = view.scores(row.context, [target.policy.index(name) for name in known])
        for name in row.eligible:
            rows.place.setdefault(name, len(rows.place))
        rows.kept.append((number, row))
        rows.said.append((known, view.propensities(scores), scores))
    return _replayed(rows, walk)


def _replayed(rows: _Rows, walk: _Walk) -> Replayed:
    logged = rows.matrix(lambda row, _: (row.eligible, row.propensities), 0.0)
    wanted = rows.matrix(lambda _, at: rows.said[at][:2], 0.0)
    drawn = [row for _, row in rows.kept]
    shown = {
        name: np.array([getattr(row.shown, name) for row in drawn], dtype=np.float64)
        for name in ("status", "quality", "reward", "cost_micro_usd")
    }
    return Replayed(
        names=tuple(rows.place),
        row=np.array([number for number, _ in rows.kept], dtype=np.int64),
        at_us=np.array([row.at_us for row in drawn], dtype=np.int64),
        drawn=np.array([rows.place[row.arm] for row in drawn], dtype=np.int64),
        propensities=logged,
        target=_supported(wanted, logged),
        quality=rows.expected(lambda scores: scores.quality),
        cost_usd=rows.expected(lambda scores: scores.cost_usd),
        latency_s=rows.expected(lambda scores: scores.latency_s),
        error_rate=rows.expected(lambda scores: scores.error_rate),
        per_usd=np.array([row.scale.per_usd for row in drawn], dtype=np.float64),
        per_second=np.array([row.scale.per_second for row in drawn], dtype=np.float64),
        shown=shown,
        left_out=dict(rows.left_out),
        updates=walk.taken,
        passed_over=walk.passed_over,
        views=walk.views,
    )


def _supported(target: Floats, logged: Floats) -> Floats:
    """Negligible shares of arms that had no chance are given to the others of their row."""
    lost = (logged <= 0.0) & (target > 0.0) & (target <= NEGLIGIBLE)
    touched = lost.any(1)
    if not touched.any():
        return target
    mended = np.where(lost, 0.0, target)
    mended[touched] /= mended[touched].sum(1, keepdims=True)
    return mended
