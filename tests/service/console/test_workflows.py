"""The pages of workflows: a graph of each file, and a run with what its steps came to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.console.calling import Refused
from service.console.looker import Looker
from service.domain.clock import new_id
from tests.conftest import Service
from tests.service.console.looking import drawn, page, texts

pytestmark = pytest.mark.slow


async def _run(busy: Service, looker: Looker, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """By the person's own key, on the service's own loop, to its end."""
    api, loop = looker._visit.api, next(iter(busy.runtime.scheduler._tasks.values())).get_loop()

    async def whole() -> dict[str, Any]:
        body = {"inputs": inputs, "mode": "async"}
        done = await api.post(looker.key, f"/v1/workflows/{name}/runs", body)
        async with asyncio.timeout(60):
            while done.content["status"] == "running":
                await asyncio.sleep(0.05)
                done = await api.get(looker.key, f"/v1/workflows/runs/{done.content['id']}")
        found: dict[str, Any] = done.content
        return found

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(whole(), loop))


def _graph(found: list[Any]) -> dict[str, Any]:
    [graph] = [each for each in found if not isinstance(each, str) and each[0] == "flow"]
    told: dict[str, Any] = graph[1]
    return told


async def test_a_run_is_drawn_as_it_went(busy: Service, look: Callable[..., Looker]) -> None:
    looker = look()
    tests = ["assert twice(2) == 4"]
    run = await _run(busy, looker, "code-test-fix", {"task": "twice(n)", "tests": tests})
    listed = texts(await drawn(page("/workflows"), looker))
    assert run["id"][-8:] in listed and "plan-execute-verify" in listed
    looker.of = run["id"]
    found = await drawn(page("/workflows/runs/{of}"), looker)
    boxes = {each["title"]: each for each in _graph(found)["spec"]["boxes"]}
    assert boxes["first_try"]["tone"] == "good" and boxes["proposed"]["note"] == "not run"
    asked = next(each for each in run["steps"] if each["decisions"])
    assert f"/console/decisions/{asked['decisions'][-1]}" in str(found)
    assert "first_try" in texts(found) and "solved#1/ran" in texts(found)
    assert "twice(n)" not in texts(found)  # neither inputs nor answers are shown


async def test_a_file_is_drawn_and_told(look: Callable[..., Looker]) -> None:
    found = await drawn(page("/workflows/{of}"), look("debate-and-judge"))
    graph = _graph(found)
    assert len(graph["spec"]["boxes"]) == 7 and "decision after sides" in graph["label"]
    assert "5 to 6" in texts(found) and "A failed opening fails the run" in texts(found)


async def test_what_is_not_there_is_refused(look: Callable[..., Looker]) -> None:
    for path, of in (("/workflows/{of}", "nothing"), ("/workflows/runs/{of}", new_id())):
        with pytest.raises(Refused):
            await page(path).draw(look(of))
