"""The kinds of what flows between steps: texts, numbers, lists, objects, images, sounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAMES = (
    "text", "integer", "number", "boolean", "list", "object", "image", "audio", "any"
)  # fmt: skip
DEEPEST = 8


class KindUnknown(ValueError):
    """A kind that is not written as one; the message says how."""


@dataclass(frozen=True, slots=True)
class Kind:
    """``item`` of a list, ``fields`` of an object; where they are not given, any."""

    name: str
    item: Kind | None = None
    fields: Mapping[str, Kind] | None = field(default=None, hash=False)

    def __str__(self) -> str:
        if self.name == "list" and self.item is not None and self.item.name != "any":
            return f"list of {self.item}"
        return self.name


TEXT, INTEGER, NUMBER, BOOLEAN = Kind("text"), Kind("integer"), Kind("number"), Kind("boolean")
OBJECT, IMAGE, AUDIO, ANY = Kind("object"), Kind("image"), Kind("audio"), Kind("any")
LIST = Kind("list", ANY)
TEXTS, NUMBERS = Kind("list", TEXT), Kind("list", NUMBER)
MEDIA: Mapping[str, Kind] = {"media_type": TEXT, "b64": TEXT}


def list_of(item: Kind) -> Kind:
    """A list of such items."""
    return Kind("list", item)


def object_of(fields: Mapping[str, Kind]) -> Kind:
    """An object with these fields."""
    return Kind("object", None, fields)


def read(text: str) -> Kind:
    """``text``, ``list of number``, ``object``; raises KindUnknown."""
    parts = text.strip().split(" of ")
    if len(parts) > DEEPEST or any(each not in NAMES for each in parts):
        raise KindUnknown(f"{text!r} is no type; give one of {', '.join(NAMES)}, or list of one")
    if any(each != "list" for each in parts[:-1]):
        raise KindUnknown(f"{text!r}: only a list is of something")
    kind = LIST if parts[-1] == "list" else Kind(parts[-1])
    for _ in parts[:-1]:
        kind = Kind("list", kind)
    return kind


def fits(given: Kind, wanted: Kind) -> bool:
    """Whether what is of one kind may stand where the other is wanted."""
    if "any" in (given.name, wanted.name):
        return True
    if given.name == "integer" and wanted.name == "number":
        return True
    if given.name != wanted.name:
        return False
    if given.name == "list":
        return fits(given.item or ANY, wanted.item or ANY)
    if given.name == "object" and wanted.fields and given.fields is not None:
        return all(
            name in given.fields and fits(given.fields[name], kind)
            for name, kind in wanted.fields.items()
        )
    return True


def joined(one: Kind, other: Kind) -> Kind:
    """What is of either kind."""
    if fits(one, other):
        return other if one.name != "any" else one
    return one if fits(other, one) else ANY


def of_value(value: Any) -> Kind:
    """The kind of a value that stands in a file."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return NUMBER
    if isinstance(value, str):
        return TEXT
    if isinstance(value, list):
        found: Kind | None = None
        for each in value:
            found = of_value(each) if found is None else joined(found, of_value(each))
        return Kind("list", found or ANY)
    if isinstance(value, dict):
        return object_of({str(key): of_value(each) for key, each in value.items()})
    return ANY


def fault(value: Any, kind: Kind) -> str:
    """Why a value is not of a kind; empty where it is."""
    if kind.name == "any":
        return ""
    if kind.name == "list":
        if not isinstance(value, list):
            return "must be a list"
        told = (fault(each, kind.item or ANY) for each in value)
        return next((f"[{at}] {why}" for at, why in enumerate(told) if why), "")
    if kind.name in ("object", "image", "audio"):
        if not isinstance(value, dict):
            return "must be an object"
        fields = MEDIA if kind.name != "object" else kind.fields or {}
        for name, inner in fields.items():
            if name not in value:
                return f"lacks {name}"
            if why := fault(value[name], inner):
                return f".{name} {why}"
        return ""
    return "" if _plain(value, kind.name) else f"must be {_CALLED[kind.name]}"


def _plain(value: Any, name: str) -> bool:
    if name == "boolean" or isinstance(value, bool):
        return name == "boolean" and isinstance(value, bool)
    if name == "text":
        return isinstance(value, str)
    if name == "integer":
        return isinstance(value, int)
    return isinstance(value, int | float) and math.isfinite(value)


_CALLED = {
    "text": "a text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false",
}  # fmt: skip
