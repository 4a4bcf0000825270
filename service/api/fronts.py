"""How a dialect stands in front of the one way of a request: what it reads, and how it is answered.

The class itself is OpenAI's chat completions, which is the internal form; other dialects differ.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from service.api.admission import read_request, read_translated
from service.api.asgi import Scope, Send, error_body, send_error
from service.api.auth import authenticate
from service.domain.chat import ChatRequest
from service.domain.clock import response_id
from service.domain.errors import HeadgateError
from service.domain.records import Decision, Key, Usage
from service.orchestration.answering import Given
from service.providers.base import Answer
from service.routing.dispatch import Served
from service.runtime import Runtime
from service.storage.keys import KeyStore

LONG_ANSWER = 100_000  # bytes from which an answer is translated beside the event loop
DONE = b"data: [DONE]\n\n"
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def dollars(usage: Usage) -> bytes:
    """What it cost, in US dollars."""
    return f"{usage.cost_micro_usd / 1e6:.6f}".encode()


class Turn:
    """One stream on its way to the caller: the chunks in OpenAI's form, here passed on."""

    def __init__(self, decision: Decision, request: ChatRequest) -> None:
        self.decision, self.request = decision, request

    def begin(self, served: Served) -> bytes:
        """What comes before the first chunk."""
        return b""

    def feed(self, data: bytes) -> bytes:
        """Some whole chunks, in the dialect."""
        return data

    def end(self, stream: Given) -> bytes:
        """The end of a stream that came whole."""
        if not self.request.wants_usage:
            return DONE
        return b"data: " + _usage_event(self.decision, stream) + b"\n\n" + DONE

    def broken(self, error: HeadgateError, request_id: str) -> bytes:
        """The last event of one that did not."""
        text = msgspec.json.encode(error_body(error, request_id))
        return b"event: error\ndata: " + text + b"\n\n"


class Front:
    """OpenAI's chat completions. ``memo`` is what a dialect keeps of its request for the answer."""

    def key(self, scope: Scope, keys: KeyStore) -> Key:
        """Whose request it is; raises HeadgateError."""
        return authenticate(scope, keys)

    async def read(self, runtime: Runtime, body: bytes) -> tuple[ChatRequest, bytes, Any]:
        """The request, its body in the internal form, and the memo; raises InvalidRequest."""
        return await read_request(runtime, body), body, None

    async def answer(self, memo: Any, decision: Decision, answer: Answer, served: Served) -> bytes:
        """A whole answer's body."""
        return answer.body

    def turn(self, memo: Any, decision: Decision, request: ChatRequest) -> Turn:
        """A stream's way."""
        return Turn(decision, request)

    async def tell(self, send: Send, error: HeadgateError, request_id: str) -> None:
        """Answer with an error."""
        await send_error(send, error, request_id)


class Translating(Front):
    """A dialect that is not the internal form: three functions, and its errors."""

    def to_chat(self, body: bytes) -> tuple[bytes, Any]:
        """A body in the internal form, and the memo; raises InvalidRequest."""
        raise NotImplementedError

    def from_chat(self, memo: Any, decision: Decision, body: bytes, served: Served) -> bytes:
        """An answer in the dialect."""
        raise NotImplementedError

    async def read(self, runtime: Runtime, body: bytes) -> tuple[ChatRequest, bytes, Any]:
        return await read_translated(runtime, body, self.to_chat)

    async def answer(self, memo: Any, decision: Decision, answer: Answer, served: Served) -> bytes:
        if len(answer.body) > LONG_ANSWER:
            return await asyncio.to_thread(self.from_chat, memo, decision, answer.body, served)
        return self.from_chat(memo, decision, answer.body, served)


def _usage_event(decision: Decision, stream: Given) -> bytes:
    """The last chunk: the provider's usage (or our estimate) and what it cost."""
    total = stream.served.usage
    fields: dict[str, msgspec.Raw] = {}
    usage: dict[str, msgspec.Raw] = {}
    if stream.usage_event:
        fields = _raw(stream.usage_event)
        usage = _raw(fields["usage"])
        if total.estimated:
            usage["estimated"] = msgspec.Raw(b"true")
    else:
        head = {
            "id": response_id(decision.id),
            "object": "chat.completion.chunk",
            "created": decision.at_us // 1_000_000,
            "model": stream.served.deployment.name,
            "choices": [],
        }
        fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in head.items()}
        counts = {
            "prompt_tokens": total.tokens_in,
            "completion_tokens": total.tokens_out,
            "total_tokens": total.tokens_in + total.tokens_out,
            "estimated": True,
        }
        usage = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in counts.items()}
    usage["cost_usd"] = msgspec.Raw(dollars(total))
    fields["usage"] = msgspec.Raw(msgspec.json.encode(usage))
    return msgspec.json.encode(fields)
