"""Money that adds up: totals beside the sums of their parts, and the published multiplication."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

DAYS = 30  # of the published month
PUBLISHED_CENTS, PUBLISHED_REQUESTS, PUBLISHED_MONTH_USD = 11, 5_000, 13_200


@dataclass(frozen=True, slots=True)
class Sum:
    """A total in micro-dollars that was counted by itself, and the parts it falls into."""

    name: str
    total: int
    parts: Mapping[str, int]

    @property
    def gap(self) -> int:
        """What the parts say more than the total; 0 where they agree."""
        return sum(self.parts.values()) - self.total

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {"name": self.name, "total_micro_usd": self.total,
                "parts_micro_usd": dict(self.parts), "gap_micro_usd": self.gap}  # fmt: skip


def divided(name: str, total: int, rows: Iterable[T], by: Callable[[T], str],
            amount: Callable[[T], int]) -> Sum:  # fmt: skip
    """Rows put together by a word of theirs, beside a total that was counted elsewhere."""
    parts: dict[str, int] = {}
    for row in rows:
        parts[by(row)] = parts.get(by(row), 0) + amount(row)
    return Sum(name, total, dict(sorted(parts.items())))


def charged(tokens_in: int, tokens_out: int, usd_per_mtok: tuple[float, float]) -> int:
    """Micro-dollars of a call, rounded half up once."""
    return int(tokens_in * usd_per_mtok[0] + tokens_out * usd_per_mtok[1] + 0.5)


def mean_usd(micro_usd: int, count: int) -> float | None:
    """Dollars each; None of nothing."""
    return micro_usd / count / 1e6 if count else None


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The published example's own multiplication, done again in whole cents."""

    cents: int = PUBLISHED_CENTS
    requests: int = PUBLISHED_REQUESTS
    days: int = DAYS
    said_usd: int = PUBLISHED_MONTH_USD

    @property
    def month_usd(self) -> float:
        """What the figures give."""
        return self.cents * self.requests * self.days / 100

    @property
    def implied_cents(self) -> float:
        """What a request would have to cost for what was said."""
        return self.said_usd * 100 / (self.requests * self.days)

    def in_words(self) -> str:
        """Who is right, in a sentence."""
        product = f"${self.cents / 100:.2f} x {self.requests:,} x {self.days}"
        if self.month_usd == self.said_usd:
            return f"{product} is ${self.month_usd:,.0f}, as the example says"
        return (
            f"{product} is ${self.month_usd:,.0f}; the published example says "
            f"${self.said_usd:,}, which would be {self.implied_cents:.1f} cents a request"
        )


def month(micro_usd: int, days: int = DAYS) -> int:
    """Such a day, so many times over."""
    return micro_usd * days
