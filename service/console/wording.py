"""Numbers as people read them: each with its unit, a dash where there is none."""

from __future__ import annotations

from datetime import UTC, datetime

NONE = "–"
_THIN = "\u202f"  # a narrow space that does not break


def percent(share: float | None, digits: int = 0) -> str:
    """A share of one as percent."""
    return NONE if share is None else f"{100 * share:.{digits}f}{_THIN}%"


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return NONE
    if value < 0.0995:
        return f"{1_000 * value:.0f}{_THIN}ms"
    if value < 120:
        return f"{value:.2f}{_THIN}s" if value < 10 else f"{value:.1f}{_THIN}s"
    return span(value)


def span(value: float) -> str:
    """A long duration, in the two largest units."""
    whole = int(max(0.0, value))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (left, "s"))
    first = next((i for i, (value, _) in enumerate(units) if value), 3)
    told = [f"{value}{_THIN}{unit}" for value, unit in units[first : first + 2] if value]
    return " ".join(told) or f"0{_THIN}s"


def usd(value: float | None) -> str:
    """An amount of money; small ones keep their digits."""
    if value is None:
        return NONE
    if value == 0:
        return "$0"
    size = abs(value)
    digits = 2 if size >= 1 else 4 if size >= 0.001 else 6
    return f"{'-' if value < 0 else ''}${size:,.{digits}f}"


def count(value: int | None) -> str:
    """A number of things."""
    return NONE if value is None else f"{value:,}".replace(",", _THIN)


def number(value: float | None, digits: int = 3) -> str:
    """A number without a unit."""
    return NONE if value is None else f"{value:.{digits}f}"


def measured(value: float | None) -> str:
    """A metric's mean, to four digits that count."""
    return NONE if value is None else f"{value:.4g}"


def clock(microseconds: int) -> str:
    """A time, UTC."""
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def short(identity: str) -> str:
    """An id as one can tell it from its neighbours: its end, which is random."""
    return identity if len(identity) <= 12 else f"…{identity[-8:]}"


def plural(number_of: int, one: str, many: str = "") -> str:
    """So many of a thing."""
    return f"{count(number_of)} {one if number_of == 1 else many or one + 's'}"
