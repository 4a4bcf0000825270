"""Upstream faults of content: no answer under a 200, errors inside, empty, too large, misnamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.domain.records import ErrorKind
from service.providers import transport
from tests.chaos import fault
from tests.service.faults.rig import VENDOR, Rig

ANSWER = json.dumps(
    {"choices": [{"index": 0, "message": {"content": "words"}, "finish_reason": "stop"}]}
)


@pytest.mark.parametrize(
    "data",
    [
        ANSWER[:-9],
        "",
        "null",
        "[]",
        '"text"',
        '{"choices": null}',
        '{"choices": []}',
        '{"choices": [null]}',
        '{"choices": [{"index": 0, "message": null}]}',
        ANSWER.replace('"words"', "NaN"),
        ANSWER.replace("{", '{"odd": NaN, ', 1),
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
    ids=lambda data: data[:30],
)
def test_F14_what_is_no_answer_falls_back(rig: Rig, data: str) -> None:
    rig.play(fault("raw", data=data))
    rig.both_fall_back(ErrorKind.MALFORMED, billed=True)


def test_F14_a_page_instead_of_an_answer_falls_back(rig: Rig) -> None:
    page = "<html><body>Busy</body></html>" * 1_000
    rig.play(fault("raw", data=page, kind="text/html"))
    for got in rig.both_fall_back(ErrorKind.MALFORMED, billed=True):
        assert got.attempts[0].usage.tokens_out == 0  # a page is no output of a model


NOTHING: list[dict[str, Any]] = [
    {"role": "assistant", "content": ""},
    {"role": "assistant", "content": None},
    {"role": "assistant", "content": "", "tool_calls": []},
    {"role": "assistant"},
]


@pytest.mark.parametrize("message", NOTHING, ids=str)
def test_F14_an_empty_answer_falls_back(rig: Rig, message: dict[str, Any]) -> None:
    for stream in (False, True):
        rig.play(fault("message", message=message))
        got = rig.ask(stream)
        got.served_by("steady")
        assert got.kinds == [ErrorKind.MALFORMED, None]
        assert got.attempts[0].usage.tokens_in == 12  # billed as the provider said


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": ""}, "length"),
        ({"content": None, "tool_calls": [{"index": 0, "id": "c"}]}, "tool_calls"),
        ({"content": None, "audio": {"data": "AAAA"}}, "stop"),
    ],
    ids=["ran-out-of-tokens", "tool-call", "audio"],
)
def test_F14_an_answer_without_text_that_is_one_passes(
    rig: Rig, message: dict[str, Any], reason: str
) -> None:
    for stream in (False, True):
        rig.play(fault("message", message=message, finish_reason=reason))
        got = rig.ask(stream)
        assert got.status == 200 and got.headers["x-headgate-deployment"] == "faulty"
        assert got.kinds == [None] and not got.outcome.usage.estimated
        if not stream:
            assert json.loads(got.body)["choices"][0]["message"] == message


ERRORS: list[tuple[dict[str, Any], ErrorKind]] = [
    ({"error": {"message": VENDOR, "code": "server_error"}}, ErrorKind.SERVER),
    ({"error": {"message": VENDOR, "code": 429}}, ErrorKind.RATE_LIMIT),
    ({"error": {"message": VENDOR, "type": "overloaded_error"}}, ErrorKind.OVERLOADED),
    ({"type": "error", "error": {"type": "api_error", "message": VENDOR}}, ErrorKind.SERVER),
    (
        {"type": "response.failed", "response": {"error": {"code": "server_error"}}},
        ErrorKind.SERVER,
    ),
    ({"error": VENDOR}, ErrorKind.SERVER),
]


@pytest.mark.parametrize(("content", "kind"), ERRORS, ids=lambda each: str(each)[:40])
def test_F19_an_error_under_a_200_falls_back(
    rig: Rig, content: dict[str, Any], kind: ErrorKind
) -> None:
    for stream in (False, True):
        rig.play(fault("error_in_200", content=content))
        got = rig.ask(stream)
        got.served_by("steady")
        assert got.kinds == [kind, None] and got.attempts[0].usage.cost_micro_usd == 0


@pytest.mark.parametrize("name", ["error", "response.failed"])
@pytest.mark.parametrize("content", [{"message": VENDOR}, {"code": 500}, {}], ids=str)
def test_F19_an_event_of_failure_falls_back(rig: Rig, name: str, content: dict[str, Any]) -> None:
    rig.play(fault("error_in_200", content=content, event=name, tokens=1))
    rig.falls_back(ErrorKind.SERVER, stream=True)


@pytest.mark.parametrize("name", ["", "error", "response.failed"])
def test_F19_an_event_of_failure_after_content_breaks_the_stream_off(rig: Rig, name: str) -> None:
    rig.play(fault("error_in_200", event=name, tokens=3))
    got = rig.ask(stream=True)
    # Content and failure may come in one piece: then nothing was given on and another can answer.
    if got.headers["x-headgate-deployment"] == "faulty":
        got.broke_off(ErrorKind.SERVER)
    else:
        got.served_by("steady")


def test_F19_an_event_of_failure_well_after_content_breaks_the_stream_off(rig: Rig) -> None:
    content = '{"choices": [{"index": 0, "delta": {"content": "the first words"}}]}'
    failed = f'event: error\ndata: {{"error": {{"message": "{VENDOR}"}}}}\n\n'
    parts = [f"data: {content}\n\n", failed]
    rig.play(fault("bytes_of_stream", parts=parts, pause_s=0.1))
    rig.ask(stream=True).broke_off(ErrorKind.SERVER)
    rig.stays_healthy()


@pytest.mark.parametrize("step", ["gzip_bomb", "deflated"])
def test_F24_a_compressed_answer_is_refused_without_inflating(rig: Rig, step: str) -> None:
    rig.play(fault(step))
    rig.both_fall_back(ErrorKind.MALFORMED, billed=True)
    assert b"accept-encoding: identity" in rig.faulty.requests[0].lower()


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in-chunks"])
def test_F24_a_huge_answer_is_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1_000_000)
    rig.play(fault("huge_body", chunked=chunked, size=4_000_000))
    rig.both_fall_back(ErrorKind.MALFORMED, billed=True)


@pytest.mark.parametrize(("size", "number"), [(100_000, 1), (10, 500)], ids=["long", "many"])
def test_F24_a_huge_head_is_refused(rig: Rig, size: int, number: int) -> None:
    rig.play(fault("huge_headers", size=size, number=number))
    rig.both_fall_back(ErrorKind.MALFORMED, billed=True)


@pytest.mark.parametrize("code", [500, 400])
def test_F24_a_huge_error_is_bounded(rig: Rig, code: int) -> None:
    rig.play(fault("status", code=code, message=VENDOR * 100_000))
    got = rig.ask()
    got.nothing_leaks()
    if code == 500:
        got.served_by("steady")
    assert got.kinds[0] is (ErrorKind.SERVER if code == 500 else ErrorKind.INVALID)


def test_F26_another_models_name_is_replaced_and_counted(rig: Rig) -> None:
    for stream in (False, True):
        rig.play(fault("wrong_model"))
        got = rig.ask(stream)
        got.served_by("faulty")
        assert b"another-9b" not in got.body and got.kinds == [None]
        counted = f'headgate_upstream_other_model_total{{deployment="faulty"}} {1.0 + stream}'
        assert counted in rig.metrics()
