"""What was answered, as the message that the next turn stands on."""

from __future__ import annotations

from typing import Any

import msgspec

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_KEPT = ("content", "refusal", "tool_calls")  # thoughts are not kept: no other dialect takes them


class Said(msgspec.Struct, frozen=True):
    """An assistant's message as JSON, why it ended, and the ids of the tools' calls in it."""

    message: bytes
    finish: str
    calls: tuple[str, ...] = ()


def said_whole(body: bytes) -> Said | None:
    """The first choice of a whole answer; None where it said nothing."""
    choices = _decode(body).get("choices") or [{}]
    message = choices[0].get("message") or {}
    return _said(
        {name: message.get(name) for name in _KEPT}, str(choices[0].get("finish_reason") or "stop")
    )


def _said(message: dict[str, Any], finish: str) -> Said | None:
    calls = message.get("tool_calls") or []
    if not (message.get("content") or message.get("refusal") or calls):
        return None
    made: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
    if message.get("refusal"):
        made["refusal"] = message["refusal"]
    if calls:
        made["tool_calls"] = calls
    ids = tuple(str(call.get("id") or "") for call in calls)
    return Said(msgspec.json.encode(made), finish, ids)


class Hearing:
    """Hears a stream in OpenAI's form, and puts its pieces together."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish = "stop"

    def heard(self, data: bytes) -> None:
        """Some whole chunks, as they are forwarded."""
        for event in data.split(b"\n\n"):
            if event.startswith(b"data: {"):
                for choice in _decode(event[6:]).get("choices") or ():
                    if choice.get("index", 0) == 0:
                        self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        if isinstance(content := delta.get("content"), str):
            self._words.append(content)
        if isinstance(refusal := delta.get("refusal"), str):
            self._refusal.append(refusal)
        for piece in delta.get("tool_calls") or ():
            call = self._calls.setdefault(
                piece.get("index", 0), {"id": "", "type": "function",
                                        "function": {"name": "", "arguments": ""}},
            )  # fmt: skip
            call["id"] = piece.get("id") or call["id"]
            if piece.get("extra_content"):
                call["extra_content"] = piece["extra_content"]
            function = piece.get("function") or {}
            call["function"]["name"] = function.get("name") or call["function"]["name"]
            call["function"]["arguments"] += function.get("arguments") or ""

    def said(self) -> Said | None:
        """The message; None where nothing was said."""
        calls = [self._calls[index] for index in sorted(self._calls)]
        content = "".join(self._words) or None
        refusal = "".join(self._refusal) or None
        return _said({"content": content, "refusal": refusal, "tool_calls": calls}, self._finish)
