"""A running service with a few requests, and somebody who looks at it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.console.calling import Api
from service.console.gate import Visit
from service.console.looker import Looker
from service.console.sessions import SessionRules, Sessions
from service.domain.clock import SystemClock
from tests.conftest import Service
from tests.service.api.test_auth import make_key
from tests.service.console.looking import AUTH, CANARY


@pytest.fixture(scope="module")
def busy(service: Service) -> Iterator[Service]:
    """With a few requests answered and rated."""
    for i in range(6):
        body = {"model": "auto", "messages": [{"role": "user", "content": f"Tell me of {i}."}]}
        answer = httpx.post(service.url + "/v1/chat/completions", json=body, headers=AUTH).json()
        rated = {"id": answer["id"], "value": 0.5, "reason": CANARY, "tags": [CANARY]}
        httpx.post(service.url + "/v1/feedback", json=rated, headers=AUTH).raise_for_status()
    runtime = service.runtime
    for weight in runtime.weights.evaluate():
        runtime.kept.log.append(weight)
    runtime.kept.log.flush().result(10)
    yield service


@pytest.fixture
def look(busy: Service) -> Callable[..., Looker]:
    sessions = Sessions(busy.runtime.kept.keys, SystemClock(), SessionRules())
    api = Api(functools.partial(FastAPI.__call__, create_app(busy.runtime)), "127.0.0.9")

    def made(of: str = "", role: str = "operator", **query: str) -> Looker:
        session = sessions.open(make_key(busy, role), "here")
        return Looker(Visit(busy.runtime, sessions, session, api), query, of)

    return made
