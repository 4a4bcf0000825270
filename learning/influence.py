"""How much one author may weigh in what is learned: a share that accrues while others are learned.

Whoever rates alone could teach a policy anything. So an author spends an allowance: ``burst``
answers, and as much of what the others bring to the same arm and task as makes the share. A bucket
of tokens, filled by the others' evidence rather than by time, holds in every stretch of time:

    own <= burst + ratio * others,    ratio = share / (1 - share)

and thus for sums that forget too (summation by parts, the weights of time rising), however the
ratings are spread. Where fewer than ``2 / share`` authors are about, the share is two over their
number: with less, authors who are alike would keep one another from being learned.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

Cell = tuple[str, str]  # an arm and a task
MOST_KNOWN = 200_000  # allowances that are remembered; the one not used for longest goes first


@dataclass(frozen=True, slots=True)
class ShareRule:
    """``share`` of the evidence of an arm in a task, in (0, 1); ``burst``: answers beside it."""

    share: float
    burst: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share lies in (0, 1], not {self.share!r}")
        if not (math.isfinite(self.burst) and self.burst >= 0.0):
            raise ValueError(f"burst is a number of answers, not {self.burst!r}")

    def ratio(self, authors: int) -> float:
        """What of the others' evidence an author may bring where so many are about."""
        share = min(1.0, max(self.share, 2.0 / max(authors, 1)))
        return share / (1.0 - share) if share < 1.0 else math.inf


def pull(own: float, others: float) -> float:
    """By how much an author with ``own`` of the evidence can move the mean of what lies in [0, 1]
    beside ``others``: both are answers' weights.
    """
    return own / (own + others) if own > 0.0 else 0.0


def greatest_pull(rule: ShareRule, others: float, authors: int) -> float:
    """The bound on ``pull`` under a rule, whatever the author does."""
    ratio = rule.ratio(authors)
    return 1.0 if math.isinf(ratio) else pull(rule.burst + ratio * others, others)


@dataclass(slots=True)
class _Bucket:
    """``own``: what the author has brought of the cell's evidence; ``seen``: what the others had
    brought when it last spent.
    """

    tokens: float
    own: float = 0.0
    seen: float = 0.0


class Shares:
    """The allowances of all authors in all cells. Its state changes by ``spend`` alone, so it is a
    fold over what was spent.
    """

    def __init__(self, rule: ShareRule) -> None:
        self.rule = rule
        self._brought: dict[Cell, float] = {}
        self._buckets: OrderedDict[tuple[str, Cell], _Bucket] = OrderedDict()
        self._days: dict[int, set[str]] = {}
        self._about: tuple[int, set[str]] = (-1, set())  # a day, and who was learned from then

    def authors(self, who: str, day: int) -> int:
        """How many are about, ``who`` among them: those learned from on that day or the last."""
        if self._about[0] != day:  # once a day: there may be many
            self._about = day, self._days.get(day, set()) | self._days.get(day - 1, set())
        about = self._about[1]
        return len(about) + (who not in about)

    def allowance(self, who: str, cell: Cell, day: int) -> float:
        """What an author may still bring to a cell, in answers' weight."""
        ratio = self.rule.ratio(self.authors(who, day))
        if math.isinf(ratio):
            return math.inf
        bucket = self._buckets.get((who, cell))
        if bucket is None:
            return self.rule.burst
        others = self._brought.get(cell, 0.0) - bucket.own
        return min(self.rule.burst, bucket.tokens + ratio * max(0.0, others - bucket.seen))

    def spend(self, who: str, cell: Cell, day: int, amount: float, brought: float) -> None:
        """An author was learned from: ``amount`` leaves its allowance, and ``brought`` (less, where
        the answer was rated before) comes to the evidence.
        """
        left = min(self.allowance(who, cell, day), self.rule.burst) - amount
        bucket = self._buckets.setdefault((who, cell), _Bucket(self.rule.burst))
        self._buckets.move_to_end((who, cell))
        bucket.tokens = left
        bucket.seen = self._brought.get(cell, 0.0) - bucket.own
        bucket.own += brought
        self._brought[cell] = self._brought.get(cell, 0.0) + brought
        self._days.setdefault(day, set()).add(who)
        if self._about[0] in (day, day + 1):
            self._about[1].add(who)
        for old in [each for each in self._days if each < day - 2]:
            del self._days[old]
        if len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)

    def give_back(self, who: str, cell: Cell, amount: float, brought: float) -> None:
        """What was spent did not come to be."""
        bucket = self._buckets.get((who, cell))
        if bucket is not None:
            bucket.tokens += amount
            bucket.own -= brought
            self._brought[cell] -= brought


class Quota:
    """How often each has done something within an hour and a day of the clock, in UTC."""

    HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], dict[Hashable, int]] = {}

    def count(self, who: Hashable, span_us: int, at_us: int) -> int:
        """How often within the hour, or day, of that time."""
        return self._counts.get((span_us, at_us // span_us), {}).get(who, 0)

    def add(self, who: Hashable, at_us: int, times: int = 1) -> None:
        """Once more, or with a negative number less."""
        for span_us in (self.HOUR_US, self.DAY_US):
            counts = self._counts.setdefault((span_us, at_us // span_us), {})
            counts[who] = counts.get(who, 0) + times
        for old in [
            (span, at) for span, at in self._counts if at < at_us // span - 1
        ]:  # the one before is kept: a clock may be set back a little
            del self._counts[old]
