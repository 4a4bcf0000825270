"""Requests arrive as spans at a real collector on loopback: whole, streamed, failed, abandoned."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.check import load_checked
from service.domain.errors import PlanInvalid
from service.runtime import Runtime
from service.tracing.context import span_id
from tests.conftest import KEY, ROOT, Server, make_runtime
from tests.service.tracing.receiver import Got, Receiver
from tests.upstream import SSE_HEAD, Upstream, answer_json, event, hang, http, say

pytestmark = pytest.mark.slow
PLAN = """
deployments:
  - {name: first, provider: p1, base_url: FIRST, model: m-1, api_key_env: TRACED_KEY,
     price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
  - {name: second, provider: p2, base_url: SECOND, model: m-2,
     price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
policy: {kind: fixed, parameters: {arm: first}}
service: {attempt_timeouts_s: [3, 3], deadline_s: 9}
"""
# The web framework loads OpenTelemetry's interface by itself where it is installed.
HEAVY = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "service.tracing.s")
TRACED = "traces: {endpoint: 'ENDPOINT', sample: 1, headers_env: TRACES_HEADERS"
PROMPT, SECRET, HEADER = "canary-prompt-81", "sk-canary-key-81", "canary-header-81"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STREAM = (SSE_HEAD, event("one"), event(" two"), event(None, usage={
    "prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}),
    b"data: [DONE]\n\n")  # fmt: skip


class Stage:
    """A service with a collector and two providers."""

    def __init__(self, runtime: Runtime, url: str, stack: tuple[Receiver, Upstream, Upstream]):
        self.runtime, self.url = runtime, url
        self.receiver, self.first, self.second = stack

    def ask(self, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {KEY}", **more.pop("headers", {})}
        body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}],
                "user": "canary-user-81", **more}  # fmt: skip
        return httpx.post(f"{self.url}/v1/chat/completions", headers=headers, json=body, timeout=20)

    def well(self) -> None:
        self.first.act = self.second.act = say(http(200, answer_json()))


@contextmanager
def staged(state: Path, more: str) -> Iterator[Stage]:
    with ExitStack() as stack:
        receiver, first, second = (
            stack.enter_context(each()) for each in (Receiver, Upstream, Upstream)
        )
        text = PLAN.replace("FIRST", first.url).replace("SECOND", second.url)
        text += more.replace("ENDPOINT", receiver.url)
        runtime = make_runtime(state, text)
        server = stack.enter_context(Server(create_app(runtime)))
        yield Stage(runtime, server.url, (receiver, first, second))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACED_KEY", SECRET)
        patch.setenv("TRACES_HEADERS", f"x-tenant = {HEADER}")
        state = tmp_path_factory.mktemp("traced")
        with staged(state, TRACED + ", to_providers: true}\n") as found:
            yield found


def of(stage: Stage, answer: httpx.Response) -> list[Got]:
    return stage.receiver.of(answer.headers["x-headgate-decision-id"])


def test_a_whole_answer(stage: Stage) -> None:
    stage.well()
    answer = stage.ask()
    own, call = of(stage, answer)
    decision = answer.headers["x-headgate-decision-id"]
    assert (own.name, own.kind, own.failed, own.parent) == ("chat first", 2, False, "")
    assert own.trace == call.trace == decision.replace("-", "")
    assert own.span == f"{span_id(decision, 0):016x}" and call.parent == own.span
    for name, value in {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "p1",
        "gen_ai.request.model": "first", "gen_ai.response.model": "first",
        "gen_ai.response.id": answer.json()["id"], "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34, "gen_ai.request.stream": False,
        "headgate.decision_id": decision, "headgate.mode": "randomised",
        "headgate.task": "other", "headgate.attempts": 1, "headgate.propensity": 1.0,
        "http.response.status_code": 200,
    }.items():  # fmt: skip
        assert own.attributes[name] == value, name
    assert own.attributes["headgate.cost_usd"] == float(answer.headers["x-headgate-cost"])
    assert (call.name, call.kind, call.failed) == ("chat m-1", 3, False)
    for name, value in {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "p1",
        "gen_ai.request.model": "m-1", "gen_ai.usage.output_tokens": 34,
        "headgate.deployment": "first", "headgate.role": "first", "headgate.attempt": 1,
        "server.address": "127.0.0.1", "server.port": stage.first.port,
    }.items():  # fmt: skip
        assert call.attributes[name] == value, name
    assert "error.type" not in own.attributes and "error.type" not in call.attributes
    assert own.resource["service.name"] == "headgate"
    assert own.start_ns <= call.start_ns + 1_000_000 and call.end_ns <= own.end_ns + 1_000_000
    assert 0 < own.end_ns - own.start_ns < 30e9


def test_a_stream(stage: Stage) -> None:
    stage.first.act = say(*STREAM)
    answer = stage.ask(stream=True)
    assert answer.text.endswith("[DONE]\n\n")
    own, call = of(stage, answer)
    for span in (own, call):
        assert span.attributes["gen_ai.request.stream"] is True
        assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0
        assert span.attributes["gen_ai.usage.output_tokens"] == 34


def test_a_stream_that_breaks(stage: Stage) -> None:
    stage.first.act = say(SSE_HEAD, event("one"))
    answer = stage.ask(stream=True)
    assert "event: error" in answer.text
    own, call = of(stage, answer)
    assert own.failed and call.failed
    assert own.attributes["error.type"] == call.attributes["error.type"] == "cut"
    assert own.attributes["gen_ai.usage.output_tokens"] > 0


def test_a_fallback(stage: Stage) -> None:
    stage.well()
    stage.first.act = say(http(500, b'{"error": {"message": "vendor text"}}'))
    own, failed, answered = of(stage, stage.ask())
    assert not own.failed and own.attributes["gen_ai.response.model"] == "second"
    assert own.name == "chat second" and own.attributes["gen_ai.request.model"] == "first"
    assert own.attributes["headgate.mode"] == "fallback"
    assert failed.failed and failed.attributes["error.type"] == "server"
    assert failed.attributes["http.response.status_code"] == 500
    assert not answered.failed and answered.attributes["headgate.role"] == "fallback"
    assert len({own.span, failed.span, answered.span}) == 3


def test_a_request_that_nobody_answers(stage: Stage) -> None:
    stage.first.act = stage.second.act = say(http(500, b"{}"))
    answer = stage.ask()
    assert answer.status_code == 503
    spans = stage.receiver.wait(
        lambda spans: any(s.attributes.get("http.response.status_code") == 503 for s in spans)
    )
    (own,) = [s for s in spans if s.attributes.get("http.response.status_code") == 503]
    assert own.failed and own.attributes["error.type"] == "server"
    assert "gen_ai.response.model" not in own.attributes
    stage.runtime.fleet.forgive("first")
    stage.runtime.fleet.forgive("second")


def test_a_caller_who_leaves(stage: Stage) -> None:
    stage.first.act = hang
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{stage.url}/v1/chat/completions", headers={"Authorization": f"Bearer {KEY}"},
            json={"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}, timeout=0.5,
        )  # fmt: skip
    stage.receiver.wait(
        lambda spans: any(
            span.attributes.get("error.type") == "cancelled" and span.kind == 2 for span in spans
        )
    )


def test_a_caller_s_trace_goes_on(stage: Stage) -> None:
    stage.well()
    before = len(stage.first.requests)
    answer = stage.ask(headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    own, call = of(stage, answer)
    assert own.trace == call.trace == TRACE and own.parent == PARENT and call.parent == own.span
    (sent,) = stage.first.requests[before:]
    assert f"traceparent: 00-{TRACE}-{call.span}-01\r\n".encode() in sent.lower()
    answer = stage.ask(headers={"traceparent": "00-nonsense"})
    assert of(stage, answer)[0].parent == ""


def test_a_caller_who_records_nothing(stage: Stage) -> None:
    stage.well()
    unsampled = f"00-{TRACE[::-1]}-{PARENT}-00"
    assert stage.ask(headers={"traceparent": unsampled}).status_code == 200
    assert f"traceparent: 00-{TRACE[::-1]}".encode() in stage.first.requests[-1]
    assert stage.first.requests[-1].split(b"traceparent: ")[1].split(b"\r\n")[0].endswith(b"-00")
    of(stage, stage.ask())  # what came after it is there, and it is not
    assert not [span for span in stage.receiver.spans if span.trace == TRACE[::-1]]


def test_nothing_leaks(stage: Stage) -> None:
    stage.well()
    of(stage, stage.ask())
    assert stage.receiver.headers[-1]["x-tenant"] == HEADER
    sent = b"".join(stage.receiver.bodies)
    for secret in (PROMPT, SECRET, HEADER, KEY, "canary-user-81", "vendor text"):
        assert secret.encode() not in sent, secret
    assert HEADER not in repr(stage.runtime.ledger.tracer.rules)  # type: ignore[union-attr]
    assert stage.runtime.ledger.tracer.exported > 10  # type: ignore[union-attr]


def test_a_reload_moves_to_another_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACED_KEY", SECRET)
    admin = {"Authorization": f"Bearer {KEY}"}
    with staged(tmp_path, "") as stage, Receiver() as other:
        stage.well()
        assert stage.runtime.ledger.tracer is None
        assert stage.ask(headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}).status_code == 200
        assert b"traceparent" not in stage.first.requests[-1]
        path = tmp_path / "plan.yaml"
        text = path.read_text("utf-8")
        for endpoint in (stage.receiver, other):
            path.write_text(text + f"traces: {{endpoint: '{endpoint.url}', sample: 1}}\n", "utf-8")
            told = httpx.post(f"{stage.url}/admin/plan/reload", headers=admin, timeout=20)
            assert told.status_code == 200, told.text
            answer = stage.ask(headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            assert endpoint.of(answer.headers["x-headgate-decision-id"])[0].parent == PARENT
            assert b"traceparent" not in stage.first.requests[-1]  # the plan does not say so
        kept = stage.runtime.ledger.tracer
        httpx.post(f"{stage.url}/admin/plan/reload", headers=admin, timeout=20)
        assert stage.runtime.ledger.tracer is kept
        path.write_text(text, "utf-8")
        httpx.post(f"{stage.url}/admin/plan/reload", headers=admin, timeout=20)
        assert stage.runtime.ledger.tracer is None


def test_a_dead_collector_is_told_once_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TRACED_KEY", SECRET)
    monkeypatch.setenv("TRACES_HEADERS", "")
    monkeypatch.setattr("service.tracing.tracer.RETRY_S", 0.05)
    with caplog.at_level(logging.WARNING), staged(tmp_path, TRACED + "}\n") as stage:
        stage.well()
        stage.receiver.status = 400  # what is not to be tried again
        tracer = stage.runtime.ledger.tracer
        assert tracer is not None
        deadline = time.monotonic() + 30.0
        while tracer.dropped < 6:
            assert stage.ask().status_code == 200 and time.monotonic() < deadline
        stage.receiver.status = 200
        of(stage, stage.ask())
        while tracer.failing:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        messages = [each.getMessage() for each in caplog.records if "collector" in each.message]
        assert [m for m in messages if "nothing" in m] == messages[:1]
        assert [m for m in messages if "again" in m] == messages[1:2] and len(messages) == 2


def test_who_wants_no_traces_does_not_load_opentelemetry(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.conftest import make_runtime, plan_text\n"
        "from service.app import create_app\n"
        "import service.cli.serve\n"
        f"runtime = make_runtime(Path({str(tmp_path)!r}), plan_text('http://127.0.0.1:1'))\n"
        "create_app(runtime)\n"
        "runtime.learner.stop()\n"
        "runtime.kept.close()\n"
        "assert runtime.ledger.tracer is None\n"
        f"heavy = {HEAVY!r}\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_the_plan_is_held_against_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.yaml"
    monkeypatch.setenv("TRACED_KEY", SECRET)
    text = PLAN.replace("FIRST", "http://a/v1").replace("SECOND", "http://b/v1")
    path.write_text(text + TRACED.replace("ENDPOINT", "http://c/v1/traces") + "}\n", "utf-8")
    monkeypatch.delenv("TRACES_HEADERS", raising=False)
    with pytest.raises(PlanInvalid, match="TRACES_HEADERS is not set"):
        load_checked(path)
    monkeypatch.setenv("TRACES_HEADERS", f"{SECRET}\nx=y")
    with pytest.raises(PlanInvalid, match="must be name=value") as told:
        load_checked(path)
    assert SECRET not in str(told.value)
    monkeypatch.setenv("TRACES_HEADERS", "a=b, c = d=e")
    assert load_checked(path).traces.headers("a=b, c = d=e") == {"a": "b", "c": "d=e"}
    monkeypatch.setattr("service.check.OTLP", "opentelemetry.not.there")
    with pytest.raises(PlanInvalid, match=r"install headgate\[traces\]"):
        load_checked(path)
