"""A part of a page as NiceGUI knows it: one element that draws a tree of nodes in the browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import nicegui.elements.echart  # noqa: F401 - registers the chart library that section.js imports
from nicegui import json
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from service.console.nodes import Node

Acted = Callable[[str, str, dict[str, str]], Awaitable[None]]
MOST_FIELDS, MOST_CHARACTERS = 16, 4_000


class Section(Element, component="vue/section.js"):
    """Sends its tree to the browser only where it differs from the last one."""

    def __init__(self, tree: list[Node], acted: Acted, now_s: float) -> None:
        super().__init__()
        self.props["now"] = now_s
        self._acted = acted
        self._sent = json.dumps(tree)
        self.props["tree"] = tree
        self.on("act", self._act)

    def show(self, tree: list[Node]) -> None:
        """Show this from now on."""
        told = json.dumps(tree)
        if told != self._sent:
            self._sent = told
            self.props["tree"] = tree

    async def _act(self, event: GenericEventArguments) -> None:
        name, of, fields = taken(event.args)
        if name:
            await self._acted(name, of, fields)


def taken(args: Any) -> tuple[str, str, dict[str, str]]:
    """What a browser says was done; what is not of the form is nothing."""
    if not isinstance(args, dict):
        return "", "", {}
    name, of, given = args.get("name"), args.get("of"), args.get("fields")
    if not isinstance(name, str) or not isinstance(of, str) or not isinstance(given, dict):
        return "", "", {}
    fields = {
        key: value[:MOST_CHARACTERS].strip()
        for key, value in list(given.items())[:MOST_FIELDS]
        if isinstance(key, str) and isinstance(value, str)
    }
    return name, of, fields
