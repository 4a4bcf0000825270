"""What a simulated deployment says where JSON of a form is asked for: a seeded value of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

DEEPEST = 12
WORDS = 9  # of a text whose length nobody bounds
LONGEST = 3  # a list without a bound of its own, at most
SPAN = 10.0  # of numbers without bounds
YES = 0.75  # how often a flag is true
MEMBERS = "JSON object and nothing else, with the members: "
_KINDS = {"integer": "integer", "number": "number", "boolean": "boolean", "object": "object"}
_SAID = (
    "water", "finds", "its", "way", "down", "to", "the", "quiet", "field", "and", "on", "past",
    "old", "mills", "until", "evening",
)  # fmt: skip


def made(schema: Any, seed: str) -> Any:
    """A value of a JSON schema; the same schema and seed give the same one.

    Known: type, enum, const, examples (one of them), properties, items, the bounds of numbers,
    lists and texts, anyOf, oneOf and allOf (the first), and references within the schema. What it
    does not know it passes over.
    """
    return _Maker(schema if isinstance(schema, Mapping) else {}, seed).value(schema, "$", 0)


def described(text: str) -> dict[str, Any] | None:
    """The schema that a prompt describes in words, as in "one JSON object with the members: title
    (text), marks (list of number)."; None where it describes none.
    """
    _, found, rest = text.rpartition(MEMBERS)
    if not found:
        return None
    members: dict[str, Any] = {}
    for part in rest.partition(".")[0].split(","):
        name, _, kind = part.strip().partition(" (")
        if not name.isidentifier() or not kind.endswith(")"):
            return None
        members[name] = _of_kind(kind[:-1])
    return {"type": "object", "properties": members}


def _of_kind(kind: str) -> dict[str, Any]:
    if kind.startswith("list of "):
        return {"type": "array", "items": _of_kind(kind.removeprefix("list of "))}
    return {"type": _KINDS.get(kind, "string")}


class _Maker:
    def __init__(self, whole: Mapping[str, Any], seed: str) -> None:
        self._whole, self._seed = whole, seed

    def _draw(self, path: str) -> float:
        data = hashlib.blake2b(f"{self._seed}\x1f{path}".encode("utf-8", "replace"), digest_size=8)
        return (int.from_bytes(data.digest(), "big") + 0.5) / 2.0**64

    def _one(self, of: Sequence[Any], path: str) -> Any:
        return of[int(self._draw(path) * len(of))]

    def value(self, schema: Any, path: str, depth: int) -> Any:
        """Of one place in the schema."""
        if not isinstance(schema, Mapping) or depth > DEEPEST:
            return None
        if "$ref" in schema:
            return self.value(self._named(schema["$ref"]), path, depth + 1)
        if "const" in schema:
            return schema["const"]
        for name in ("enum", "examples"):
            if schema.get(name):
                return self._one(schema[name], path)
        for name in ("anyOf", "oneOf", "allOf"):
            if schema.get(name):
                return self.value(schema[name][0], path, depth + 1)
        return self._typed(schema, path, depth)

    def _typed(self, schema: Mapping[str, Any], path: str, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[0] if kind else "null"
        if kind == "object":
            given = schema.get("properties") or {}
            return {name: self.value(each, f"{path}.{name}", depth + 1)
                    for name, each in given.items()}  # fmt: skip
        if kind == "array":
            return self._list(schema, path, depth)
        if kind in ("number", "integer"):
            return self._number(schema, path, kind == "integer")
        if kind == "boolean":
            return self._draw(path) < YES
        return None if kind == "null" else self._text(schema, path)

    def _list(self, schema: Mapping[str, Any], path: str, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 1))
        most = int(schema.get("maxItems", max(least, LONGEST)))
        count = least + int(self._draw(path) * (max(most, least) - least + 1))
        items = schema.get("items", {"type": "string"})
        return [self.value(items, f"{path}[{at}]", depth + 1) for at in range(count)]

    def _number(self, schema: Mapping[str, Any], path: str, whole: bool) -> float | int:
        low = float(schema.get("minimum", 0.0))
        high = float(schema.get("maximum", low + SPAN))
        drawn = self._draw(path)
        if whole:
            return int(low) + int(drawn * (int(high) - int(low) + 1))
        return round(low + drawn * (high - low), 3)

    def _text(self, schema: Mapping[str, Any], path: str) -> str:
        start = int(self._draw(path) * len(_SAID))
        said = " ".join(_SAID[(start + at) % len(_SAID)] for at in range(WORDS))
        longest, shortest = schema.get("maxLength"), int(schema.get("minLength", 0))
        while len(said) < shortest:
            said += " " + _SAID[len(said) % len(_SAID)]
        return said if longest is None else said[: int(longest)]

    def _named(self, reference: Any) -> Any:
        found: Any = self._whole
        for part in str(reference).removeprefix("#/").split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found
