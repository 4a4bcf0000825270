"""What went wrong at other gateways does not go wrong here: a test for each."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.records import ErrorKind
from tests.chaos import Chaos, Step, fault
from tests.conftest import KEY
from tests.service.faults.rig import CANARY, HASTY, VENDOR, Rig, rigged

WORDS = " ".join(f"word{number}" for number in range(60))


def all_play(rig: Rig, *steps: Step) -> None:
    for each in rig.upstreams.values():
        each.play(*steps)


# streams and fallbacks -------------------------------------------------------------------------


def test_a_stream_cut_after_forty_of_sixty_tokens_ends_in_an_error_event(rig: Rig) -> None:
    rig.faulty.play(fault("cut", tokens=41), text=WORDS)
    got = rig.ask(stream=True)
    got.broke_off(ErrorKind.CUT)
    assert len(got.text.split()) == 40


def test_a_stream_silent_after_twenty_tokens_ends_in_an_error_event(hasty: Rig) -> None:
    hasty.faulty.play(fault("stall", tokens=21), text=WORDS)
    got = hasty.ask(stream=True)
    got.broke_off(ErrorKind.STALLED)
    assert len(got.text.split()) == 20


def test_one_malformed_line_does_not_fail_the_request(rig: Rig) -> None:
    rig.faulty.play(fault("bad_line"), text=WORDS)
    got = rig.ask(stream=True)
    got.served_by("faulty")
    assert got.text.split() == WORDS.split()


def test_a_failure_before_content_reaches_the_fallback(hasty: Rig) -> None:
    for step in (fault("cut", tokens=1), fault("stall", tokens=1), fault("silence")):
        hasty.steady.requests.clear()
        hasty.play(step)
        hasty.ask(stream=True).served_by("steady")
        assert len(hasty.steady.requests) == 1


@pytest.mark.parametrize("event", ["", "response.failed", "error"])
def test_a_failed_event_in_a_200_stream_falls_back(rig: Rig, event: str) -> None:
    content = {"type": "response.failed", "response": {"status": "failed", "error": None}}
    rig.play(fault("error_in_200", content=content, event=event, tokens=1))
    got = rig.falls_back(ErrorKind.SERVER, stream=True)
    assert VENDOR.encode() not in got.body


@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_answer_that_says_stop_falls_back(rig: Rig, stream: bool) -> None:
    rig.play(fault("message", message={"role": "assistant", "content": ""}))
    rig.ask(stream).served_by("steady")


def test_no_head_is_sent_when_every_fallback_fails_too(rig: Rig) -> None:
    rig.play(fault("cut", tokens=1))
    rig.steady.play(fault("error_in_200", event="error", tokens=1))
    rig.roomy.play(fault("bad_line", number=20, at=1))
    got = rig.ask(stream=True)
    assert got.status == 503 and got.headers["content-type"] == "application/json"
    assert got.kinds == [ErrorKind.CUT, ErrorKind.SERVER, ErrorKind.MALFORMED]
    assert b"data:" not in got.body and got.outcome.status == 503


def test_a_pin_is_not_served_by_another_deployment_on_a_stream(rig: Rig) -> None:
    for stream in (False, True):
        rig.play(fault("cut", tokens=1))
        got = rig.ask(stream, model="faulty")
        assert got.status == 503 and {a.deployment for a in got.attempts} == {"faulty"}
    assert not rig.steady.requests and not rig.roomy.requests


def test_no_other_deployment_takes_over_in_silence_after_content(rig: Rig) -> None:
    rig.faulty.play(fault("cut", tokens=10), text=WORDS)
    rig.ask(stream=True).broke_off(ErrorKind.CUT)
    assert not rig.steady.requests and not rig.roomy.requests


# the ledger ------------------------------------------------------------------------------------


def settled(rig: Rig, count: int) -> list[Any]:
    """The cases, once so many have ended and nothing is under way."""
    until = time.monotonic() + 10
    while True:
        cases = list(rig.runtime.kept.cases._recent.values())
        if len([c for c in cases if c.outcome is not None]) == count and not rig.runtime.under_way:
            return cases
        assert time.monotonic() < until
        time.sleep(0.01)


def test_every_request_that_upstreams_saw_is_an_attempt_in_the_log(tmp_path: Path) -> None:
    steps = [fault("healthy", 2), fault("status", 2, code=500), fault("cut", 1, tokens=4),
             fault("stall", 1, tokens=4), fault("reset", 1), fault("silence", 3)]  # fmt: skip
    with rigged(tmp_path / "state", HASTY) as rig:
        rig.play(*steps)
        for number in range(8):
            rig.post(stream=number % 2 == 0)
        all_play_left = rig.sent()  # those that were answered, one way or another
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                rig.url + "/v1/chat/completions",
                json={"model": "faulty", "messages": [{"role": "user", "content": "x"}]},
                headers={"Authorization": f"Bearer {KEY}"}, timeout=0.1,
            )  # fmt: skip
        cases = settled(rig, 9)
        attempts = [attempt for case in cases for attempt in case.attempts]
        assert len(attempts) == rig.sent() > all_play_left
        for name, upstream in rig.upstreams.items():
            assert len([a for a in attempts if a.deployment == name]) == len(upstream.requests)
        left = cases[-1]
        assert left.outcome.status == 499
        assert left.outcome.usage.estimated and left.outcome.usage.cost_micro_usd > 0
        spent = sum(attempt.usage.cost_micro_usd for attempt in attempts)
        assert sum(case.outcome.usage.cost_micro_usd for case in cases) == spent
        assert rig.runtime.board.cost_micro_usd == spent


# keys, addresses, injections -------------------------------------------------------------------


def test_keys_are_in_no_error_log_url_metric_or_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = f"Incorrect API key provided: {CANARY}, {VENDOR}"
    with rigged(tmp_path / "state") as rig:
        seen = ""
        for step in (
            fault("status", code=401, message=told, word=CANARY, param=CANARY),
            fault("status", code=400, message=told, word=CANARY),
            fault("error_in_200", error={"message": told}),
            fault("raw", data=told),
            fault("raw", data=told, status=500, headers=[f"x-key: {CANARY}"]),
            fault("redirect", location=f"http://127.0.0.1:9/?key={CANARY}"),
            fault("reset"),
        ):
            rig.forgive()
            all_play(rig, step)
            for stream in (False, True):
                rig.forgive()
                got = rig.ask(stream)
                assert got.status >= 400
                seen += got.body.decode() + str(got.headers) + repr(got.case)
        assert all(CANARY.encode() in each for each in rig.faulty.requests)  # it was used
        administrator = {"Authorization": f"Bearer {KEY}"}
        for path in ("/metrics", "/health/ready", "/admin/status", "/v1/models", "/openapi.json"):
            seen += httpx.get(rig.url + path, headers=administrator).text
        seen += repr(rig.runtime.catalog) + repr(rig.runtime.plan)
    seen += caplog.text
    assert CANARY not in seen and VENDOR not in seen and KEY not in seen
    files = [p for p in (tmp_path / "state").rglob("*") if p.is_file()]
    assert any(p.name.startswith("headgate.duckdb") for p in files)
    for path in files:
        data = path.read_bytes()
        for secret in (CANARY, VENDOR, KEY):
            assert secret.encode() not in data, path


ADDRESSES = ("api_base", "base_url", "api_url", "proxy", "custom_llm_provider", "endpoint")


@pytest.mark.parametrize("stream", [False, True])
def test_an_address_in_a_callers_body_is_never_called(rig: Rig, stream: bool) -> None:
    with Chaos() as foreign:
        body: dict[str, Any] = dict.fromkeys(ADDRESSES, foreign.url)
        body["litellm_params"] = {"api_base": foreign.url}
        got = rig.ask(stream, **body)
        got.served_by("faulty")
        refused = rig.post(stream, headgate={"api_base": foreign.url})
        assert refused.status_code == 400
        for model in (foreign.url, f"openai/{foreign.url}", "http://169.254.169.254/latest"):
            assert rig.post(stream, model=model).status_code == 404
        assert foreign.connections == 0


def test_a_redirect_gets_no_key_and_no_prompt(rig: Rig) -> None:
    with Chaos() as foreign:
        rig.play(fault("redirect", code=307, location=foreign.url))
        rig.ask().served_by("steady")
        assert foreign.connections == 0


INJECTIONS = (
    "Bearer ' OR '1'='1", "Bearer '; DROP TABLE keys; --", 'Bearer " UNION SELECT * FROM keys --',
    "Bearer hg-x'); ATTACH 'x.db'; --", "' OR 1=1 --", "Bearer \\x27 OR 1=1", "Bearer %27%20OR",
)  # fmt: skip


@pytest.mark.parametrize("given", INJECTIONS)
def test_no_sql_is_run_from_an_authorization_header(rig: Rig, given: str) -> None:
    all_play(rig, fault("status", code=500))  # the error path was the one that let it in
    body = {"model": "auto", "messages": [{"role": "user", "content": "x"}]}
    for path in ("/v1/chat/completions", "/v1/feedback", "/v1/route"):
        answer = httpx.post(rig.url + path, json=body, headers={"Authorization": given})
        assert answer.status_code == 401, answer.text
        assert given not in answer.text
    for path in ("/admin/status", f"/v1/decisions/{given.replace(' ', '%20')}"):
        answer = httpx.get(rig.url + path, headers={"Authorization": given})
        assert answer.status_code in (401, 404)
    assert rig.sent() == 0
    assert rig.post().status_code == 503  # our key still holds: nothing was dropped
    rows = rig.runtime.kept.database.cursor().execute("SELECT count(*) FROM keys").fetchone()
    assert rows is not None and rows[0] == 1
