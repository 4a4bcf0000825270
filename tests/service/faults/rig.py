"""A whole service on loopback before upstreams that fail as told: one faulty, two that answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.domain.records import Attempt, ErrorKind, Outcome
from service.runtime import Runtime
from service.storage.cases import Case
from tests.chaos import Chaos, Step
from tests.conftest import KEY, Server, make_runtime

CANARY = "sk-canary-5f1e2d3c4b5a"
VENDOR = "vendor text"  # what the faults put into their error messages
PROMPT = "Describe the tide to a child, briefly."

PLAN = """
deployments:
  - {name: faulty, provider: p1, base_url: FAULTY, model: m, api_key_env: CHAOS_KEY,
     context_window: 32000, price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
  - {name: steady, provider: p2, base_url: STEADY, model: m, api_key_env: CHAOS_KEY,
     context_window: 32000, price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
  - {name: roomy, provider: p3, base_url: ROOMY, model: m, api_key_env: CHAOS_KEY,
     context_window: 200000, price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
policy: {kind: fixed, parameters: {arm: faulty}}
service: {attempt_timeouts_s: [3, 3, 3], stream_idle_s: 2, deadline_s: 9}
"""
# For faults of time: the first attempt is short, those that are to answer have time enough.
HASTY = PLAN.replace("[3, 3, 3]", "[0.3, 3, 3]").replace("stream_idle_s: 2", "stream_idle_s: 0.25")


@dataclass
class Got:
    """What the caller got, and what the log says of it."""

    status: int
    headers: httpx.Headers
    body: bytes
    case: Case

    @property
    def attempts(self) -> list[Attempt]:
        return self.case.attempts

    @property
    def outcome(self) -> Outcome:
        assert self.case.outcome is not None
        return self.case.outcome

    @property
    def kinds(self) -> list[ErrorKind | None]:
        return [attempt.error_kind for attempt in self.attempts]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stream's chunks, the end and an error apart."""
        found = []
        for each in self.body.decode().split("\n\n"):
            if each.startswith("data: ") and each != "data: [DONE]":
                found.append(json.loads(each[6:]))
        return found

    @property
    def text(self) -> str:
        """The answer's content, streamed or whole."""
        if self.headers["content-type"].startswith("text/event-stream"):
            deltas = [c["delta"].get("content") or "" for e in self.events for c in e["choices"]]
            return "".join(deltas)
        return str(json.loads(self.body)["choices"][0]["message"]["content"])

    def served_by(self, name: str) -> None:
        """A valid, whole answer of that deployment."""
        assert self.status == 200, self.body
        assert self.headers["x-headgate-deployment"] == name
        assert self.text.split() and self.outcome.status == 200 and self.outcome.deployment == name
        if self.headers["content-type"].startswith("text/event-stream"):
            assert self.body.endswith(b"data: [DONE]\n\n") and b"event: error" not in self.body
            assert {event["model"] for event in self.events} == {name}
        self.nothing_leaks()

    def broke_off(self, kind: ErrorKind) -> None:
        """A stream that ended in an error event, never in a clean end; what came is billed."""
        assert self.status == 200 and b"[DONE]" not in self.body
        last = self.body.rstrip().rsplit(b"\n\n", 1)[-1]
        assert last.startswith(b"event: error\ndata: ")
        assert json.loads(last.split(b"data: ")[1])["error"]["code"] == "stream_interrupted"
        assert self.kinds[-1] is kind and self.outcome.error_kind is kind
        assert self.attempts[-1].usage.cost_micro_usd > 0 and self.attempts[-1].usage.estimated
        assert self.attempts[-1].usage.tokens_out > 0
        self.nothing_leaks()

    def nothing_leaks(self) -> None:
        """No key and none of the vendor's words, in the body and the headers."""
        shown = self.body.decode("utf-8", "replace") + str(dict(self.headers))
        for secret in (CANARY, VENDOR, KEY):
            assert secret not in shown


class Rig:
    """The service and its upstreams."""

    def __init__(self, runtime: Runtime, url: str, upstreams: dict[str, Chaos]) -> None:
        self.runtime, self.url, self.upstreams = runtime, url, upstreams
        self.client = httpx.Client(verify=False, timeout=10.0)  # no certificates need be read

    @property
    def faulty(self) -> Chaos:
        return self.upstreams["faulty"]

    @property
    def steady(self) -> Chaos:
        return self.upstreams["steady"]

    @property
    def roomy(self) -> Chaos:
        return self.upstreams["roomy"]

    def play(self, *steps: Step) -> None:
        """What the faulty one does from now on; what it did before is forgiven."""
        self.forgive()
        self.faulty.play(*steps)

    def forgive(self) -> None:
        """End ejections and cool-downs."""
        for name in self.upstreams:
            self.runtime.fleet.forgive(name)

    def post(self, stream: bool = False, **more: Any) -> httpx.Response:
        """One request, as it comes back."""
        body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}
        body |= {"stream": True} if stream else {}
        headers = {"Authorization": f"Bearer {KEY}"}
        return self.client.post(
            self.url + "/v1/chat/completions", json=body | more, headers=headers
        )

    def ask(self, stream: bool = False, **more: Any) -> Got:
        """One request, its answer, and its case once it has ended."""
        before = set(self.runtime.kept.cases._recent)
        answer = self.post(stream, **more)
        (decision_id,) = set(self.runtime.kept.cases._recent) - before
        case = self.runtime.kept.cases.recent(decision_id)
        assert case is not None
        until = time.monotonic() + 5
        while case.outcome is None:
            assert time.monotonic() < until
            time.sleep(0.005)
        return Got(answer.status_code, answer.headers, answer.content, case)

    def both_fall_back(self, kind: ErrorKind, billed: bool = False) -> list[Got]:
        """A whole answer and a stream alike."""
        found = []
        for stream in (False, True):
            self.forgive()
            found.append(self.falls_back(kind, stream, billed))
        return found

    def falls_back(self, kind: ErrorKind, stream: bool = False, billed: bool = False) -> Got:
        """The faulty one fails in that way, the steady one answers, the bill is right."""
        got = self.ask(stream)
        got.served_by("steady")
        assert got.headers["x-headgate-mode"] == "fallback"
        assert got.headers["x-headgate-fallback-from"] == "faulty"
        assert got.kinds == [kind, None]
        assert [attempt.deployment for attempt in got.attempts] == ["faulty", "steady"]
        first, second = (attempt.usage for attempt in got.attempts)
        assert (first.cost_micro_usd > 0) == billed and (first.estimated or not billed)
        assert second.cost_micro_usd > 0
        assert got.outcome.usage.cost_micro_usd == first.cost_micro_usd + second.cost_micro_usd
        self.stays_healthy()
        return got

    def stays_healthy(self) -> None:
        """It is ready, nothing is left under way."""
        assert self.client.get(self.url + "/health/ready").status_code == 200
        assert self.runtime.under_way == 0

    def metrics(self) -> str:
        """The counters as text."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return self.client.get(self.url + "/metrics", headers=headers).text

    def sent(self) -> int:
        """Requests that the upstreams have seen."""
        return sum(len(each.requests) for each in self.upstreams.values())


@contextmanager
def rigged(state: Path, text: str = PLAN, clock: Any = None, **upstreams: Chaos) -> Iterator[Rig]:
    """A running rig; the plan's FAULTY, STEADY and ROOMY are the upstreams' addresses."""
    with ExitStack() as stack:
        for name in ("faulty", "steady", "roomy"):
            chaos = upstreams.get(name)  # one that is given is its giver's to end
            if chaos is None:
                chaos = upstreams[name] = stack.enter_context(Chaos())
            text = text.replace(name.upper(), chaos.url)
        runtime = make_runtime(state, text, clock=clock)
        server = stack.enter_context(Server(create_app(runtime)))
        rig = Rig(runtime, server.url, upstreams)
        with rig.client:
            yield rig
