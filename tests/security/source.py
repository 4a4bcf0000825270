"""The source as it is parsed, for what must not stand in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from tests.test_house import ROOT, SOURCES


@cache
def trees() -> list[tuple[str, ast.Module]]:
    return [(str(p.relative_to(ROOT)), ast.parse(p.read_text("utf-8"))) for p in SOURCES]


def imports() -> Iterator[tuple[str, str]]:
    """Every module that a file imports."""
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((name, each.name) for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield name, node.module or ""


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call, by the file and the name that is called (`yaml.load`)."""
    return [
        (name, _dotted(node.func), node)
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
