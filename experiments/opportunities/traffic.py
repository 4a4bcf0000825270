"""Requests of a span with what they cost, as the columns that changes are tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.offline.savings import DrawnRequests
from experiments.statistics.inputs import Floats, Ints, alike

Bools = NDArray[np.bool_]
Words = NDArray[np.object_]
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """Calls of those requests, for new prices: ``request`` [c] is a place in the traffic."""

    request: Ints
    deployment: Words
    tokens_in: Ints
    tokens_out: Ints
    cached: Ints  # of tokens_in
    plain: Bools  # no written or reasoning tokens, images or characters
    cost: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Checks:
    """Judgings of served answers: ``cost`` [c] in micro-dollars, ``chance`` [c] that the answer was
    acceptable as it was foreseen (NaN: not), ``value`` [c] as it was judged (NaN: unread),
    ``probability`` [c] of being judged.
    """

    at_us: Ints
    task: Words
    cost: Ints
    chance: Floats
    value: Floats
    probability: Floats

    def __len__(self) -> int:
        return len(self.cost)


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """All requests whose question came more than once, [r] each, also those that the traffic
    leaves out: ``place`` in the traffic, -1: left out. The others as there; no settled ones.
    """

    place: Ints
    at_us: Ints
    ended_us: Ints
    task: Words
    same: Ints
    keepable: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Requests in the order of the log, [n] each.

    Of much traffic it holds one session in ``one_in``, and each request stands for as many: its
    ``cost`` is that of all of them. What an exact cache would have answered hangs on what came
    before, so ``repeats`` tells of all; None: nothing is left out.

    ``same``: requests that an exact cache would take for the same, as far as the log knows, share a
    number; -1: none. ``draw``: the place of its draw in ``draws`` (its own, or that which held its
    session); -1: nobody drew it. ``labels``: a place in ``labelled``, the tags and the tier.
    ``keepable``: answered well, by a call. ``settled``: given again by the cache or sent in a
    batch already, or none that these are for: no text, or a step of a workflow. ``cost``:
    micro-dollars of its calls.
    """

    at_us: Ints
    ended_us: Ints
    task: Words
    tenant: Words
    key: Words
    feature: Words
    deployment: Words
    same: Ints
    draw: Ints
    held: Bools  # a later turn of a conversation
    stream: Bools
    keepable: Bools
    settled: Bools
    labels: Ints
    cost: Ints
    labelled: tuple[frozenset[str], ...]
    draws: DrawnRequests
    checks: Checks
    calls: Calls | None = None
    repeats: Repeats | None = None
    one_in: int = 1

    def __post_init__(self) -> None:
        one = ("labelled", "draws", "checks", "calls", "repeats", "one_in")
        alike({name: len(getattr(self, name)) for name in self.__slots__ if name not in one})

    def __len__(self) -> int:
        return len(self.cost)

    def of_task(self, task: str) -> Bools:
        """Which requests; an empty or ``*`` name is all."""
        return of_task(self.task, task)

    def asked_again(self) -> Repeats:
        """All requests that may have a like."""
        if self.repeats is not None:
            return self.repeats
        rows = np.flatnonzero((self.same >= 0) & ~self.settled)
        return Repeats(rows, self.at_us[rows], self.ended_us[rows], self.task[rows],
                       self.same[rows], self.keepable[rows])  # fmt: skip


def of_task(tasks: Words, task: str) -> Bools:
    """Which of them are of a task; an empty or ``*`` name is all."""
    if task in ("", "*"):
        return np.ones(len(tasks), dtype=np.bool_)
    found: Bools = tasks == task
    return found
