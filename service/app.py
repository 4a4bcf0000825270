"""create_app: mounts the routes, maps errors to HTTP, holds the life of the service."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from service.api import (
    alerts,
    approvals,
    audits,
    batch_admin,
    batches,
    benchmarks,
    budgets,
    caching,
    caller,
    capabilities,
    classifier,
    classify,
    conversations,
    costs,
    document,
    ensembles,
    escalation,
    evidence,
    experiments,
    files,
    health,
    judging,
    keys,
    knowledge,
    operations,
    opportunities,
    overrides,
    plan,
    policies,
    prediction,
    prompt_caches,
    queue,
    ratings,
    reports,
    reviews,
    shadows,
    tickets,
    trail,
    trends,
    workflows,
)
from service.api.access import REQUEST_ID
from service.api.asgi import (
    ClientGone,
    Message,
    Receive,
    Scope,
    Send,
    error_body,
    error_headers,
    read_body,
    send_error,
)
from service.api.auth import authenticate
from service.api.chat import ChatEndpoint
from service.api.document import (
    CHAT_PATH,
    COUNT_PATH,
    MESSAGES_PATH,
    RESPONSES_PATH,
    describe,
)
from service.api.four_eyes import Held
from service.api.fronts import Front
from service.api.messages import CountEndpoint, Messages
from service.api.modal import ModalEndpoint
from service.api.responses import Responses
from service.domain.bulk import check_bulk
from service.domain.clock import new_id
from service.domain.errors import (
    HeadgateError,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Unprocessable,
)
from service.domain.modal_requests import PATHS
from service.runtime import Runtime

log = logging.getLogger("headgate.api")

SMALL_BODY = 1_000_000
SMALL_VALUES = 2_000  # each unknown field costs an error of its own
ROUTE_PATH = "/v1/route"
LARGE = (
    ROUTE_PATH,
    files.PATH,
    evidence.PATH,
)  # their bodies are as large as those of the hot paths
CONSOLE = "/console"
KEYED = ("/v1/", "/admin/")
PARTS = (
    health, caller, operations, audits, plan, reports, reviews, tickets, queue, experiments,
    policies, classify, shadows, knowledge, trends, keys, trail, overrides, approvals, alerts,
    benchmarks, capabilities, judging, prediction, ratings, classifier, evidence,
    budgets, costs, opportunities, escalation, ensembles, conversations, prompt_caches, caching,
    workflows, files, batches, batch_admin,
)  # fmt: skip
WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")


class Headgate(FastAPI):
    """The app. The hot path is taken before routing; every other body is bounded first."""

    runtime: Runtime
    hot: dict[str, ASGIApp]  # by path
    console: ASGIApp | None = None  # the gate before the operators' pages
    sockets: tuple[bytes | None, Any] = (None, None)  # where there are web sockets, of which class

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if self.console is not None:
                await self.console(scope, receive, send)
            return
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        hot = self.hot.get(path)
        if hot is not None:
            if method == "POST":
                await hot(scope, receive, send)
            else:
                await send_error(send, NotAllowed(f"{path} takes POST"), new_id())
            return
        scope[REQUEST_ID] = new_id()
        if path.startswith(KEYED):
            await self._keyed(scope, receive, send)
            return
        if self.console is not None and (path == CONSOLE or path.startswith(f"{CONSOLE}/")):
            await self.console(scope, receive, _named(scope, send))
            return
        await super().__call__(scope, receive, _named(scope, send))

    async def _keyed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A route that needs a key: it is looked at before a byte of the body is read."""
        load, body = self.runtime.load, b""
        limit = SMALL_BODY
        try:
            if scope["path"] in LARGE:  # as dear as the real thing
                limit = load.bounds.body_bytes
                load.check()
            authenticate(scope, self.runtime.kept.keys)
            if scope["method"] in WITH_BODY:
                body = await read_body(scope, receive, limit, load)
                if scope["path"] not in LARGE:
                    check_bulk(body, SMALL_VALUES)
                receive = _replay(body, receive)
            await super().__call__(scope, receive, _named(scope, send))
        except HeadgateError as error:
            load.noted(error)
            await send_error(send, error, scope[REQUEST_ID])
        except ClientGone:
            pass
        finally:
            load.held_bytes -= len(body)

    def openapi(self) -> dict[str, Any]:
        """The document, the raw routes included."""
        if not self.openapi_schema:
            describe(super().openapi())
        schema: dict[str, Any] = self.openapi_schema or {}
        return schema


def _named(scope: Scope, send: Send) -> Send:
    """A send that gives every answer the request's id."""
    given = scope[REQUEST_ID].encode()

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"]
            if not any(name == b"x-request-id" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"x-request-id", given)]}
        await send(message)

    return named


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once, and after it what the server gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def create_app(runtime: Runtime) -> Headgate:
    """The service as an ASGI application."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await runtime.start()
        try:
            yield
        finally:
            await runtime.stop()

    app = Headgate(title="Headgate", version="1", lifespan=life, openapi_url=None)
    app.runtime, messages = runtime, Messages()
    app.hot = {
        CHAT_PATH: ChatEndpoint(runtime, Front()),
        MESSAGES_PATH: ChatEndpoint(runtime, messages),
        COUNT_PATH: CountEndpoint(runtime, messages),
        RESPONSES_PATH: ChatEndpoint(runtime, Responses()),
        **{"/v1" + path: ModalEndpoint(runtime, name) for name, path in PATHS.items()},
    }
    app.state.runtime = runtime
    for part in (*PARTS, document):
        app.include_router(part.router)
    app.add_exception_handler(HeadgateError, _known)
    app.add_exception_handler(Held, _held)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)
    return app


def _answer(request: Request, error: HeadgateError) -> JSONResponse:
    request_id = request.scope.get(REQUEST_ID) or new_id()
    return JSONResponse(
        error_body(error, request_id), error.status, dict(error_headers(error, request_id))
    )


async def _held(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Held)
    where = {"location": f"/admin/approvals/{error.approval.id}"}
    return JSONResponse(approvals.held(error.approval), 202, where)


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HeadgateError)
    return _answer(request, error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    if first["type"] == "json_invalid":
        return _answer(request, InvalidRequest("the body is not valid JSON", code="invalid_json"))
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown field"
    if param.startswith("value."):  # a union names every branch that failed
        param, message = "value", "must be a number, true or false, or a text"
    return _answer(request, Unprocessable(f"{param or 'body'}: {message}", param=param or None))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    known: HeadgateError
    if error.status_code == 404:
        known = NotFound("no such path", code="unknown_path")
    else:
        known = InvalidRequest(str(error.detail))
        known.status = error.status_code
    return _answer(request, known)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("a request failed", exc_info=error)
    return _answer(request, HeadgateError("something went wrong here"))
