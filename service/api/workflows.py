"""The routes of workflows: what there is, estimates, and runs from their start to their replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from service.api import shown_workflows as show
from service.api.access import allowed
from service.api.admission import admit
from service.api.schemas import ErrorAnswer
from service.domain.clock import parse_id
from service.domain.errors import InvalidRequest, NotFound
from service.domain.records import Key
from service.orchestration.workflows.keeping import read_entries
from service.orchestration.workflows.running import Run, Wanted
from service.orchestration.workflows.runs import Runs
from service.runtime import Runtime
from service.storage.run_store import KeptRun

router = APIRouter(prefix="/v1/workflows")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
BEAT_S = 10.0
LISTED = 100
MAX_KEY = 200


class InputsBody(BaseModel):
    """The inputs of a run."""

    model_config = ConfigDict(extra="forbid")
    inputs: dict[str, Any] = {}


class RunBody(InputsBody):
    """A run that is asked for. ``keep``: its texts stay on disk for a while, as those of an async
    run do.
    """

    mode: Literal["sync", "async", "stream"] = "sync"
    keep: bool = False
    metadata: dict[str, str] = {}


@router.get("", responses=_ERRORS)
async def workflows(request: Request) -> dict[str, Any]:
    """The workflows that this key may run."""
    runtime, key = allowed(request, "caller")
    runs = runtime.workflows
    data = [show.entry(runs.rules.workflows[name]) for name in sorted(runs.names(key))]
    return {"object": "list", "data": data}


@router.get("/runs", responses=_ERRORS)
async def listed(request: Request) -> dict[str, Any]:
    """The runs of this key and its tenant, the newest first; without their steps and outputs."""
    runtime, key = allowed(request, "caller")
    found = [show.run(each) for each in runtime.workflows.of(key)]
    seen = {each["id"] for each in found}
    for kept in await runtime.workflows.listed(key, LISTED):
        if kept.id not in seen:
            found.append(show.kept(kept, []))
    found.sort(key=lambda each: str(each["created_at"]), reverse=True)
    for each in found:
        for name in ("steps", "outputs"):
            each.pop(name, None)
    return {"object": "list", "data": found[:LISTED]}


@router.get("/runs/{run_id}", responses=_ERRORS)
async def one(request: Request, run_id: str) -> dict[str, Any]:
    """A run: how it stands, its steps with their decisions, and its outputs while they are kept."""
    runtime, key = allowed(request, "caller")
    found = await _own(runtime, key, run_id)
    if isinstance(found, Run):
        return show.run(found)
    return show.kept(found, read_entries(await runtime.workflows.results(found.id)))


@router.get("/runs/{run_id}/events", responses=_ERRORS, response_class=Response)
async def events(request: Request, run_id: str, after: int = 0) -> Response:
    """The progress of a run as server-sent events, from its begin or after an event's number."""
    runtime, key = allowed(request, "caller")
    found = await _own(runtime, key, run_id)
    given = request.headers.get("last-event-id", "")
    start = int(given) if given.isdigit() else after
    if isinstance(found, KeptRun):
        body = _event(1, f"run.{found.state}", {"run_id": found.id})
        return Response(body, media_type="text/event-stream")
    return _streamed(_told(found, start))


@router.post("/runs/{run_id}/cancel", responses=_ERRORS)
async def cancel(request: Request, run_id: str) -> dict[str, Any]:
    """Call a run off; its calls upstream are cancelled when this returns."""
    runtime, key = allowed(request, "caller")
    found = await _own(runtime, key, run_id)
    if isinstance(found, Run):
        await runtime.workflows.cancel(found)
        return show.run(found)
    return show.kept(found, [])


@router.post("/runs/{run_id}/replay", responses=_ERRORS)
async def replay(request: Request, run_id: str) -> dict[str, Any]:
    """Walk a kept run again from its recorded results: no call is made. ``same``: its end and its
    outputs are what they were.
    """
    runtime, key = allowed(request, "caller")
    found = await runtime.workflows.kept(_id(run_id), key)
    if found is None:
        raise _missing()
    again = await runtime.workflows.replay(found)
    was = show.kept(found, [])
    outputs = msgspec.to_builtins(dict(again.outputs))
    return {
        "id": found.id,
        "object": "headgate.workflow_replay",
        "same": (was["status"], was["outputs"]) == (again.status, outputs),
        "status": again.status,
        "outputs": outputs,
        "paths": [each.path for each in again.entries],
    }


@router.delete("/runs/{run_id}", responses=_ERRORS)
async def remove(request: Request, run_id: str) -> dict[str, Any]:
    """Erase the inputs, results and outputs of a run; one under way is called off."""
    runtime, key = allowed(request, "caller")
    if not await runtime.workflows.remove(_id(run_id), key):
        raise _missing()
    return {"id": run_id, "object": "headgate.workflow_run", "deleted": True}


