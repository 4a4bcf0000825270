"""The records of money beside attempts: what else a call was billed for, and the prices."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from service.domain.catalog import Deployment, Price
from service.domain.records import Attempt, Extras


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call was billed for beside its plain tokens; only calls with any have one."""

    decision_id: str
    number: int
    at_us: int
    deployment: str
    cache_write_tokens: int
    reasoning_tokens: int
    images: int
    characters: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price of a deployment as a plan gave it; logged when a plan is taken that says otherwise
    than the log. ``from_us``: from when on it holds.
    """

    at_us: int
    deployment: str
    provider: str
    model: str
    from_us: int
    input_micro_usd_mtok: int
    output_micro_usd_mtok: int
    cached_input_micro_usd_mtok: int | None
    cache_write_micro_usd_mtok: int | None
    reasoning_micro_usd_mtok: int | None
    image_micro_usd: int
    mchar_micro_usd: int
    request_micro_usd: int
    batch_ppm: int

    @property
    def said(self) -> tuple[object, ...]:
        """All but when it was logged."""
        return tuple(getattr(self, name) for name in self.__slots__ if name != "at_us")


def charge(attempt: Attempt, more: Extras) -> Charge:
    """The record of what a call was billed for beside its plain tokens."""
    return Charge(
        attempt.decision_id, attempt.number, attempt.at_us, attempt.deployment,
        more.cache_write_tokens, more.reasoning_tokens, more.images, more.characters,
    )  # fmt: skip


def tariffs(
    catalog: Iterable[Deployment], at_us: int, told: Collection[tuple[str, int]] = ()
) -> list[Tariff]:
    """The prices of a catalogue. ``told``: the deployments and days of prices that earlier plans
    gave; where this one gives none from that day, it holds what it says of that day otherwise.
    """
    found = []
    for each in catalog:
        days = {price.from_us for price in each.prices}
        gone = sorted(day for name, day in told if name == each.name and day not in days)
        prices = (*each.prices, *(replace(each.price_at(day), from_us=day) for day in gone))
        found += [_tariff(each, price, at_us) for price in prices]
    return found


def _tariff(each: Deployment, price: Price, at_us: int) -> Tariff:
    return Tariff(
        at_us, each.name, each.provider, each.model, price.from_us,
        price.input_micro_usd_mtok, price.output_micro_usd_mtok,
        price.cached_input_micro_usd_mtok, price.cache_write_micro_usd_mtok,
        price.reasoning_micro_usd_mtok, price.image_micro_usd, price.mchar_micro_usd,
        price.request_micro_usd, price.batch_ppm,
    )  # fmt: skip
