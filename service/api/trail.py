"""The routes of the audit trail: found, looked through, written out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed
from service.api.schemas import ErrorAnswer
from service.domain.clock import moment_us
from service.domain.errors import InvalidRequest, StorageUnavailable
from service.domain.exporting import csv_lines, json_lines
from service.runtime import Runtime
from service.storage.errors import StorageError
from service.storage.trail import COLUMNS, MOST, Looked, Wanted, acts, all_acts, look, shown

T = TypeVar("T")
log = logging.getLogger("headgate.api")

router = APIRouter(prefix="/admin/audit")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
Word = Annotated[str, Field(max_length=200)]
Moment = Annotated[str, Field(max_length=40, description="a time such as 2026-03-01T14:05Z")]


def _reader(request: Request) -> Runtime:
    """The trail tells of every tenant, so a tenant's key does not see it."""
    return allowed(request, "analyst")[0]


class Asked(BaseModel):
    """Which acts. ``act``: one, or all of a noun (`override`); ``actor``: a key's name, or what an
    author called themselves.
    """

    model_config = ConfigDict(extra="forbid")

    since: Moment = ""
    until: Moment = ""
    actor: Word = ""
    act: Word = ""
    subject: Word = ""

    def wanted(self) -> Wanted:
        """As the storage takes it; raises InvalidRequest."""
        since_us, until_us = _us("since", self.since), _us("until", self.until)
        return Wanted(since_us, until_us, self.actor, self.act, self.subject)


class Paged(Asked):
    """A page of them. ``page``: the ``next`` of the page before."""

    page: Annotated[str, Field(max_length=18, pattern=r"^\d*$")] = ""
    limit: Annotated[int, Field(ge=1, le=MOST)] = 100


class Written(Asked):
    """All of them, as JSON lines or CSV."""

    format: Literal["jsonl", "csv"] = "jsonl"


@router.get("", responses=_ERRORS)
async def list_acts(request: Request, asked: Annotated[Paged, Query()]) -> dict[str, Any]:
    """What people and the service did, newest first."""
    runtime, below = _reader(request), int(asked.page) if asked.page else None
    wanted = replace(asked.wanted(), below=below, limit=asked.limit)
    found = await _read(lambda: acts(runtime.kept.database.cursor(), wanted))
    following = str(found[-1]["log_seq"]) if len(found) == asked.limit else None
    return {"acts": [shown(each) for each in found], "next": following}


@router.get("/verify", responses=_ERRORS)
async def verify(
    request: Request, head: Annotated[str, Query(max_length=64)] = ""
) -> dict[str, Any]:
    """Look through the whole chain, and hold its end against what was published. ``head``: the
    hash of an earlier look, kept elsewhere, which must be in it.
    """
    runtime = _reader(request)
    published = runtime.kept.publisher.head
    async with runtime.replaying:
        looked: Looked = await _read(lambda: look(runtime.kept.database.cursor(), published, head))
    return looked.shown()


@router.get("/export", responses=_ERRORS, response_class=StreamingResponse)
async def export(request: Request, asked: Annotated[Written, Query()]) -> StreamingResponse:
    """All of it, oldest first, as JSON lines or CSV in which nothing is a formula."""
    runtime, wanted = _reader(request), asked.wanted()
    await _read(lambda: acts(runtime.kept.database.cursor(), wanted))  # or it is refused at once

    def lines() -> Iterator[str]:
        rows = all_acts(runtime.kept.database.cursor(), wanted)
        yield from (csv_lines if asked.format == "csv" else json_lines)(COLUMNS, rows)

    kind = "text/csv; charset=utf-8" if asked.format == "csv" else "application/jsonl"
    headers = {
        "content-disposition": f'attachment; filename="audit.{asked.format}"',
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(lines(), media_type=kind, headers=headers)


def _us(name: str, text: str) -> int | None:
    try:
        return moment_us(text) if text else None
    except ValueError:
        told = f"{name}: give a time such as 2026-03-01T14:05Z"
        raise InvalidRequest(told, param=name) from None


async def _read(of: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(of)
    except StorageError as error:
        log.error("the audit trail cannot be read: %s", error)
        raise StorageUnavailable(
            "the audit trail cannot be read from the log now; try again, and if it stays so, look "
            "through the published one (headgate audit verify --state)",
            retry_after_s=5.0,
        ) from None
