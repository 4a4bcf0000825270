"""The JSON schema of a kind, as a step that returns JSON asks for it."""

from __future__ import annotations

from typing import Any

from service.orchestration.workflows.kinds import ANY, MEDIA, Kind

_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


def schema_of(kind: Kind) -> dict[str, Any]:
    """What a value of the kind looks like; ``any`` is anything."""
    if kind.name in _TYPES:
        return {"type": _TYPES[kind.name]}
    if kind.name == "list":
        return {"type": "array", "items": schema_of(kind.item or ANY)}
    if kind.name == "any":
        return {}
    fields = kind.fields if kind.name == "object" else MEDIA
    if not fields:
        return {"type": "object"}
    return {
        "type": "object", "properties": {name: schema_of(each) for name, each in fields.items()},
        "required": list(fields), "additionalProperties": False,
    }  # fmt: skip


def response_format(kind: Kind, name: str) -> dict[str, Any]:
    """What a chat completion is asked for, so that its answer is of the kind."""
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema_of(kind)}}
