"""The smallest body that a route's schema takes, and its path with something in every place."""

from __future__ import annotations

import re
from typing import Any

from fastapi.routing import APIRoute

from service.app import PARTS

ROUTES: list[tuple[str, APIRoute]] = sorted(
    (
        (method, route)
        for part in PARTS
        for route in part.router.routes
        if isinstance(route, APIRoute) and route.path.startswith(("/admin", "/v1/"))
        for method in sorted(route.methods)
    ),
    key=lambda each: (each[1].path, each[0]),
)
NAMES = [f"{method} {route.path}" for method, route in ROUTES]


def path_of(route: APIRoute, value: str = "x") -> str:
    """The path with ``value`` in every place of it."""
    return re.sub(r"\{[^}]+\}", value, route.path).replace("experiments/x/x", "experiments/x/start")


def smallest(document: dict[str, Any], method: str, path: str) -> Any:
    """A body that the route's schema takes; None where it takes none."""
    operation = document["paths"][path.replace(":path}", "}")][method.lower()]
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]
    if "application/json" not in content:  # a form
        return None
    return _value(document, content["application/json"]["schema"])


def _value(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _value(document, document["components"]["schemas"][name])
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _value(document, schema[several][0])
    kind = schema.get("type")
    if kind == "object":
        known = schema.get("properties", {})
        return {name: _value(document, known[name]) for name in schema.get("required", ())}
    if kind == "array":
        return [_value(document, schema["items"])] * int(schema.get("minItems", 0))
    if kind == "string":
        return "x" * max(1, int(schema.get("minLength", 1)))
    if kind in ("number", "integer"):
        return max(1, schema.get("minimum", 1))
    return kind == "boolean"
