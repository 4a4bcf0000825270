"""The routes of answers that were rated elsewhere: the policy learns from them at once."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any

import msgspec
import numpy as np
from fastapi import APIRouter, Query, Request
from msgspec import Meta

from learning.evidence import Answers
from service.api.access import allowed, author, signed
from service.api.reading import read
from service.api.schemas import ErrorAnswer
from service.domain.acting import Told
from service.domain.bulk import check_bulk
from service.domain.chat import parse
from service.domain.errors import HeadgateError, InvalidRequest, StorageUnavailable, Unprocessable
from service.domain.records import Key
from service.feedback.teaching import Lesson
from service.routing.asked import AUTO
from service.runtime import Runtime
from service.storage.evidence import Taken

PATH = "/admin/evidence"
MOST_ANSWERS = 5_000
MOST_VALUES = 400_000
router = APIRouter(prefix=PATH)
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 100}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["source", "answers", "reason"],
                    "additionalProperties": False,
                    "properties": {
                        "source": _TEXT,
                        "answers": {
                            "type": "array", "minItems": 1, "maxItems": MOST_ANSWERS,
                            "items": {
                                "type": "object",
                                "description": "prompt, or messages as of a chat completion",
                                "required": ["deployment", "quality"],
                                "additionalProperties": False,
                                "properties": {
                                    "deployment": _TEXT,
                                    "quality": {"type": "number", "minimum": 0, "maximum": 1},
                                    "prompt": {"type": "string"},
                                    "messages": {"type": "array", "items": {"type": "object"}},
                                    "tokens_out": {"type": "integer", "minimum": 1},
                                },
                            },
                        },
                        "author": _TEXT,
                        "reason": {"type": "string", "minLength": 10, "maxLength": 500},
                    },
                }
            }
        },
    }
}  # fmt: skip

Word = Annotated[str, Meta(min_length=1, max_length=100)]
_ABSENT = (b"", b"null")


class AnswerBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a deployment's answer to a prompt was worth."""

    deployment: Word
    quality: Annotated[float, Meta(ge=0.0, le=1.0)]
    prompt: str | None = None
    messages: msgspec.Raw = msgspec.Raw()
    tokens_out: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None


class EvidenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """Rated answers of one source."""

    source: Word
    answers: Annotated[list[AnswerBody], Meta(min_length=1, max_length=MOST_ANSWERS)]
    reason: Annotated[str, Meta(min_length=10, max_length=500)]
    author: Word | None = None


class _Prompt(msgspec.Struct):
    x: Any
    tokens_in: int
    task: str
    hash: str


_decoded = msgspec.json.Decoder(EvidenceBody).decode
_anything = msgspec.json.Decoder().decode


@router.post("", status_code=201, responses=_ERRORS, openapi_extra=_BODY)
async def take(request: Request) -> dict[str, Any]:
    """Let the live policy learn from answers that were rated elsewhere, as if they had been given
    here now. Their prompts are not kept.
    """
    runtime, key = allowed(request, "operator")
    body, lesson = await asyncio.to_thread(_lesson, runtime, key, await request.body())
    why = Told("", "", body.reason.strip(), author(body.author, key))
    teacher = runtime.experiments.teacher
    evidence_id = await teacher.take(lesson, lambda told: signed(request, key, told), why)
    return {
        "evidence_id": evidence_id,
        "answers": len(body.answers),
        "prompts": lesson.prompts,
        "deployments": lesson.deployments(),
    }


@router.get("", responses=_ERRORS)
async def list_taken(
    request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
) -> dict[str, Any]:
    """What was taken, newest first."""
    runtime, _ = allowed(request, "analyst")
    found = await asyncio.to_thread(runtime.experiments.teacher.taken, limit)
    return {"evidence": [_shown(each) for each in found]}


