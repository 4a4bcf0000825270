"""A request of Responses in the internal form: every message, tool pair and id is kept."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings

from service.api.responses_reading import to_chat
from tests.service.providers.test_translation import conversations, normal


def as_responses(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The test's own way there, written from the form of Responses."""
    items: list[dict[str, Any]] = []
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "tool":
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"],
                          "output": content})  # fmt: skip
            continue
        if isinstance(content, list):
            content = [
                {"type": "input_text", "text": part["text"]} if part["type"] == "text"
                else {"type": "input_image", "image_url": part["image_url"]["url"]}
                for part in content
            ]  # fmt: skip
        elif role == "assistant" and content is not None:
            content = [{"type": "output_text", "text": content, "annotations": []}]
        if content is not None:
            items.append({"type": "message", "role": role, "content": content})
        for call in message.get("tool_calls") or ():
            items.append({"type": "function_call", "call_id": call["id"], "id": "fc_1",
                          "name": call["function"]["name"],
                          "arguments": call["function"]["arguments"]})  # fmt: skip
    return items


@settings(derandomize=True, max_examples=80, deadline=None, database=None)
@given(conversations())
def test_from_responses_keeps_every_message_tool_and_id(turns: list[dict[str, Any]]) -> None:
    sent = json.dumps({"model": "auto", "input": as_responses(turns)}).encode()
    chat, _ = to_chat(sent)
    for message in turns:  # one text of a message may stand as it is
        content = message.get("content")
        if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
            message["content"] = content[0]["text"]
    assert normal(json.loads(chat)["messages"]) == normal(turns)
