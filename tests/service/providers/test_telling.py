"""Answers of the vendors' forms, whole and cut at every byte: tool calls, reasons, no half tale."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

from service.domain.records import ErrorKind
from service.providers import anthropic_telling, gemini_telling
from service.providers.answers import read_answer
from service.providers.base import Names, ProviderFailure, Tokens
from service.providers.retelling import Retold
from service.providers.simulated_native import Told, anthropic_events, gemini_events
from service.providers.streams import ChunkStream
from service.providers.transport import Reply

T = TypeVar("T")
NAMES = Names("chatcmpl-ours", "ours")
STREAMS: dict[str, type[Retold]] = {
    "anthropic": anthropic_telling.Stream,
    "gemini": gemini_telling.Stream,
}
EVENTS: dict[str, Any] = {"anthropic": anthropic_events, "gemini": gemini_events}
CALL = ("weather", '{"place": "Lisbon"}')
TEXT = ["The tide é", " comes", " in."]


class Parts(Reply):
    """A reply whose parts are given, and which then ends cleanly or is cut."""

    def __init__(self, parts: list[bytes], cut: bool = False) -> None:
        self.status, self.headers = 200, {}
        self._parts, self._cut = parts, cut

    async def parts(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._cut:
            raise ProviderFailure(ErrorKind.CUT, status=200)

    def release(self) -> None:
        pass

    def close(self) -> None:
        pass


async def _heard(dialect: str, reply: Parts) -> tuple[list[dict[str, Any]], Tokens | None]:
    stream = ChunkStream(STREAMS[dialect](reply), NAMES, "up", lambda kind, number: None)
    data, tokens = b"", None
    async for chunk in stream:
        data += chunk.data
        tokens = chunk.tokens or tokens
    await stream.close()
    return [json.loads(each[6:]) for each in data.split(b"\n\n") if each], tokens


def run(waiting: Coroutine[Any, Any, T]) -> T:
    """The result of what waits for nothing: no loop is needed, and thousands of runs are quick."""
    try:
        waiting.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits")


def heard(dialect: str, parts: list[bytes], cut: bool = False) -> tuple[dict[str, Any], Any]:
    """What a stream comes to: the text, the calls, the reason; and its tokens."""
    chunks, tokens = run(_heard(dialect, Parts(parts, cut)))
    text, calls, reason = "", {}, None
    for chunk in chunks:
        choice = chunk["choices"][0]
        text += choice["delta"].get("content") or ""
        for call in choice["delta"].get("tool_calls") or ():
            held = calls.setdefault(call["index"], {"arguments": ""})
            held.update({k: v for k, v in call.items() if k in ("id", "type")})
            held["arguments"] += call["function"].get("arguments", "")
            held["name"] = call["function"].get("name") or held.get("name")
        reason = choice["finish_reason"] or reason
    return {"text": text, "calls": list(calls.values()), "reason": reason}, tokens


def spoken(dialect: str, call: bool = False, **more: Any) -> bytes:
    told = Told("up", "".join(TEXT), CALL if call else None, 12, 34, **more)
    pieces = [CALL[1][:5], CALL[1][5:]] if call else TEXT
    return b"".join(EVENTS[dialect](told, pieces))


@pytest.mark.parametrize("dialect", sorted(STREAMS))
def test_a_stream_of_text(dialect: str) -> None:
    found, tokens = heard(dialect, [spoken(dialect)])
    assert found == {"text": "The tide é comes in.", "calls": [], "reason": "stop"}
    assert (tokens.tokens_in, tokens.tokens_out) == (12, 34)
    found, _ = heard(dialect, [spoken(dialect, cut=True)])
    assert found["reason"] == "length"


@pytest.mark.parametrize("dialect", sorted(STREAMS))
def test_a_stream_of_a_tool_call(dialect: str) -> None:
    found, _ = heard(dialect, [spoken(dialect, call=True)])
    (call,) = found["calls"]
    assert call["name"] == "weather" and json.loads(call["arguments"]) == {"place": "Lisbon"}
    assert call["id"] and call["type"] == "function" and found["reason"] == "tool_calls"


@pytest.mark.parametrize("call", [False, True])
@pytest.mark.parametrize("dialect", sorted(STREAMS))
def test_cut_at_every_byte_it_is_whole_or_a_failure(dialect: str, call: bool) -> None:
    """Whether the line is closed or torn there: never an end that claims to be one."""
    data = spoken(dialect, call)
    whole, _ = heard(dialect, [data])
    for at in range(len(data)):
        for torn in (False, True):
            try:
                found, _ = heard(dialect, [data[:at]], torn)
            except ProviderFailure as failure:
                assert failure.kind in (ErrorKind.CUT, ErrorKind.MALFORMED)
            else:
                assert not torn and len(data.rstrip()) <= at + 1, "only line ends were missing"
                assert bare(found) == bare(whole)


def bare(found: dict[str, Any]) -> dict[str, Any]:
    calls = [{k: v for k, v in call.items() if k != "id"} for call in found["calls"]]
    return found | {"calls": calls}


@pytest.mark.parametrize("dialect", sorted(STREAMS))
def test_parted_at_every_byte_it_is_the_same(dialect: str) -> None:
    data = spoken(dialect)
    whole, _ = heard(dialect, [data])
    for at in range(1, len(data)):
        assert heard(dialect, [data[:at], data[at:]])[0] == whole


def test_two_calls_of_which_one_is_without_arguments() -> None:
    def event(kind: str, **more: Any) -> bytes:
        return b"data: " + json.dumps({"type": kind} | more).encode() + b"\n\n"

    start = {"model": "up", "usage": {"input_tokens": 3, "output_tokens": 1}}
    data = [event("message_start", message=start)]
    for index, name in enumerate(("now", "then")):
        block = {"type": "tool_use", "id": f"t{index}", "name": name, "input": {}}
        data.append(event("content_block_start", index=index, content_block=block))
        if index:
            delta = {"type": "input_json_delta", "partial_json": '{"a":1}'}
            data.append(event("content_block_delta", index=index, delta=delta))
        data.append(event("content_block_stop", index=index))
    usage = {"output_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 4}
    data += [event("message_delta", delta={"stop_reason": "tool_use"}, usage=usage),
             event("message_stop")]  # fmt: skip
    found, tokens = heard("anthropic", data)
    assert [(c["id"], c["name"], c["arguments"]) for c in found["calls"]] == [
        ("t0", "now", "{}"), ("t1", "then", '{"a":1}')
    ]  # fmt: skip
    assert (tokens.tokens_in, tokens.tokens_out, tokens.cached) == (12, 9, 5)
    assert tokens.cache_write == 4 and not tokens.estimated, "it has a price of its own"


def test_geminis_whole_answer_with_a_sealed_call_and_thoughts() -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "It "}, {"text": "is."},
             {"functionCall": {"name": "weather", "args": {"place": "Lisbon"}},
              "thoughtSignature": "c2VhbA=="}]  # fmt: skip
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 6,
             "cachedContentTokenCount": 3, "totalTokenCount": 20}  # fmt: skip
    told = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}],
            "usageMetadata": usage, "modelVersion": "up-001"}  # fmt: skip
    found = gemini_telling.answer(json.dumps(told).encode())
    assert found is not None and found[1] == "up-001"
    answer, _ = read_answer(found[0], NAMES)
    choice = json.loads(answer.body)["choices"][0]
    assert choice["message"]["content"] == "It is." and choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["extra_content"] == {"google": {"thought_signature": "c2VhbA=="}}
    assert answer.tokens == Tokens(10, 10, 3, reasoning=6)


@pytest.mark.parametrize("reason", gemini_telling.FAILED)
def test_an_answer_that_gemini_itself_calls_spoilt(reason: str) -> None:
    told = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}]}
    assert gemini_telling.answer(json.dumps(told).encode()) is None
    with pytest.raises(ProviderFailure) as caught:
        heard("gemini", [b"data: " + json.dumps(told).encode() + b"\n\n"])
    assert caught.value.kind is ErrorKind.SERVER


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII"])
def test_a_filter_after_content_ends_the_answer_early(reason: str) -> None:
    told = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}]}
    found, _ = heard("gemini", [b"data: " + json.dumps(told).encode() + b"\n\n"])
    assert found["reason"] == "content_filter" and found["text"] == "x"
