"""What somebody sees and does on a page, without a browser; for the console's tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from service.console.forms import HANDLERS
from service.console.looker import Looker, Page
from service.console.nodes import Node
from service.console.pages.registry import PAGES
from service.console.shell import over, top
from tests.conftest import KEY, Service

T = TypeVar("T")
CANARY = "<img src=x onerror=alert(1)>"
AUTH = {"Authorization": f"Bearer {KEY}"}
REASON = "the tests of the console say so"
ATTRIBUTES = {
    "class", "act", "key", "id", "href", "title", "role", "tabindex", "type", "name", "value",
    "for", "rows", "maxlength", "required", "checked", "selected", "autofocus", "placeholder",
    "spellcheck", "scope", "data-label", "method", "action", "at", "mode", "spec", "label", "width",
}  # fmt: skip


def walk(node: Node) -> Iterator[Any]:
    """Every node and text, the attributes checked on the way."""
    yield node
    if isinstance(node, str):
        return
    tag, attrs, children = node
    assert isinstance(tag, str) and isinstance(children, list)
    unknown = {name for name in attrs if name not in ATTRIBUTES and not name.startswith("aria-")}
    assert not unknown, unknown
    assert attrs.get("href", "/console/").startswith(("/console/", "#", "?"))
    for child in children:
        yield from walk(child)


async def beside(looker: Looker, work: Coroutine[Any, Any, T]) -> T:
    """On the service's own loop, as from a browser."""
    task = next(iter(looker.runtime.scheduler._tasks.values()))
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, task.get_loop()))


async def drawn(page: Page, looker: Looker) -> list[Any]:
    parts = await beside(looker, page.draw(looker))
    trees = [*(n for part in parts.values() for n in part), *top(looker), *over(looker)]
    json.dumps(trees)
    return [each for tree in trees for each in walk(tree)]


def texts(found: list[Any]) -> str:
    return " ".join(each for each in found if isinstance(each, str))


def page(path: str) -> Page:
    return next(each for each in PAGES if each.path == path)


def acts_offered(found: list[Any]) -> set[str]:
    given = [each[1]["act"] for each in found if not isinstance(each, str) and "act" in each[1]]
    return {of.partition(":")[0] for name, of in given if name == "ask"}


def of_page(busy: Service, path: str) -> str:
    if path.startswith("/decisions/"):
        return busy.runtime.kept.cases.latest(1)[0].decision.id
    if path.startswith("/workflows/"):
        return "draft-refine-check"
    return "brook" if path.startswith("/deployments/") else ""


async def act(looker: Looker, name: str, of: str = "", **fields: str) -> None:
    await beside(looker, looker.do(HANDLERS[name], of, fields))