def _shown(each: Taken) -> dict[str, Any]:
    detail = each.detail
    return {
        "evidence_id": each.id,
        "at": each.at.isoformat(timespec="milliseconds") + "Z",
        "source": detail["source"],
        "answers": detail["answers"],
        "prompts": detail["prompts"],
        "deployments": detail["deployments"],
        "actor": each.actor,
        "author": each.author,
        "reason": each.reason,
    }


def _lesson(runtime: Runtime, key: Key, data: bytes) -> tuple[EvidenceBody, Lesson]:
    """A body, and what it comes to; blocks for as long as its prompts take to be looked at."""
    check_bulk(data, MOST_VALUES)
    try:
        body = read(data, _decoded)
    except InvalidRequest as error:
        if error.param is None:
            raise
        raise Unprocessable(error.message, param=error.param) from None
    for name, least in (("source", 1), ("reason", 10)):
        if len(getattr(body, name).strip()) < least:
            raise Unprocessable(f"{name}: give at least {least} characters", param=name)
    setup = runtime.experiments.teacher.policy.setup
    index = {name: at for at, name in enumerate(setup.names)}
    seen: dict[bytes, _Prompt] = {}
    prompts: list[_Prompt] = []
    for at, each in enumerate(body.answers):
        if each.deployment not in index:
            raise Unprocessable(
                f"answers[{at}].deployment: the live policy does not know "
                f"{each.deployment[:64]!r}; known: {', '.join(setup.names)}",
                param=f"answers[{at}].deployment",
            )
        said = _said(each, at)
        if said not in seen:
            seen[said] = _prompt(runtime, key, said, at)
        prompts.append(seen[said])
    if any(len(each.x) != len(setup.features) for each in seen.values()):
        raise StorageUnavailable("the plan is being reloaded; try again", retry_after_s=1.0)
    answers = Answers(
        arms=setup.names,
        features=setup.features,
        arm=np.array([index[each.deployment] for each in body.answers], dtype=np.int64),
        x=np.array([each.x for each in prompts], dtype=np.float64),
        quality=np.array([each.quality for each in body.answers], dtype=np.float64),
        tokens_in=np.array([each.tokens_in for each in prompts], dtype=np.float64),
        tokens_out=np.array([each.tokens_out or np.nan for each in body.answers], dtype=np.float64),
    )
    tasks = tuple(each.task for each in prompts)
    different = len({each.hash for each in prompts})
    content = _content(body.answers, prompts)
    return body, Lesson(body.source.strip(), answers, tasks, different, content)


def _said(each: AnswerBody, at: int) -> bytes:
    """The messages of an answer's prompt, in one spelling."""
    raw = bytes(each.messages)
    if (each.prompt is None) == (raw in _ABSENT):
        raise Unprocessable(
            f"answers[{at}]: give either prompt, a text, or messages", param=f"answers[{at}].prompt"
        )
    if each.prompt is not None:
        return msgspec.json.encode([{"role": "user", "content": each.prompt}])
    return msgspec.json.encode(read(each.messages, _anything, f"answers[{at}].messages"))


def _prompt(runtime: Runtime, key: Key, said: bytes, at: int) -> _Prompt:
    """A prompt as the router would see it in a chat completion of the same key."""
    try:
        chat = parse(msgspec.json.encode({"model": AUTO, "messages": msgspec.Raw(said)}))
        asked = runtime.router.reading(chat, key)
    except HeadgateError as error:
        where = f"answers[{at}].{error.param or 'messages'}"
        raise Unprocessable(f"{where}: {error.message}", param=where) from None
    context = asked.context
    hashed = runtime.router.prompt_hash(chat)
    return _Prompt(context.features.astype(np.float64), context.tokens_in, asked.task, hashed)


def _content(answers: list[AnswerBody], prompts: list[_Prompt]) -> str:
    """A hash by which the same answers are known again, in whatever order they come."""
    lines = sorted(
        f"{prompt.hash} {each.quality!r} {each.tokens_out} {each.deployment}"
        for each, prompt in zip(answers, prompts, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
