"""A provider that costs almost nothing: one fixed answer on an asyncio protocol, no framework."""

from __future__ import annotations

import asyncio
import json
import sys

ANSWER = json.dumps(
    {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fixed",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The water finds its way. " * 14},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 250, "completion_tokens": 90, "total_tokens": 340},
    }
).encode()
TEXT = "The water finds its way. " * 14
MESSAGE = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "fixed",
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 250, "output_tokens": 90},
    }
).encode()
CONTENT = json.dumps(
    {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP"}
        ],
        "usageMetadata": {
            "promptTokenCount": 250,
            "candidatesTokenCount": 90,
            "totalTokenCount": 340,
        },
        "modelVersion": "fixed",
    }
).encode()


VECTORS = json.dumps(
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": "A" * 8_192}],
        "model": "fixed",
        "usage": {"prompt_tokens": 250, "total_tokens": 250},
    }
).encode()  # of 1,536 dimensions, as base64


def reply(answer: bytes) -> bytes:
    """A whole HTTP answer."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    return head + str(len(answer)).encode() + b"\r\n\r\n" + answer


REPLY = reply(ANSWER)
NATIVE = {b"/messages ": reply(MESSAGE), b":generateContent ": reply(CONTENT),
          b"/embeddings ": reply(VECTORS)}  # fmt: skip


class Fixed(asyncio.Protocol):
    """Answers every request that is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            size = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            if len(rest) < size:
                return
            self._buffer = rest[size:]
            line = head.partition(b"\r\n")[0]
            own = next((told for path, told in NATIVE.items() if path in line), REPLY)
            self._transport.write(own)  # type: ignore[attr-defined]


async def main() -> None:
    """Serve until told to stop."""
    server = await asyncio.get_running_loop().create_server(Fixed, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
