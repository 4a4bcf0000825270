"""The simulated provider's batches, in OpenAI's form, with what may go wrong with them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.domain.clock import new_id

CREATED = 1_750_000_000
PAGE = 20
Answer = Callable[[dict[str, Any]], Awaitable[tuple[int, dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong from now on. ``line_s``: each request takes so long; ``stalls_after``: so
    many are answered, and no more until this is taken back or the batch is called off;
    ``breaks``: so many submits are taken, and then the connection breaks; ``refuses``: so many are
    not taken; ``fails``: so many looks at a batch end in a 500; ``expires_after``: a batch expires
    with so many requests answered; ``missing``, ``failing``: requests by their number in the file
    (from 1) that have no line, and that are in the error file; ``deaf``: cancelling is not heard.
    """

    line_s: float = 0.0
    stalls_after: int | None = None
    breaks: int = 0
    refuses: int = 0
    fails: int = 0
    expires_after: int | None = None
    missing: tuple[int, ...] = ()
    failing: tuple[int, ...] = ()
    deaf: bool = False


@dataclass(slots=True)
class _Batch:
    id: str
    asked: dict[str, Any]
    lines: list[dict[str, Any]]
    status: str = "in_progress"
    output: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # output, errors: their ids


class SimulatedBatches:
    """Files and batches in memory. ``submitted``: batches made; ``seen``: how often each request
    was answered, by its text.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.trouble = Trouble()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, _Batch] = {}
        self.submitted = 0
        self.seen: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """Where they are served."""
        return [
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files/{id}", self.remove, methods=["DELETE"]),
            Route("/v1/files/{id}/content", self.content),
            Route("/v1/batches", self.create, methods=["POST"]),
            Route("/v1/batches", self.list),
            Route("/v1/batches/{id}", self.look),
            Route("/v1/batches/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/control/batches", self.control, methods=["POST"]),
        ]

    async def control(self, request: Request) -> Response:
        """Other trouble from now on, by its fields."""
        given = await request.json()
        self.trouble = msgspec.convert(given, Trouble)
        return JSONResponse(given)

    async def upload(self, request: Request) -> Response:
        """A file of requests."""
        async with request.form() as form:
            file = form["file"]
            if isinstance(file, str) or form.get("purpose") != "batch":
                return _error(400, "purpose must be batch, and file a file")
            identity, name = self._file(await file.read()), file.filename
        return JSONResponse({"id": identity, "object": "file", "purpose": "batch",
                             "filename": name})  # fmt: skip

    def _file(self, content: bytes) -> str:
        identity = "file-" + new_id().replace("-", "")
        self.files[identity] = content
        return identity

    async def content(self, request: Request) -> Response:
        """What a file holds."""
        found = self.files.get(request.path_params["id"])
        return _error(404, "no such file") if found is None else Response(found)

    async def remove(self, request: Request) -> Response:
        """Erase a file."""
        identity = request.path_params["id"]
        gone = self.files.pop(identity, None)
        if gone is None:
            return _error(404, "no such file")
        return JSONResponse({"id": identity, "object": "file", "deleted": True})

    async def create(self, request: Request) -> Response:
        """A batch of a file; it is begun at once."""
        asked = await request.json()
        content = self.files.get(asked.get("input_file_id", ""))
        if content is None or asked.get("completion_window") != "24h":
            return _error(400, "an input_file_id that is known, and the completion_window 24h")
        if self.trouble.refuses:
            self.trouble = replace(self.trouble, refuses=self.trouble.refuses - 1)
            return _error(400, "simulated refusal of a batch")
        lines = [json.loads(each) for each in content.splitlines() if each.strip()]
        batch = _Batch("batch_" + new_id().replace("-", ""), asked, lines)
        self.batches[batch.id] = batch
        self.submitted += 1
        task = asyncio.create_task(self._work(batch, self.trouble))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.trouble.breaks:
            self.trouble = replace(self.trouble, breaks=self.trouble.breaks - 1)
            return StreamingResponse(_broken(), media_type="application/json")
        return JSONResponse(self._shown(batch))

    async def _work(self, batch: _Batch, trouble: Trouble) -> None:
        for number in range(1, len(batch.lines) + 1):
            if trouble.line_s:
                await asyncio.sleep(trouble.line_s)
            while batch.status == "in_progress" and self._stalled(number):
                await asyncio.sleep(0.01)
            late = trouble.expires_after is not None and number > trouble.expires_after
            if batch.status != "in_progress" or late:
                ended = "expired" if late else "cancelled"
                batch.errors += [_untold(each, ended) for each in batch.lines[number - 1 :]]
                self._end(batch, ended)
                return
            await self._one(batch, number, trouble)
        self._end(batch, "completed" if batch.status == "in_progress" else "cancelled")

    def _stalled(self, number: int) -> bool:
        most = self.trouble.stalls_after
        return most is not None and number > most

    @property
    def working(self) -> bool:
        """Whether any is being answered."""
        return bool(self._tasks)

    async def _one(self, batch: _Batch, number: int, trouble: Trouble) -> None:
        line = batch.lines[number - 1]
        if number in trouble.missing:
            return
        if number in trouble.failing:
            status, body = 500, {"error": {"message": "simulated failure", "type": "server_error",
                                           "param": None, "code": "server_error"}}  # fmt: skip
        else:
            self.seen[json.dumps(line["body"]["messages"])] += 1
            status, body = await self._answer(line["body"])
        response = {"status_code": status, "request_id": new_id(), "body": body}
        told = {"id": "batch_req_" + new_id(), "custom_id": line["custom_id"], "error": None,
                "response": response}  # fmt: skip
        (batch.output if status == 200 else batch.errors).append(told)

    def _end(self, batch: _Batch, status: str) -> None:
        for name, lines in (("output", batch.output), ("errors", batch.errors)):
            if lines:
                content = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
                batch.files[name] = self._file(content)
        batch.status = status

    async def list(self, request: Request) -> Response:
        """The newest first, a page."""
        found = list(reversed(self.batches.values()))
        if after := request.query_params.get("after"):
            at = next((n for n, each in enumerate(found) if each.id == after), len(found))
            found = found[at + 1 :]
        limit = int(request.query_params.get("limit", PAGE))
        data = [self._shown(each) for each in found[:limit]]
        return JSONResponse({"object": "list", "data": data, "has_more": len(found) > limit})

    async def look(self, request: Request) -> Response:
        """How one stands."""
        if self.trouble.fails:
            self.trouble = replace(self.trouble, fails=self.trouble.fails - 1)
            return _error(500, "simulated failure")
        batch = self.batches.get(request.path_params["id"])
        return _error(404, "no such batch") if batch is None else JSONResponse(self._shown(batch))

    async def cancel(self, request: Request) -> Response:
        """Call one off; the request that is under way is still answered."""
        batch = self.batches.get(request.path_params["id"])
        if batch is None:
            return _error(404, "no such batch")
        if batch.status not in ("in_progress", "cancelling"):
            return _error(409, "the batch has ended")
        if not self.trouble.deaf:
            batch.status = "cancelling"
        return JSONResponse(self._shown(batch))

    @staticmethod
    def _shown(batch: _Batch) -> dict[str, Any]:
        failed = len(batch.errors)
        return {
            "id": batch.id, "object": "batch", "status": batch.status, "created_at": CREATED,
            "endpoint": batch.asked["endpoint"], "input_file_id": batch.asked["input_file_id"],
            "completion_window": "24h", "metadata": batch.asked.get("metadata"),
            "output_file_id": batch.files.get("output"), "error_file_id": batch.files.get("errors"),
            "request_counts": {"total": len(batch.lines), "completed": len(batch.output),
                               "failed": failed},
        }  # fmt: skip


async def _broken() -> AsyncIterator[bytes]:
    """An answer that ends in its midst, with its connection."""
    yield b'{"id": "batch_'
    raise ConnectionAbortedError("simulated")


def _untold(line: dict[str, Any], ended: str) -> dict[str, Any]:
    return {"id": "batch_req_" + new_id(), "custom_id": line["custom_id"], "response": None,
            "error": {"code": f"batch_{ended}", "message": f"the batch {ended}"}}  # fmt: skip


def _error(status: int, message: str) -> Response:
    code = "server_error" if status >= 500 else "invalid_request_error"
    content = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return JSONResponse(content, status)
