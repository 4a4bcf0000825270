"""Which published files of a day become one, and which days are over."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

FAN_IN = 12  # files of a day that is not over that are joined at once
SMALL_BYTES = 256 * 1024
TIERS = 3  # of sizes, each ``FAN_IN`` times the one before
MOST_BYTES = 384 * 1024 * 1024  # of files that are joined at once: a publication must not wait long
DAY_S = 86_400.0


def by_day(paths: Sequence[str]) -> Mapping[str, list[str]]:
    """Files of a table by their day, as YYYY-MM-DD, in the order of their rows."""
    days: dict[str, list[str]] = {}
    for path in sorted(paths, key=lambda path: path.rsplit("/", 1)[-1]):
        days.setdefault(path.split("/")[1].removeprefix("day="), []).append(path)
    return days


def to_join(paths: Sequence[str], closed: bool, size: Callable[[str], int]) -> list[str]:
    """The files of a day that become one now; empty where none should.

    Of a day that is over all, but for large ones, which are left as they are. Of another one the
    newest, once there are ``FAN_IN`` that are alike in size: so each row is written a few times and
    a day has a few dozen files (a log-structured merge; O'Neil et al., Acta Informatica 33, 1996).
    """
    if closed:
        return _small_neighbours(paths, size)
    if len(paths) < FAN_IN:
        return []
    tiers = [_tier(size(path)) for path in paths]
    for tier in range(TIERS):
        run = 0
        while run < len(paths) and tiers[-1 - run] <= tier:
            run += 1
        if tiers[len(paths) - run :].count(tier) >= FAN_IN:
            return list(paths[-run:])
    return []


def _small_neighbours(paths: Sequence[str], size: Callable[[str], int]) -> list[str]:
    """The first neighbours that together are no more than ``MOST_BYTES``."""
    group: list[str] = []
    whole = 0
    for path in paths:
        own = size(path)
        large = own > MOST_BYTES / 3
        if large or whole + own > MOST_BYTES:
            if len(group) > 1:
                return group
            group, whole = [], 0
        if not large:
            group.append(path)
            whole += own
    return group if len(group) > 1 else []


def _tier(size: int) -> int:
    tier = 0
    while size > SMALL_BYTES * FAN_IN**tier:
        tier += 1
    return tier


def joined_name(paths: Sequence[str]) -> str:
    """The name of the file that holds the rows of all these."""
    first = min(path.split("rows-")[1].split("-")[0] for path in paths)
    last = max(path.split("rows-")[1].split("-")[1] for path in paths)
    return f"{paths[0].rsplit('/', 1)[0]}/rows-{first}-{last}"


def in_order(paths: Sequence[str]) -> bool:
    """Whether the files, one after the other, hold their rows in the order of the log."""
    spans = [path.split("rows-")[1].removesuffix(".parquet").split("-") for path in paths]
    return all(a[1] < b[0] for a, b in itertools.pairwise(spans))
