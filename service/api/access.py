"""What every route that is not hot begins with: the runtime and the caller's key."""

from __future__ import annotations

from fastapi import Request

from service.api.auth import authenticate
from service.domain.records import Key
from service.runtime import Runtime


def runtime_of(request: Request) -> Runtime:
    """The runtime of the app that serves the request."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def allowed(request: Request, least: str) -> tuple[Runtime, Key]:
    """The runtime, and the caller's key if it has at least the role."""
    runtime = runtime_of(request)
    return runtime, authenticate(request.scope, runtime.kept.keys, least)
