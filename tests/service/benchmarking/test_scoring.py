"""The judge over HTTP, and answers to their scorers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.benchmarking.prompts import packaged
from service.benchmarking.scoring import JUDGE_PATH, HttpJudge, Scorers
from service.client import AsyncClient
from tests.conftest import Server

ASKED: list[Any] = []
ITEM = next(each for each in packaged().items if each.check.scorer == "rubric")


async def judge(request: Request) -> JSONResponse:
    body = await request.json()
    ASKED.append(body)
    if "refuse" in body["answer"]:
        return JSONResponse({"error": {"message": "no judge is named in the plan"}}, 409)
    value = None if "unsure" in body["answer"] else 0.75
    return JSONResponse({"value": value, "consistent": value is not None, "cost_usd": 0.000012,
                         "judge": "fall", "rubric_version": "1"})  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(Starlette(routes=[Route(JUDGE_PATH, judge, methods=["POST"])])) as server:
        yield server.url


async def test_the_services_judge_scores_by_rubric(url: str) -> None:
    http = AsyncClient(url, "key")
    asked = HttpJudge(http)
    scorers = Scorers(asked)
    good = await scorers.scored("k", ITEM, "a good note", "mill")
    assert (good.value, good.cost_micro_usd, good.key, good.judge) == (0.75, 12, "k", "fall")
    assert ASKED[-1] == {
        "messages": [dict(each) for each in ITEM.messages], "answer": "a good note",
        "rubric_text": ITEM.check.reference, "deployment": "mill", "task": ITEM.task,
    }, "whose it is, so that no kin judges"  # fmt: skip
    assert (await scorers.scored("k", ITEM, "unsure")).value is None
    assert (await scorers.scored("k", ITEM, "refuse")).value is None
    assert asked.failure == "no judge is named in the plan"
    await http.close()


async def test_where_there_is_no_judge_it_cannot_say() -> None:
    http = AsyncClient("http://127.0.0.1:9", "key")
    found = await Scorers(HttpJudge(http)).scored("k", ITEM, "a note")
    assert found.value is None and found.cost_micro_usd == 0
    await http.close()
