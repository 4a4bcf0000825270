"""What a minute showed: calls, errors, latency and spend, in total and by deployment."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.budgets import BudgetStanding

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One deployment's calls, or all requests, in one minute. Latencies in seconds, of answers
    and of what timed out (which took at least so long); None without any.
    """

    calls: int = 0
    answered: int = 0
    failed: int = 0  # calls that blame the deployment; requests that ended with 5xx
    errors: Mapping[str, int] = field(default_factory=dict)  # by kind, whoever is to blame
    fallbacks: int = 0
    cost_micro_usd: int = 0
    timed: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    first_tokens: int = 0
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None

    @property
    def judged(self) -> int:
        """Answered, or failed by our fault: what an error rate is a share of."""
        return self.answered + self.failed


EMPTY = Cell()


@dataclass(frozen=True, slots=True)
class Facts:
    """What stood at the close of a minute, beside the traffic. ``exploring``: deployments whose
    quality changed; ``invalid``: experiments whose units are not what was drawn, and why;
    ``propensities``, ``outage``, ``uneven_ratings``: the alarm in words, empty where there is none.
    ``unsure``: how many requests had a task that was not sure enough, in the days before and
    today: unsure and all of either; None where nobody is asked.
    """

    deployments: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    queue_waiting: int = 0
    queue_oldest_s: float = 0.0
    reviews_overdue: int = 0
    exploring: tuple[str, ...] = ()
    invalid: Mapping[str, str] = field(default_factory=dict)
    propensities: str = ""
    outage: str = ""
    uneven_ratings: str = ""
    unsure: tuple[tuple[int, int], tuple[int, int]] | None = None
    budgets: tuple[BudgetStanding, ...] = ()  # those that have reached their first level


@dataclass(frozen=True, slots=True)
class Minute:
    """A closed minute. ``facts``: None for one that was made anew from the log; ``late``: records
    of minutes that were closed already, which came in this one.
    """

    start_us: int
    total: Cell = EMPTY
    deployments: Mapping[str, Cell] = field(default_factory=dict)
    late: int = 0
    facts: Facts | None = None

    @property
    def end_us(self) -> int:
        """When it closed."""
        return self.start_us + MINUTE_US


@dataclass(frozen=True, slots=True)
class Count:
    """Sums from the first minute of a series through the one that ends at ``end_us``."""

    end_us: int
    answered: int
    failed: int
    cost_micro_usd: int


@dataclass(frozen=True, slots=True)
class Series:
    """Running sums of requests and spend, one a minute in order; minutes may be missing."""

    counts: tuple[Count, ...] = ()

    def last(self, until_us: int, minutes: int) -> Count:
        """The sums of the ``minutes`` before ``until_us``; its ``end_us`` is ``until_us``."""
        since_us = until_us - minutes * MINUTE_US
        last, first = self._through(until_us), self._through(since_us)
        return Count(
            until_us,
            last.answered - first.answered,
            last.failed - first.failed,
            last.cost_micro_usd - first.cost_micro_usd,
        )

    def reaches(self, since_us: int) -> bool:
        """Whether it begins at or before a time."""
        return bool(self.counts) and self.counts[0].end_us - MINUTE_US <= since_us

    def _through(self, until_us: int) -> Count:
        at = bisect_left(self.counts, until_us + 1, key=lambda count: count.end_us)
        return self.counts[at - 1] if at else Count(0, 0, 0, 0)


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The least value that at least ``share`` of the ordered values do not exceed."""
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
