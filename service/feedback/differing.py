"""What one version changes of another: every place where two JSON values differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from service.domain.records import Version


def versions_differ(one: Version, two: Version) -> list[dict[str, Any]]:
    """What the second version changes of the first."""
    before = {"policy": one.policy, "kind": one.kind, **json.loads(one.parameters)}
    after = {"policy": two.policy, "kind": two.kind, **json.loads(two.parameters)}
    return list(changes("", before, after))


def changes(where: str, before: Any, after: Any) -> Iterator[dict[str, Any]]:
    """Every place where two JSON values differ; arms are told apart by their names."""
    one, two = _named(before), _named(after)
    if isinstance(one, dict) and isinstance(two, dict):
        for name in dict.fromkeys([*one, *two]):
            yield from changes(f"{where}.{name}".lstrip("."), one.get(name), two.get(name))
    elif one != two:
        yield {"field": where, "before": one, "after": two}


def _named(value: Any) -> Any:
    listed = isinstance(value, list) and bool(value)
    if listed and all(isinstance(each, dict) and "name" in each for each in value):
        return {each["name"]: each for each in value}
    return value
