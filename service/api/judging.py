"""The operators' routes to the judges: how they stand, what they say, a score, a check."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api import shown
from service.api.access import allowed, author, person
from service.api.schemas import Author, ErrorAnswer
from service.domain.acting import Told, act_of
from service.domain.chat import parse
from service.domain.errors import NotFound, StorageUnavailable, Unprocessable
from service.domain.judging import MOST_RUBRIC, given
from service.orchestration.judge import conversation_of
from service.orchestration.judging import AFTER_OTHERS, About
from service.storage.errors import StorageError

log = logging.getLogger("headgate.api")

router = APIRouter(prefix="/admin/judge")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
Days = Annotated[float, Query(gt=0.0, le=366.0, allow_inf_nan=False)]


class ScoreBody(BaseModel):
    """An answer to be scored. ``deployment`` and ``family``: whose it is, so that no kin judges;
    ``rubric``: the name of one, ``rubric_text``: in its place the words of one.
    """

    model_config = ConfigDict(extra="forbid")
    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1_000)]
    answer: Annotated[str, Field(min_length=1, max_length=500_000)]
    rubric: Annotated[str, Field(max_length=64)] = ""
    rubric_text: Annotated[str, Field(max_length=MOST_RUBRIC)] = ""
    task: Annotated[str, Field(max_length=64)] = ""
    deployment: Annotated[str, Field(max_length=64)] = ""
    family: Annotated[str, Field(max_length=64)] = ""


class CheckBody(BaseModel):
    """A judge to be held against the golden set; the panel's first where none is named."""

    model_config = ConfigDict(extra="forbid")
    judge: Annotated[str, Field(max_length=64)] = ""
    author: Author | None = None


@router.get("", responses=_ERRORS)
async def judges(request: Request) -> dict[str, Any]:
    """The panel, its checks, what it sampled and spent."""
    runtime, _ = allowed(request, "analyst")
    return shown.judging(runtime.panel)


@router.get("/quality", responses=_ERRORS)
async def quality(request: Request, days: Days = 30.0) -> dict[str, Any]:
    """Each deployment's quality by task: the judge's word, people's, and corrected by people."""
    runtime, _ = allowed(request, "analyst")
    try:
        told = await asyncio.to_thread(runtime.panel.quality, days)
    except StorageError as error:
        log.error("judged answers cannot be read: %s", error)
        raise StorageUnavailable(
            "this cannot be read from the log now; try again", retry_after_s=5.0
        ) from None
    return {"days": days, "metric": runtime.panel.judges.rules.metric, "judges": told}


@router.post("/score", responses=_ERRORS)
async def score(request: Request, body: ScoreBody) -> dict[str, Any]:
    """How good an answer is by a rubric; under the day's cap. Nothing of it is kept but figures."""
    runtime, _ = allowed(request, "operator")
    if body.deployment and all(each.name != body.deployment for each in runtime.catalog):
        raise NotFound(f"no deployment {body.deployment!r} in the plan", param="deployment")
    if body.rubric and body.rubric_text:
        raise Unprocessable(
            "give the name of a rubric or the text of one, not both", param="rubric_text"
        )
    chat = parse(msgspec.json.encode({"model": "auto", "messages": body.messages}))
    about = About(
        (body.deployment,) if body.deployment else (),
        (body.family.lower(),) if body.family else (), body.task, number=AFTER_OTHERS,
    )  # fmt: skip
    rubric = given(body.rubric_text) if body.rubric_text else body.rubric
    scored = await runtime.panel.score(conversation_of(chat), body.answer, rubric, about)
    return {
        "value": scored.value,
        "consistent": scored.consistent,
        "cost_usd": scored.cost_micro_usd / 1e6,
        "judge": scored.judge or None,
        "rubric": scored.rubric,
        "rubric_version": f"{scored.rubric}@{scored.rubric_version}",
        "digest": scored.digest,
        "cached": scored.cached,
        "why": scored.why or None,
    }


@router.post("/check", status_code=202, responses=_ERRORS)
async def check(request: Request, body: CheckBody) -> dict[str, Any]:
    """Hold a judge against the golden set; it goes on after the answer, and GET shows how far."""
    runtime, key = allowed(request, "operator")
    panel = runtime.panel
    judge = body.judge or next(iter(panel.judges.rules.judges), "")
    by, who = author(body.author, key), person(request, key)
    panel.begin(judge, by)
    told = Told("judge.checked", judge, "held against the golden set", by,
                {"digest": panel.digest(judge), "items": len(panel.items)})  # fmt: skip
    act = act_of(who, runtime.clock.wall_us(), told)
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    return {"judge": judge, "digest": panel.digest(judge), "checking": panel.progress}
