"""A stream torn at any byte ends in the dialect's error, and in no dialect in a clean end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.api.chat import _forward
from service.api.fronts import Front
from service.api.messages import Messages
from service.api.responses import Responses
from service.api.responses_reading import to_chat
from service.domain.errors import UpstreamExhausted
from service.domain.judging import Drawn
from service.domain.records import ErrorKind
from service.orchestration.sampling import Stream
from service.providers.base import ProviderFailure
from service.providers.streams import ChunkStream
from tests.service.providers.test_telling import NAMES, Parts
from tests.service.routing.test_dispatch import WIDE, Stage


def chunk(delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    made = {"id": "up", "object": "chat.completion.chunk", "model": "up", "choices": choices}
    return b"data: " + json.dumps(made | more).encode() + b"\n\n"


def piece(index: int, arguments: str, **more: Any) -> bytes:
    function = {"arguments": arguments} | ({"name": "weather"} if more else {})
    return chunk({"tool_calls": [{"index": index, "function": function} | more]})


FIRST = chunk({"role": "assistant", "content": ""}) + chunk({"content": "Let me é see."})
DATA = (
    FIRST
    + piece(0, "", id="c0", type="function") + piece(0, '{"a":') + piece(0, "1}")
    + piece(1, "{}", id="c1", type="function")
    + chunk({}, "tool_calls")
    + chunk(None, usage={"prompt_tokens": 7, "completion_tokens": 9})
    + b"data: [DONE]\n\n"
)  # fmt: skip
FRONTS: dict[str, tuple[Front, Any]] = {
    "openai": (Front(), None),
    "messages": (Messages(), None),
    "responses": (Responses(), to_chat(b'{"model":"auto","input":"x"}')[1]),
}


async def torn(
    front: str, at: int, stage: Stage, listener: Stream | None = None
) -> list[tuple[str, Any]]:
    """The events that a caller is sent of so many bytes; raises where none were sent."""
    parts: list[object] = []
    try:
        async for each in ChunkStream(Parts([DATA[:at]], True), NAMES, "up", lambda *_: None):
            parts.append(each)
    except ProviderFailure as failure:
        parts.append(failure)
    stage.script.acts[WIDE] = parts
    stream = await stage.dispatcher.open(stage.decision, stage.request)
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message["body"])

    made, memo = FRONTS[front]
    turn = made.turn(memo, stage.decision, stage.request)
    tail, whole = await _forward(turn, stream, "incident-1", send, listener)
    assert whole == (at == len(DATA))
    sent.append(tail)
    await stream.close()
    events = []
    for event in b"".join(sent).decode().split("\n\n")[:-1]:
        name, _, data = event.rpartition("data: ")
        kind = name.removeprefix("event: ").strip()
        events.append((kind, data if data == "[DONE]" else json.loads(data)))
    return events


def is_whole(front: str, events: list[tuple[str, Any]]) -> bool:
    kind, data = events[-1]
    if front == "openai":
        return data == "[DONE]" and not kind
    return kind in ("message_stop", "response.completed")


@pytest.mark.slow
@pytest.mark.parametrize("front", sorted(FRONTS))
async def test_torn_at_every_byte_it_ends_in_an_error(front: str) -> None:
    stage = Stage()
    whole = await torn(front, len(DATA), stage)
    assert is_whole(front, whole)
    for at in range(len(FIRST), len(DATA) - len(b"\n\n")):
        events = await torn(front, at, stage)
        assert events[-1][0] == "error" and not is_whole(front, events)
        assert not any(is_whole(front, [each]) for each in events)
        if front == "responses":
            numbers = [data["sequence_number"] for _, data in events]
            assert numbers == list(range(len(numbers)))
        if front == "messages":
            assert events[-1][1]["error"]["code"] == "stream_interrupted"
    with pytest.raises(UpstreamExhausted):  # nothing was sent yet: another may be asked
        await torn(front, 20, stage)


@pytest.mark.parametrize("front", sorted(FRONTS))
async def test_who_listens_hears_the_same_whatever_the_caller_speaks(front: str) -> None:
    listener, plain = Stream(Drawn(True, 1.0)), Stream(Drawn(True, 1.0))
    await torn(front, len(DATA), Stage(), listener)
    await torn("openai", len(DATA), Stage(), plain)
    assert _said(listener) == _said(plain) == "Let me é see."


def _said(heard: Stream) -> str:
    lines = b"".join(heard.pieces).decode().split("\n\n")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    parts = [each["choices"][0]["delta"].get("content") for each in chunks if each["choices"]]
    return "".join(part or "" for part in parts)


async def test_the_blocks_of_messages_follow_one_another() -> None:
    events = await torn("messages", len(DATA), Stage())
    shape = [(kind, data.get("index")) for kind, data in events]
    assert shape == [
        ("message_start", None),
        ("content_block_start", 0), ("content_block_delta", 0), ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_delta", 1), ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2), ("content_block_delta", 2), ("content_block_stop", 2),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    assert events[-2][1]["usage"]["output_tokens"] == 9
    assert events[-2][1]["delta"]["stop_reason"] == "tool_use"


async def test_the_last_response_holds_every_item() -> None:
    events = await torn("responses", len(DATA), Stage())
    text, one, two = events[-1][1]["response"]["output"]
    assert text["content"][0]["text"] == "Let me é see."
    assert (one["call_id"], one["arguments"]) == ("c0", '{"a":1}')
    assert (two["call_id"], two["arguments"], two["status"]) == ("c1", "{}", "completed")
    done = [data["item"] for kind, data in events if kind == "response.output_item.done"]
    assert done == [text, one, two]


def test_a_kind_of_failure_that_costs_and_blames_nobody() -> None:
    assert not ErrorKind.DIALECT.blames_deployment
