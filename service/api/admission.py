"""Who may come in: shedding when the gateway is full, and each key's limits a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from service.api.asgi import Headers
from service.domain.bulk import MOST_VALUES, check_bulk
from service.domain.chat import ChatRequest, parse
from service.domain.errors import InvalidRequest, RateLimited
from service.domain.records import Key
from service.domain.records import Usage as Used
from service.routing.key_limits import SlidingWindow, Usage
from service.routing.router import Router
from service.runtime import Runtime

ANSWER_TOKENS = 256  # foreseen where the caller gives no cap
_NONE: Headers = []
# Reading JSON holds the interpreter: one long body at a time, so that the loop is held by one.
_ONE = ThreadPoolExecutor(1, thread_name_prefix="headgate-long")


class Grant:
    """What a key was granted: booked at once, corrected by what was used."""

    __slots__ = ("_booked", "_runtime", "_second", "_usage")

    def __init__(self, runtime: Runtime, usage: Usage | None) -> None:
        self._runtime, self._usage = runtime, usage
        self._second = self._booked = 0

    def tokens(self, request: ChatRequest) -> None:
        """Book the tokens that a request may take; raises RateLimited."""
        window = self._usage and self._usage.tokens
        if not window:
            return
        shape = request.shape
        amount = shape.tokens_in + (shape.tokens_out_limit or ANSWER_TOKENS)
        if amount > window.limit:
            raise InvalidRequest(
                f"the request may take {amount} tokens, more than the {window.limit} that the key "
                "may take in a minute; send less, or give a lower max_completion_tokens",
                code="tokens_over_limit",
            )
        now_s = self._runtime.clock.monotonic_s()
        if amount > window.room(now_s):
            raise self._limited("tokens", window.free_in_s(amount, now_s))
        self._second, self._booked = window.add(amount, now_s), amount

    def settle(self, used: Used) -> None:
        """Book what was used in place of what was foreseen."""
        window = self._usage and self._usage.tokens
        if window and self._booked:
            amount = used.tokens_in + used.tokens_out
            now_s = self._runtime.clock.monotonic_s()
            window.correct(self._second, amount - self._booked, now_s)
            self._booked = 0

    def headers(self) -> Headers:
        """OpenAI's headers of the limits, for an answer; none where the plan sets none."""
        if self._usage is None:
            return _NONE
        return [(name.encode(), value.encode()) for name, value in self._shown()]

    def request(self) -> None:
        """Book the request itself; raises RateLimited."""
        window = self._usage and self._usage.requests
        if window:
            now_s = self._runtime.clock.monotonic_s()
            if window.room(now_s) < 1:
                raise self._limited("requests", window.free_in_s(1, now_s))
            window.add(1, now_s)

    def _shown(self) -> Sequence[tuple[str, str]]:
        assert self._usage is not None
        now_s = self._runtime.clock.monotonic_s()
        shown: list[tuple[str, str]] = []
        for name, window in (("requests", self._usage.requests), ("tokens", self._usage.tokens)):
            if window is not None:
                shown += _told(name, window, now_s)
        return shown

    def _limited(self, what: str, free_in_s: float) -> RateLimited:
        self._runtime.load.refused(f"key_{what}")
        window = getattr(self._usage, what)
        error = RateLimited(
            f"this key may take {window.limit} {what} a minute and has; come back in "
            f"{free_in_s:.0f} s",
            retry_after_s=max(free_in_s, 1.0),
        )
        error.headers = self._shown()
        return error


def _told(name: str, window: SlidingWindow, now_s: float) -> list[tuple[str, str]]:
    return [
        (f"x-ratelimit-limit-{name}", str(window.limit)),
        (f"x-ratelimit-remaining-{name}", str(max(window.room(now_s), 0))),
        (f"x-ratelimit-reset-{name}", f"{window.reset_in_s(now_s):.3f}s"),
    ]


def admit(runtime: Runtime, key: Key) -> Grant:
    """Take a request of a key in; raises RateLimited."""
    bounds = runtime.load.bounds
    limits = bounds.key_requests_per_minute, bounds.key_tokens_per_minute
    if limits == (0, 0):
        return Grant(runtime, None)
    now_s = runtime.clock.monotonic_s()
    grant = Grant(runtime, runtime.key_limits.of(key.id, limits, now_s))
    grant.request()
    return grant


async def read_request(runtime: Runtime, body: bytes) -> ChatRequest:
    """A body to a request; a long one is read beside the loop, once its values are counted."""
    if len(body) <= MOST_VALUES:
        return parse(body)
    return await asyncio.get_running_loop().run_in_executor(_ONE, _long, runtime.router, body)


async def read_translated(
    runtime: Runtime, body: bytes, to_chat: Callable[[bytes], tuple[bytes, Any]]
) -> tuple[ChatRequest, bytes, Any]:
    """The same of a body in another dialect, with the body in the internal form."""
    if len(body) <= MOST_VALUES:
        chat, memo = to_chat(body)
        return parse(chat), chat, memo
    loop, router = asyncio.get_running_loop(), runtime.router
    return await loop.run_in_executor(_ONE, _long_translated, router, body, to_chat)


def _long_translated(
    router: Router, body: bytes, to_chat: Callable[[bytes], tuple[bytes, Any]]
) -> tuple[ChatRequest, bytes, Any]:
    check_bulk(body)
    chat, memo = to_chat(body)
    return _long(router, chat), chat, memo


def _long(router: Router, body: bytes) -> ChatRequest:
    check_bulk(body)
    request = parse(body)
    return replace(request, prompt_hash=router.prompt_hash(request))
