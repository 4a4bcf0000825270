"""Upstream faults within a stream: cut, stalled, malformed, split, wrongly encoded, disordered."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from service.domain.records import ErrorKind
from tests.chaos import fault
from tests.chaos_answers import events
from tests.service.faults.rig import Rig

WORDS = " ".join(f"word{number}" for number in range(60))


def _bytes(text: bytes) -> str:
    return "hex:" + text.hex()


@pytest.mark.parametrize("clean", [True, False], ids=["last-chunk-sent", "connection-closed"])
def test_F09_a_stream_cut_after_some_tokens(rig: Rig, clean: bool) -> None:
    rig.faulty.play(fault("cut", tokens=41, clean=clean), text=WORDS)
    got = rig.ask(stream=True)
    got.broke_off(ErrorKind.CUT)
    assert got.text.split() == WORDS.split()[:40]
    assert got.attempts[0].usage.tokens_out == -(-len(got.text) // 4)
    assert rig.sent() == 1  # no silent change of deployment after the first content
    rig.stays_healthy()


@pytest.mark.parametrize("tokens", [0, 1], ids=["at-once", "after-the-role"])
def test_F09_a_stream_cut_before_its_first_content_falls_back(rig: Rig, tokens: int) -> None:
    rig.play(fault("cut", tokens=tokens))
    rig.falls_back(ErrorKind.CUT, stream=True, billed=True)


def test_F10_a_stream_stalled_after_some_tokens(hasty: Rig) -> None:
    hasty.faulty.play(fault("stall", tokens=21), text=WORDS)
    got = hasty.ask(stream=True)
    got.broke_off(ErrorKind.STALLED)
    assert len(got.text.split()) == 20
    hasty.stays_healthy()


def test_F10_a_stream_stalled_before_its_first_content_falls_back(hasty: Rig) -> None:
    hasty.play(fault("stall", tokens=1))
    hasty.falls_back(ErrorKind.TIMEOUT, stream=True, billed=True)


@pytest.mark.parametrize(
    "line",
    ['data: {"choices": [tru', "data: <html>", "data: \x00\x01", 'data: {"usage": NaN}', "data: 7"],
)
def test_F11_a_malformed_line_is_skipped_and_counted(rig: Rig, line: str) -> None:
    rig.faulty.play(fault("bad_line", line=line, number=2), text=WORDS)
    got = rig.ask(stream=True)
    got.served_by("faulty")
    assert got.text.split() == WORDS.split() and got.kinds == [None]
    assert 'headgate_stream_malformed_total{deployment="faulty"} 2.0' in rig.metrics()


def test_F11_too_many_malformed_lines_are_a_failure(rig: Rig) -> None:
    rig.play(fault("bad_line", number=17, at=1))
    rig.falls_back(ErrorKind.MALFORMED, stream=True, billed=True)


def test_F11_too_many_malformed_lines_after_content_break_the_stream_off(rig: Rig) -> None:
    bad = ["data: {\n\n"] * 17
    parts = [_bytes(each) for each in events("some words")[:3]]
    rig.play(fault("bytes_of_stream", parts=[*parts, *bad], pause_s=0.03))
    rig.ask(stream=True).broke_off(ErrorKind.MALFORMED)


def test_F11_nothing_but_malformed_lines_is_a_failure(rig: Rig) -> None:
    rig.play(fault("bytes_of_stream", parts=["data: {\n\n", "data: [DONE]\n\n"]))
    rig.falls_back(ErrorKind.MALFORMED, stream=True, billed=True)


def test_F12_a_stream_split_anywhere_is_the_same(rig: Rig) -> None:
    text = "café ☕ and 🌊"
    for newline, size in itertools.product(("\n", "\r\n", "\r"), (1, 2, 3, 7, 64)):
        rig.faulty.play(fault("split", newline=newline, size=size), text=text)
        got = rig.ask(stream=True)
        got.served_by("faulty")
        assert got.text.split() == text.split() and not got.outcome.usage.estimated
        assert (got.outcome.usage.tokens_in, got.outcome.usage.tokens_out) == (12, 8)


def test_F12_data_over_several_lines_is_one_event(rig: Rig) -> None:
    content = 'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "two lines"}}]}\n\n'
    rig.play(fault("bytes_of_stream", parts=[content, "data: [DONE]\n\n"]))
    got = rig.ask(stream=True)
    got.served_by("faulty")
    assert got.text == "two lines"


def test_F13_characters_across_chunk_borders_are_whole(rig: Rig) -> None:
    data = b"".join(events("🌊🌊 ☕é")[1:])
    data = data.replace(b"\\ud83c\\udf0a", "🌊".encode()).replace(b"\\u2615", "☕".encode())
    parts = [_bytes(data[at : at + 1]) for at in range(len(data))]
    rig.play(fault("bytes_of_stream", parts=parts))
    got = rig.ask(stream=True)
    got.served_by("faulty")
    assert got.text.split() == ["🌊🌊", "☕é"]


def test_F13_an_event_that_is_not_utf8_is_skipped_and_counted(rig: Rig) -> None:
    made = [_bytes(each) for each in events("good words")]
    for broken in (b'content": "\xf0\x9f', b'tool_calls": [{"id": "\xff"}], "x": "'):
        bad = b'data: {"choices": [{"index": 0, "delta": {"' + broken + b'"}}]}\n\n'
        made.insert(2, _bytes(bad))
    rig.play(fault("bytes_of_stream", parts=made))
    got = rig.ask(stream=True)
    got.served_by("faulty")
    assert got.text.split() == ["good", "words"]
    assert 'headgate_stream_malformed_total{deployment="faulty"} 2.0' in rig.metrics()


@pytest.mark.parametrize("where", [b'"content": "%s"', b'"odd": "%s", "content": "x"'])
def test_F13_a_whole_answer_that_is_not_utf8_is_malformed(rig: Rig, where: bytes) -> None:
    message = where % b"\xff\xfe"
    data = b'{"choices": [{"index": 0, "message": {' + message + b'}, "finish_reason": "stop"}]}'
    rig.play(fault("raw", hex=data.hex()))
    rig.falls_back(ErrorKind.MALFORMED, billed=True)


DELTAS: list[dict[str, Any]] = [
    {"index": 1, "id": "call_b", "type": "function", "function": {"name": "b", "arguments": ""}},
    {"index": 0, "id": "call_a", "type": "function", "function": {"name": "a", "arguments": ""}},
    {"index": 1, "function": {"arguments": '{"x"'}},
    {"index": 0, "function": {"arguments": "{}"}},
    {"index": 0, "function": {"arguments": "{}"}},
    {"index": 1, "function": {"arguments": ': "up-1"}'}},
    {"index": 1, "id": "up-1", "function": {"arguments": ""}},
]


def test_F25_deltas_of_tool_calls_pass_untouched_and_in_order(rig: Rig) -> None:
    rig.play(fault("tool_calls", deltas=DELTAS))
    tools = [{"type": "function", "function": {"name": "a"}}]
    got = rig.ask(stream=True, tools=tools)
    assert got.status == 200 and got.body.endswith(b"data: [DONE]\n\n")
    deltas = [choice["delta"] for e in got.events for choice in e["choices"]]
    assert [call for delta in deltas for call in delta.get("tool_calls", [])] == DELTAS
    ours = {"id": got.events[0]["id"], "model": "faulty"}
    choice = {"index": 0, "delta": {"tool_calls": [DELTAS[0]]}, "finish_reason": None}
    sent = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [choice]}  # fmt: skip
    expected = b"data: " + json.dumps(sent | ours).encode()
    assert got.body.split(b"\n\n")[0] == expected  # byte for byte but for the two names
