"""The kept answer whose question is most like another one: by cosine, within its group, bounded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from learning.likeness import DIMENSION, Vector
from learning.verified_reuse import VerifiedReuse
from service.caching.shelf import Entry

MOST_IN_GROUP = 2_000  # a search is a product with so many rows at the most
MOST_APART = 8  # askers whose looks at an answer are kept apart
MOST_ASKERS = 64  # of whom is remembered how often they agreed
MOST_BY_ONE = 16  # times that one asker's agreement counts for others


@dataclass(slots=True, eq=False)
class Centre:
    """An answer that may stand for others. An asker is a key, or one of its users. ``maker``: the
    one whose question it answered; ``unseen``: how often it was given since it was last found
    right; ``own``: what each of the first askers found; ``pooled``: what all but the maker found,
    none counting for more than its part, by ``agreed``.
    """

    entry: Entry
    maker: str
    vector: Vector
    group: str
    unseen: int = 0
    own: dict[str, VerifiedReuse] = field(default_factory=dict)
    agreed: OrderedDict[str, int] = field(default_factory=OrderedDict)  # the latest last
    pooled: VerifiedReuse = field(default_factory=VerifiedReuse)

    def seen(self, asker: str, similarity: float, right: bool) -> None:
        """An asker's question was answered anew: whether this answer was right."""
        mine = self.own.get(asker)
        if mine is None and len(self.own) < MOST_APART:
            mine = self.own[asker] = VerifiedReuse()
        if asker != self.maker and (not right or self._agrees(asker)):
            self.pooled.see(similarity, right)
        if mine is not None:
            mine.see(similarity, right)
        if right and (asker != self.maker or not self.pooled.right):
            self.unseen = 0  # where it serves others, its maker's word does not renew it

    def _agrees(self, asker: str) -> bool:
        """Whether that counts: many agreeing looks of one prove nothing to the others."""
        times = self.agreed[asker] = self.agreed.get(asker, 0) + 1
        self.agreed.move_to_end(asker)
        if len(self.agreed) > MOST_ASKERS:
            self.agreed.popitem(last=False)
        return times <= MOST_BY_ONE

    def known(self, asker: str) -> VerifiedReuse:
        """What holds for an asker: its own looks, or all but the maker's, whichever are more."""
        mine = self.own.get(asker)
        return mine if mine is not None and mine.count >= self.pooled.count else self.pooled

    def serves(self, asker: str) -> bool:
        """Whether it may be given to one at all: to its maker; to others only once the question of
        another asker than the maker was answered alike.
        """
        return asker == self.maker or self.pooled.right > 0

    @property
    def changed(self) -> bool:
        """Whether it is no longer right where it was."""
        return self.pooled.changed or any(each.changed for each in self.own.values())


class Liking(NamedTuple):
    """A question on its way: its group and vector, who asks, and what is nearest."""

    group: str
    vector: Vector
    asker: str
    centre: Centre | None
    similarity: float


class _Group:
    """Questions that may stand for each other, a row each."""

    __slots__ = ("centres", "rows", "used")

    def __init__(self) -> None:
        self.rows = np.empty((4, DIMENSION), dtype=np.float32)
        self.centres: list[Centre] = []
        self.used: OrderedDict[int, Centre] = OrderedDict()  # the least lately used first

    def add(self, centre: Centre) -> None:
        count = len(self.centres)
        if count == len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
        self.rows[count] = centre.vector
        self.centres.append(centre)
        self.used[id(centre)] = centre

    def remove(self, centre: Centre) -> None:
        at, last = self.centres.index(centre), len(self.centres) - 1
        self.centres[at], self.rows[at] = self.centres[last], self.rows[last]
        self.centres.pop()
        del self.used[id(centre)]


class Nearest:
    """Lives on the event loop; the least lately used goes first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._groups: dict[str, _Group] = {}
        self._used: OrderedDict[int, Centre] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def find(self, group: str, vector: Vector) -> tuple[Centre, float] | None:
        """The most like one of a group, and how like it is; None where the group is empty."""
        found = self._groups.get(group)
        if found is None:
            return None
        near = found.rows[: len(found.centres)] @ vector
        at = int(near.argmax())
        centre = found.centres[at]
        self._used.move_to_end(id(centre))
        found.used.move_to_end(id(centre))
        return centre, min(float(near[at]), 1.0)

    def add(self, centre: Centre) -> None:
        """One more; the least lately used goes where there is no room."""
        group = self._groups.get(centre.group)
        if group is not None and len(group.centres) >= MOST_IN_GROUP:
            self.remove(next(iter(group.used.values())))
        self._groups.setdefault(centre.group, _Group()).add(centre)
        self._used[id(centre)] = centre
        self.bound(self.most)

    def bound(self, most: int) -> None:
        """Another bound holds."""
        self.most = most
        while len(self._used) > self.most:
            self.remove(next(iter(self._used.values())))

    def remove(self, centre: Centre) -> None:
        """It stands for nothing any more; nothing happens where it did not."""
        if self._used.pop(id(centre), None) is None:
            return
        group = self._groups[centre.group]
        group.remove(centre)
        if not group.centres:
            del self._groups[centre.group]

    def clear(self) -> None:
        """Forget all."""
        self._groups.clear()
        self._used.clear()
