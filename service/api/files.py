"""The routes of files in OpenAI's shape: requests of batches that come, results that go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.api.access import allowed
from service.api.schemas import ErrorAnswer
from service.api.shown_batches import file_shown, page
from service.batching.desk import Desk
from service.batching.whole import Batching
from service.domain.errors import CapabilityMissing, InvalidRequest
from service.runtime import Runtime

PATH = "/v1/files"
router = APIRouter(prefix=PATH)
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": ["batch"]},
                    },
                }
            }
        },
    }
}
MOST_NAME = 255
MOST_FIELD = 1_000
After = Annotated[str, Query(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


class _InMemory(MultiPartParser):
    """What is uploaded goes to no file on the way."""

    spool_max_size = 1 << 40


def batching_of(runtime: Runtime) -> Batching:
    """The batches of a runtime; raises CapabilityMissing where there are none."""
    if runtime.batches is None:
        raise CapabilityMissing(
            "files and batches are not offered here: the operators must give the plan a section "
            "batches"
        )
    return runtime.batches


def desk_of(runtime: Runtime) -> Desk:
    """Their desk."""
    return batching_of(runtime).desk


@router.post("", responses=_ERRORS, openapi_extra=_FORM)
async def upload(request: Request) -> dict[str, Any]:
    """Upload the requests of a batch: JSON lines, each with custom_id, method, url and body. The
    file is kept for as long as the plan says, or less where expires_after does.
    """
    runtime, key = allowed(request, "caller")
    desk = desk_of(runtime)
    name, content, lasts_s = await _read(request)
    return file_shown(await desk.upload(key, name, content, lasts_s))


async def _read(request: Request) -> tuple[str, bytes, int | None]:
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise InvalidRequest("a file is uploaded as multipart/form-data", code="invalid_form")
    parser = _InMemory(request.headers, request.stream(), max_files=1, max_fields=10,
                       max_part_size=MOST_FIELD)  # fmt: skip
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError):
        raise InvalidRequest("the form cannot be read", code="invalid_form") from None
    try:
        if form.get("purpose") != "batch":
            raise InvalidRequest("purpose must be batch", param="purpose", code="invalid_purpose")
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequest("the form has no file", param="file", code="invalid_form")
        anchor = form.get("expires_after[anchor]", "created_at")
        seconds = form.get("expires_after[seconds]")
        if anchor != "created_at" or not (seconds is None or _count(seconds)):
            raise InvalidRequest("expires_after must be seconds after created_at",
                                 param="expires_after")  # fmt: skip
        lasts_s = None if seconds is None else int(str(seconds))
        return (file.filename or "batch.jsonl")[:MOST_NAME], await file.read(), lasts_s
    finally:
        await form.close()


def _count(given: object) -> bool:
    return isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10


@router.get("", responses=_ERRORS)
async def listed(
    request: Request,
    purpose: After = "",
    after: After = "",
    limit: Limit = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """The files of this key and its tenant, the newest first where no order is given."""
    runtime, key = allowed(request, "caller")
    found = await desk_of(runtime).files(key, purpose, after, limit + 1, order)
    return page([file_shown(each) for each in found], limit)


@router.get("/{file_id}", responses=_ERRORS)
async def one(request: Request, file_id: str) -> dict[str, Any]:
    """A file, without its content."""
    runtime, key = allowed(request, "caller")
    return file_shown(await desk_of(runtime).file(key, file_id))


@router.get("/{file_id}/content", responses=_ERRORS, response_class=Response)
async def content(request: Request, file_id: str) -> Response:
    """What a file holds."""
    runtime, key = allowed(request, "caller")
    body = await desk_of(runtime).content(key, file_id)
    headers = {"cache-control": "no-store", "content-disposition": "attachment",
               "x-content-type-options": "nosniff"}  # fmt: skip
    return Response(body, 200, headers, "application/octet-stream")


@router.delete("/{file_id}", responses=_ERRORS)
async def remove(request: Request, file_id: str) -> dict[str, Any]:
    """Erase a file for good; batches that were made of it go on."""
    runtime, key = allowed(request, "caller")
    await desk_of(runtime).remove(key, file_id)
    return {"id": file_id, "object": "file", "deleted": True}
