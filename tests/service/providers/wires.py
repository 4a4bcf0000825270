"""Each dialect's own words, written down by hand: what a provider that speaks it would send."""

from __future__ import annotations

import json
from typing import Any

from tests.upstream import USAGE, answer_json, event

BODY = json.dumps(
    {"model": "up-model", "messages": [{"role": "user", "content": "Say hello."}]}
).encode()


class OpenAIWire:
    """Chat completions."""

    dialect, authorization = "openai", b"authorization: bearer sk-canary-123"
    paths = (b"/v1/chat/completions", b"/v1/chat/completions")
    head = b""
    whole_end = b"data: [DONE]\n\n"

    def answer(self, text: str = "hello", usage: Any = USAGE) -> bytes:
        return answer_json(text, usage=usage)

    def usage(self, given: int, made: int) -> Any:
        return {"prompt_tokens": given, "completion_tokens": made}

    def event(self, text: str) -> bytes:
        return event(text)

    def end(self, given: int = 7, made: int = 3) -> bytes:
        usage = event(None, usage={"prompt_tokens": given, "completion_tokens": made})
        return usage + self.whole_end

    def error(self, code: str, message: str) -> bytes:
        return json.dumps({"error": {"message": message, "code": code, "param": "x"}}).encode()

    def error_event(self, code: str, message: str) -> bytes:
        return b"data: " + self.error(code, message) + b"\n\n"

    def refusal(self) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": None},
                  "finish_reason": "content_filter"}  # fmt: skip
        return json.dumps({"id": "x", "choices": [choice], "usage": USAGE}).encode()


class AnthropicWire:
    """Messages."""

    dialect, authorization = "anthropic", b"x-api-key: sk-canary-123"
    paths = (b"/v1/messages", b"/v1/messages")

    def answer(self, text: str = "hello", usage: Any = None) -> bytes:
        thought = {"type": "thinking", "thinking": "secret thought", "signature": "s"}
        content = [thought, {"type": "text", "text": text}]
        return self._message(content, "end_turn", usage or {"input_tokens": 12, "output_tokens": 34,
                             "cache_read_input_tokens": 0})  # fmt: skip

    def usage(self, given: int, made: int) -> Any:
        return {"input_tokens": given, "output_tokens": made}

    def _message(self, content: list[Any], reason: str, usage: Any) -> bytes:
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up-model",
                   "content": content, "stop_reason": reason, "stop_sequence": None,
                   "usage": usage}  # fmt: skip
        return json.dumps(message).encode()

    def _event(self, kind: str, **more: Any) -> bytes:
        data = json.dumps({"type": kind} | more)
        return f"event: {kind}\ndata: {data}\n\n".encode()

    @property
    def head(self) -> bytes:
        message = json.loads(self._message([], "x", {"input_tokens": 7, "output_tokens": 1}))
        thought = {"type": "thinking_delta", "thinking": "secret thought"}
        text = {"type": "text", "text": ""}
        return (
            self._event("message_start", message=message | {"stop_reason": None})
            + self._event("ping")
            + self._event("content_block_start", index=0,
                          content_block={"type": "thinking", "thinking": "", "signature": ""})
            + self._event("content_block_delta", index=0, delta=thought)
            + self._event("content_block_stop", index=0)
            + self._event("content_block_start", index=1, content_block=text)
        )  # fmt: skip

    def event(self, text: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        return self._event("content_block_delta", index=1, delta=delta)

    def end(self, given: int = 7, made: int = 3) -> bytes:
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        usage = {"input_tokens": given, "output_tokens": made}
        return (
            self._event("content_block_stop", index=1)
            + self._event("message_delta", delta=delta, usage=usage)
            + self._event("message_stop")
        )

    def error(self, code: str, message: str) -> bytes:
        return json.dumps({"type": "error", "error": {"type": code, "message": message}}).encode()

    def error_event(self, code: str, message: str) -> bytes:
        return b"event: error\ndata: " + self.error(code, message) + b"\n\n"

    def refusal(self) -> bytes:
        return self._message([], "refusal", {"input_tokens": 12, "output_tokens": 1})


class GeminiWire:
    """generateContent."""

    dialect, authorization = "gemini", b"x-goog-api-key: sk-canary-123"
    paths = (b"/v1/models/up-model:generateContent",
             b"/v1/models/up-model:streamGenerateContent?alt=sse")  # fmt: skip
    head = b""

    def answer(self, text: str = "hello", usage: Any = None) -> bytes:
        parts = [{"text": "secret thought", "thought": True}, {"text": text}]
        return self._told(parts, "STOP", usage or self.usage(12, 34))

    def usage(self, given: int, made: int) -> Any:
        return {"promptTokenCount": given, "candidatesTokenCount": made}

    def _told(self, parts: list[Any], reason: str | None, usage: Any) -> bytes:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        told = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "up-model"}
        return json.dumps(told | {"responseId": "r"}).encode()

    def event(self, text: str) -> bytes:
        thought = {"text": "secret thought", "thought": True}
        told = self._told([thought, {"text": text}], None, {"promptTokenCount": 7})
        return b"data: " + told + b"\r\n\r\n"

    def end(self, given: int = 7, made: int = 3) -> bytes:
        return b"data: " + self._told([], "STOP", self.usage(given, made)) + b"\r\n\r\n"

    def error(self, code: str, message: str) -> bytes:
        error = {"code": 400, "message": message, "status": code}
        return json.dumps({"error": error}).encode()

    def error_event(self, code: str, message: str) -> bytes:
        error = {"code": 500, "message": message, "status": code}
        return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"

    def refusal(self) -> bytes:
        told = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
                "usageMetadata": {"promptTokenCount": 12}}  # fmt: skip
        return json.dumps(told).encode()


Wire = OpenAIWire | AnthropicWire | GeminiWire
WIRES: dict[str, Wire] = {
    each.dialect: each for each in (OpenAIWire(), AnthropicWire(), GeminiWire())
}
