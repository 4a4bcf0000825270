"""Whether a JSON value is of a JSON schema, as far as shape goes; no patterns, bounded in depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DEEPEST = 40
_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def conforms(value: Any, schema: Any) -> bool:
    """Whether it does. What this does not know (``pattern``, ``format``, references to elsewhere)
    is taken to hold: an answer is never called wrong for what was not looked at.
    """
    return _holds(value, schema, schema, DEEPEST)


def _holds(value: Any, schema: Any, root: Any, depth: int) -> bool:
    if depth <= 0 or schema is True or not isinstance(schema, dict):
        return schema is not False
    if "$ref" in schema:
        return _holds(value, _found(schema["$ref"], root), root, depth - 1)
    return (
        _simple(value, schema)
        and _combined(value, schema, root, depth - 1)
        and _members(value, schema, root, depth - 1)
    )


def _found(reference: Any, root: Any) -> Any:
    """Where a local reference leads; True, which all conforms to, where it leads nowhere."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return True
    at = root
    for part in reference[1:].split("/")[1:]:
        if not isinstance(at, dict) or part not in at:
            return True
        at = at[part]
    return at


def _simple(value: Any, schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    named = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    known = [_KINDS[kind] for kind in named if isinstance(kind, str) and kind in _KINDS]
    if known and not any(is_so(value) for is_so in known):
        return False
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _within(value, schema, "minimum", "maximum")
    if isinstance(value, str):
        return _within(len(value), schema, "minLength", "maxLength")
    if isinstance(value, list):
        return _within(len(value), schema, "minItems", "maxItems")
    return True


def _within(number: float, schema: Mapping[str, Any], low: str, high: str) -> bool:
    least, most = schema.get(low), schema.get(high)
    above = not isinstance(least, int | float) or number >= least
    return above and (not isinstance(most, int | float) or number <= most)


def _combined(value: Any, schema: Mapping[str, Any], root: Any, depth: int) -> bool:
    for word, enough in (("allOf", all), ("anyOf", any)):
        parts = schema.get(word)
        if not isinstance(parts, list) or not parts:
            continue
        if not enough([_holds(value, part, root, depth) for part in parts]):
            return False
    parts = schema.get("oneOf")
    if isinstance(parts, list) and parts:
        return sum(_holds(value, part, root, depth) for part in parts) == 1
    return True


def _members(value: Any, schema: Mapping[str, Any], root: Any, depth: int) -> bool:
    if isinstance(value, list):
        items = schema.get("items", True)
        return all(_holds(each, items, root, depth) for each in value)
    if not isinstance(value, dict):
        return True
    wanted, known = schema.get("required", []), schema.get("properties", {})
    if isinstance(wanted, list) and not all(name in value for name in wanted):
        return False
    known = known if isinstance(known, dict) else {}
    more = schema.get("additionalProperties", True)
    return all(_holds(each, known.get(name, more), root, depth) for name, each in value.items())
