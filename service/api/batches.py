"""The routes of batches in OpenAI's shape: begun, followed, called off."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed
from service.api.files import After, desk_of
from service.api.schemas import ErrorAnswer
from service.api.shown_batches import batch_shown, page
from service.batching.desk import Wanted
from service.domain.batches import PRIORITIES
from service.domain.errors import InvalidRequest

router = APIRouter(prefix="/v1/batches")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
MAX_KEY = 200
Word = Annotated[str, Field(min_length=1, max_length=64)]


class OptionsBody(BaseModel):
    """What OpenAI's shape has no word for: ``priority`` among the batches of one tenant."""

    model_config = ConfigDict(extra="forbid")
    priority: Literal["low", "normal", "high"] = "normal"


class BatchBody(BaseModel):
    """A batch that is asked for. ``completion_window``: a time such as 24h or 90m."""

    model_config = ConfigDict(extra="forbid")
    input_file_id: Word
    endpoint: Word
    completion_window: Annotated[str, Field(min_length=1, max_length=16)]
    metadata: dict[str, str] | None = None
    headgate: OptionsBody = OptionsBody()


@router.post("", responses=_ERRORS)
async def create(request: Request, body: BatchBody) -> dict[str, Any]:
    """Begin a batch of an uploaded file. Each of its requests is decided, answered and billed as
    one that came by itself; a file that cannot be read makes a failed batch that says why.
    """
    runtime, key = allowed(request, "caller")
    desk = desk_of(runtime)
    given = request.headers.get("idempotency-key", "")
    if len(given) > MAX_KEY:
        raise InvalidRequest(f"an Idempotency-Key has at most {MAX_KEY} characters")
    wanted = Wanted(
        body.input_file_id, body.endpoint, body.completion_window,
        PRIORITIES.index(body.headgate.priority), body.metadata or {}, given,
    )  # fmt: skip
    return batch_shown(await desk.create(key, wanted), desk)


@router.get("", responses=_ERRORS)
async def listed(
    request: Request, after: After = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, Any]:
    """The batches of this key and its tenant, the newest first."""
    runtime, key = allowed(request, "caller")
    desk = desk_of(runtime)
    found = await desk.batches(key, after, limit + 1)
    return page([batch_shown(each, desk) for each in found], limit)


@router.get("/{batch_id}", responses=_ERRORS)
async def one(request: Request, batch_id: str) -> dict[str, Any]:
    """How a batch stands."""
    runtime, key = allowed(request, "caller")
    desk = desk_of(runtime)
    return batch_shown(await desk.batch(key, batch_id), desk)


@router.post("/{batch_id}/cancel", responses=_ERRORS)
async def cancel(request: Request, batch_id: str) -> dict[str, Any]:
    """Call a batch off: what is answered stays, the rest gets its line in the error file."""
    runtime, key = allowed(request, "caller")
    desk = desk_of(runtime)
    found = await desk.cancel(await desk.batch(key, batch_id))
    return batch_shown(found, desk)