@router.get("/{name}", responses=_ERRORS)
async def workflow(request: Request, name: str) -> dict[str, Any]:
    """A workflow: its inputs, outputs, limits, graph and file."""
    runtime, key = allowed(request, "caller")
    return show.whole(runtime.workflows.workflow(name, key))


@router.post("/{name}/estimate", responses=_ERRORS)
async def estimate(request: Request, name: str, body: InputsBody) -> dict[str, Any]:
    """What a run would cost and how long it would take; nothing is called."""
    runtime, key = allowed(request, "caller")
    return show.estimate(runtime.workflows.estimate(name, body.inputs, key))


@router.post("/{name}/runs", responses=_ERRORS, response_class=Response)
async def start(request: Request, name: str, body: RunBody) -> Response:
    """Run a workflow. ``sync``: answered with its end; ``async``: with its id at once, it goes on
    by itself, over a stop of the service too; ``stream``: with its progress as server-sent events.
    """
    runtime, key = allowed(request, "caller")
    runtime.load.check()
    grant = admit(runtime, key)
    given = request.headers.get("idempotency-key", "")
    if len(given) > MAX_KEY:
        raise InvalidRequest(f"an Idempotency-Key has at most {MAX_KEY} characters")
    parent = request.headers.get("traceparent", "")
    wanted = Wanted(name, body.inputs, body.mode, body.keep, given, _labels(body), parent)
    runs = runtime.workflows
    run = await runs.start(wanted, key)
    headers = {"x-headgate-run-id": run.id} | {
        name.decode(): value.decode() for name, value in grant.headers()
    }
    if body.mode == "async":
        return _answer(show.run(run), 202, headers)
    if body.mode == "stream":
        return _streamed(_told(run, 0, runs), headers)
    await _waited(request, runs, run)
    shown = show.run(run)
    headers["x-headgate-cost"] = f"{shown['cost_usd']:.6f}"
    return _answer(shown, 200, headers)


def _labels(body: RunBody) -> Mapping[str, Any]:
    known = ("tags", "feature", "session")
    for name in body.metadata:
        if name not in known:
            raise InvalidRequest(
                f"metadata.{name} is not known; known: {', '.join(known)}",
                param=f"metadata.{name}",
            )
    return body.metadata


async def _waited(request: Request, runs: Runs, run: Run) -> None:
    """To the run's end; where its caller leaves it is called off."""
    if run.task is None:
        return
    gone = asyncio.ensure_future(_gone(request))
    waiting = asyncio.ensure_future(runs.finished(run))
    try:
        await asyncio.wait((gone, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await runs.cancel(run)
        await waiting
    finally:
        for task in (gone, waiting):
            task.cancel()
        await asyncio.gather(gone, waiting, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _told(run: Run, after: int, runs: Runs | None = None) -> AsyncIterator[bytes]:
    """The events of a run, the last with how it ended. ``runs``: where the run is of this stream
    alone, it is called off when nobody listens any more.
    """
    try:
        while True:
            came = await run.journal.after(after, BEAT_S)
            for each in came:
                after = each.number
                last = run.journal.over and after == len(run.journal.events)
                data = show.run(run) if last else each.data
                yield _event(each.number, each.name, data)
            if run.journal.over and after >= len(run.journal.events):
                return
            if not came:
                yield b": still here\n\n"
    finally:
        if runs is not None and run.ended is None:
            await runs.cancel(run)


def _event(number: int, name: str, data: Mapping[str, Any]) -> bytes:
    text = msgspec.json.encode(data)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), text)


def _streamed(events: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Response:
    told = {"cache-control": "no-cache", **(headers or {})}
    return StreamingResponse(events, media_type="text/event-stream", headers=told)


def _answer(shown: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> Response:
    told = {"cache-control": "no-store", **headers}
    return Response(msgspec.json.encode(shown), status, told, "application/json")


async def _own(runtime: Runtime, key: Key, text: str) -> Run | KeptRun:
    """A run that this key may see; another's does not exist for it. One on disk comes before what
    memory has of it once it has ended.
    """
    run_id = _id(text)
    found = runtime.workflows.find(run_id, key)
    if found is not None:
        return found
    kept = await runtime.workflows.kept(run_id, key)
    if kept is None:
        raise _missing()
    return kept


def _id(text: str) -> str:
    found = parse_id(text)
    if found is None:
        raise _missing()
    return found


def _missing() -> NotFound:
    return NotFound("no run of that id", param="run_id", code="run_not_found")
