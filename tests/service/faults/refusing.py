"""A service over a provider that refuses, for the tests of refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.runtime import Runtime
from service.storage.cases import rows_of
from tests.conftest import KEY, Server, make_runtime
from tests.upstream import SSE_HEAD, USAGE, Act, Upstream, answer_json, event, http, say

AUTH = {"Authorization": f"Bearer {KEY}"}
PROMPT, VENDOR = "canary-prompt-7c1f", "canary-vendor-text-93ab"
PREMIUM = {"headgate": {"tier": "premium"}}
DONE = b"data: [DONE]\n\n"
SENT_BACK = "the request was refused by the provider's content policy; it was not sent elsewhere"
AGAIN = (
    "the same request was refused before by the provider's content policy; it was not sent again"
)


def plan(url: str, more: str = "") -> str:
    """Three deployments of three providers, all at the same address."""
    deployments = "".join(
        f"  - {{name: {name}, provider: of-{name}, base_url: '{url}', model: up-model, "
        "price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}, capabilities: [tools, json]}\n"
        for name in ("a", "b", "c")
    )
    return f"deployments:\n{deployments}tiers: [basic, premium]\n{more}"


def error(code: str | None = "content_policy_violation", status: int = 400, **more: Any) -> Act:
    """A refusal as an error."""
    content = {"message": f"{VENDOR} about {PROMPT}", "type": "invalid_request_error",
               "param": "messages", "code": code}  # fmt: skip
    return say(http(status, json.dumps({"error": content | more}).encode()))


def whole(finish_reason: str = "stop", usage: Any = USAGE, **message: Any) -> Act:
    """An answer with status 200 that may be a refusal."""
    content = {"role": "assistant", "content": None} | message
    choice = {"index": 0, "message": content, "finish_reason": finish_reason}
    return say(http(200, answer_json(choices=[choice], usage=usage)))


def delta(finish_reason: str | None = None, index: int = 0, **content: Any) -> bytes:
    """A chunk of a stream."""
    choice = {"index": index, "delta": content, "finish_reason": finish_reason}
    return event(None, choices=[choice])


def stream(*parts: bytes, usage: bool = True, pause_s: float = 0.005) -> Act:
    """A stream to its end."""
    last = (event(None, usage=USAGE), DONE) if usage else (DONE,)
    return say(SSE_HEAD, *parts, *last, pause_s=pause_s)


REFUSED = {"refusal": f"{VENDOR}: I cannot speak of {PROMPT}"}
REFUSALS: dict[str, tuple[bool, Act, str, int]] = {
    # name: (streamed, what the provider does, our code word, micro-dollars billed)
    "400": (False, error(), "content_policy_violation", 0),
    "azure": (False, error(None, innererror={"code": "ResponsibleAIPolicyViolation"}),
              "ResponsibleAIPolicyViolation", 0),
    "403 on a stream": (True, error("content_filter", 403), "content_filter", 0),
    "200": (False, whole(**REFUSED), "refusal", 80),
    "200 filtered": (False, whole("content_filter"), "content_filter", 80),
    "200 of Gemini": (False, whole("PROHIBITED_CONTENT", content=""), "content_filter", 80),
    "stream": (True, stream(delta(role="assistant", content="", refusal=None),
                            delta(refusal=VENDOR), delta(refusal=PROMPT), delta("stop")),
               "refusal", 80),
    "stream filtered": (True, stream(delta(role="assistant"), delta("content_filter")),
                        "content_filter", 80),
    "stream in one piece": (True, say(SSE_HEAD + delta(refusal=VENDOR) + delta("stop")
                                      + event(None, usage=USAGE) + DONE), "refusal", 80),
}  # fmt: skip


class Stage:
    """The service, its provider, and a caller."""

    def __init__(self, runtime: Runtime, url: str, upstream: Upstream) -> None:
        self.runtime, self.url, self.upstream = runtime, url, upstream

    def ask(self, text: str = PROMPT, key: str = KEY, **more: Any) -> httpx.Response:
        """One request."""
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | more
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(
            self.url + "/v1/chat/completions", json=body, headers=headers, timeout=20.0
        )

    def get(self, path: str) -> Any:
        """An operator's question."""
        response = httpx.get(self.url + path, headers=AUTH)
        assert response.status_code == 200, response.text
        return response.json()

    def decide(self, review: str, verdict: str, **more: Any) -> httpx.Response:
        """A reviewer's ruling."""
        body = {"verdict": verdict, "reviewer": "ann", "note": "looked at by ann"} | more
        return httpx.post(f"{self.url}/admin/review/{review}/decide", json=body, headers=AUTH)

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query over all that was logged."""
        self.runtime.kept.log.flush().result(5)
        return rows_of(self.runtime.kept.database.cursor(), sql, parameters)

    @property
    def calls(self) -> int:
        """How often the provider was called."""
        return len(self.upstream.requests)


@contextmanager
def staged(state: Path, upstream: Upstream, more: str = "", clock: Any = None) -> Iterator[Stage]:
    """A service on a state directory."""
    runtime = make_runtime(state, plan(upstream.url, more), clock=clock)
    with Server(create_app(runtime)) as server:
        yield Stage(runtime, server.url, upstream)


def refusal(response: httpx.Response) -> dict[str, Any]:
    """The error of a refusal, checked for its form."""
    assert response.status_code == 400, response.text
    found: dict[str, Any] = response.json()["error"]
    assert (found["code"], found["type"]) == ("content_policy_violation", "invalid_request_error")
    assert response.headers["x-request-id"] in found["message"]
    return found
