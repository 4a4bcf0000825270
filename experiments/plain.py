"""Reports in the plain form that JSON can hold: dictionaries, lists, and None for no number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def plain(thing: object) -> Any:
    """Dataclasses as dictionaries, tuples as lists, words of an enum as texts; NaN and infinity,
    for which JSON has no word, are None: no bound.
    """
    if is_dataclass(thing) and not isinstance(thing, type):
        return {each.name: plain(getattr(thing, each.name)) for each in fields(thing)}
    if isinstance(thing, Enum):
        return thing.value
    if isinstance(thing, Mapping):
        return {str(name): plain(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(each) for each in thing]
    if isinstance(thing, Exception):
        return str(thing)
    if isinstance(thing, bool | int | str) or thing is None:
        return thing
    if isinstance(thing, float):
        return float(thing) if math.isfinite(thing) else None
    raise TypeError(f"{type(thing).__name__} has no plain form")
