"""One trial's call: a pin through the service, streamed, timed from here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.benchmarking.journal import Answer
from service.benchmarking.planning import FEATURE
from service.benchmarking.prompts import Item
from service.client import AsyncClient, ServiceError
from service.domain.clock import Clock

PATH = "/v1/chat/completions"
UNABLE = ("capability_missing", "context_length_exceeded")
WAIT = (
    "deployments_rate_limited", "deployments_unavailable", "rate_limit_exceeded", "overloaded",
    "storage_unavailable", "queue_full",
)  # fmt: skip
FAILED = ("upstream_unavailable", "upstream_refused", "content_policy_violation")
CALL_S = 180.0  # the service ends what takes longer than its own deadline well before
WAIT_S = 1.0


class Later(Exception):
    """It cannot be asked now; ``after_s``: when to try again. ``sent``: the service was not
    reached, or lost on the way, so that the call may have been made and paid.
    """

    def __init__(self, why: str, after_s: float, sent: bool = False) -> None:
        super().__init__(why)
        self.after_s, self.sent = after_s, sent


class Refused(Exception):
    """It will not be asked: the key, the plan, or an operator's override stands against it."""


@dataclass(slots=True)
class _Heard:
    """What a stream has said so far."""

    parts: list[str] = field(default_factory=list)
    first_s: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    broken: str = ""
    ended: bool = False


async def ask(
    client: AsyncClient, clock: Clock, item: Item, deployment: str, key: str, task: str | None
) -> Answer:
    """The answer of a deployment to a prompt; raises Later or Refused."""
    body: dict[str, Any] = {
        "model": deployment, "messages": [dict(each) for each in item.messages], "stream": True,
        "stream_options": {"include_usage": True}, "max_tokens": item.max_tokens, "temperature": 0,
        "metadata": {"feature": FEATURE},
    }  # fmt: skip
    if task is not None:
        body["headgate"] = {"task": task}
    began_s = clock.monotonic_s()
    try:
        async with client.streamed(PATH, body, CALL_S) as (status, headers, lines):
            if status != 200:
                return _unanswered(status, headers, "\n".join([x async for x in lines]), key)
            heard = await _hear(lines, clock, began_s)
            served = headers.get("x-headgate-deployment", deployment)
    except ServiceError as error:
        raise Later(str(error), WAIT_S, sent=True) from None
    took_s = clock.monotonic_s() - began_s
    if served != deployment:
        raise Refused(f"{deployment} was asked and {served} answered: lift the override first")
    made = Answer(
        key, "answered", "".join(heard.parts), took_s, heard.first_s,
        int(heard.usage.get("prompt_tokens") or 0), int(heard.usage.get("completion_tokens") or 0),
        round(float(heard.usage.get("cost_usd") or 0.0) * 1e6),
    )  # fmt: skip
    if heard.broken or not heard.ended:
        return replace(made, status="failed", why=heard.broken or "the stream broke off")
    return made


async def _hear(lines: AsyncIterator[str], clock: Clock, began_s: float) -> _Heard:
    heard = _Heard()
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            heard.ended = True
            continue
        try:
            event = json.loads(data)
        except ValueError:
            continue
        if event.get("error"):
            heard.broken = str(event["error"].get("code") or "error")
        heard.usage = event.get("usage") or heard.usage
        for choice in event.get("choices") or ():
            said = (choice.get("delta") or {}).get("content")
            if said:
                if heard.first_s is None:
                    heard.first_s = clock.monotonic_s() - began_s
                heard.parts.append(said)
    return heard


def _unanswered(status: int, headers: Mapping[str, str], text: str, key: str) -> Answer:
    """What an error means for the trial."""
    try:
        error = json.loads(text)["error"]
        code, message = str(error.get("code")), str(error.get("message"))
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message = "", f"status {status}"
    if code in UNABLE:
        return Answer(key, "unable", why=code)
    if code in FAILED:
        return Answer(key, "failed", why=code)
    if code in WAIT or status in (429, 502, 504):
        after = headers.get("retry-after", "")
        raise Later(message, float(after) if after.isdigit() else WAIT_S)
    raise Refused(message)
