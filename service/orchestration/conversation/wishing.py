"""What a request wants of a kept conversation, and whether its turn can follow there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from service.domain.chat import ChatRequest, Conversing
from service.domain.conversations import Conversation
from service.domain.errors import InvalidRequest
from service.orchestration.conversation.compaction import NewTurn

NAME = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
MOST_PINS, LONGEST_PIN, MOST_PINNED = 50, 500, 4_000  # of a conversation; characters of one, of all
OPTION = "headgate.conversation"


@dataclass(frozen=True, slots=True)
class Wish:
    """``name``: of the conversation; ``previous``: the decision whose answer this follows; neither:
    a new one. ``store``: whether the turn is kept; ``carries_system``: whether system messages stay
    with the conversation.
    """

    name: str = ""
    previous: str = ""
    store: bool = True
    pin: tuple[str, ...] = ()
    unpin: tuple[str, ...] = ()
    carries_system: bool = True


def wish_of(request: ChatRequest, header: str, unasked: bool, enabled: bool) -> Wish | None:
    """What a request in OpenAI's chat form wants; raises InvalidRequest. ``unasked``: whether the
    plan keeps its key's conversations without being asked.
    """
    asked = request.options.conversation
    name = request.options.session_id or header or str(request.labels.get("session", ""))
    if asked is False or (asked is None and not (unasked and name)):
        return None
    if not enabled:
        raise InvalidRequest(
            f"{OPTION}: conversations are not kept here (the plan's conversations.enabled); send "
            "the whole conversation yourself",
            param=OPTION, code="invalid_option",
        )  # fmt: skip
    if not name:
        raise InvalidRequest(
            f"{OPTION}: name the conversation by headgate.session_id or x-session-id",
            param="headgate.session_id", code="invalid_option",
        )  # fmt: skip
    checked_name(name, "headgate.session_id")
    if isinstance(asked, Conversing):
        return Wish(name, "", asked.store, asked.pin, asked.unpin)
    return Wish(name)


def checked_name(name: str, param: str) -> str:
    """A name that a conversation may have; raises InvalidRequest."""
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"{param}: a kept conversation is named by 1 to 128 letters, digits and . _ : @ -",
            param=param, code="invalid_option",
        )  # fmt: skip
    return name


def pinned(pins: tuple[str, ...], wish: Wish) -> tuple[str, ...]:
    """The pins with those of a wish; raises InvalidRequest where they are too many or too long."""
    kept = [pin for pin in pins if pin not in wish.unpin]
    kept += [pin for pin in dict.fromkeys(wish.pin) if pin not in kept]
    if (
        len(kept) > MOST_PINS
        or any(not pin or len(pin) > LONGEST_PIN for pin in wish.pin)
        or sum(map(len, kept)) > MOST_PINNED
    ):
        raise InvalidRequest(
            f"{OPTION}.pin: at most {MOST_PINS} facts, each of 1 to {LONGEST_PIN} characters, of "
            f"{MOST_PINNED} together; unpin some",
            param=f"{OPTION}.pin", code="invalid_option",
        )  # fmt: skip
    return tuple(kept)


def check_turn(kept: Conversation, new: NewTurn, request: ChatRequest, wish: Wish) -> None:
    """The new turn must be one: of the user or of tools, after an answer; raises InvalidRequest."""
    if request.options.queue or request.options.webhook:
        raise InvalidRequest(
            "headgate.queue: a queued request goes on with no kept conversation; leave one of "
            "them out",
            param="headgate.queue", code="invalid_option",
        )  # fmt: skip
    if request.fields.get("n", b"1") not in (b"1", b"null") and wish.store:
        raise InvalidRequest("n: of a kept conversation there is one answer", param="n")
    roles = [m.role for m in request.messages if m.role not in ("system", "developer")]
    if not roles:
        raise InvalidRequest("messages: the new turn is missing", param="messages")
    if kept.turns and "assistant" in roles:
        raise InvalidRequest(
            "messages: send only the new turn; what was said before is kept here (or give "
            f"{OPTION} false and send all yourself)",
            param="messages", code="conversation_known",
        )  # fmt: skip
    if kept.turns:
        _check_results(kept, new)


def _check_results(kept: Conversation, new: NewTurn) -> None:
    """Every call of the last answer has its result before anything else is said."""
    last = kept.last
    calls = called(last.messages[-1]) if last is not None else []
    results = []
    for raw in new.messages:
        message: dict[str, Any] = msgspec.json.decode(raw)
        if message["role"] != "tool":
            break
        results.append(message.get("tool_call_id"))
    if sorted(map(str, results)) != sorted(calls):
        told = ", ".join(calls)[:200] or "none"
        raise InvalidRequest(
            "messages: the results of the tools that the last answer called come first, one of "
            f"each: {told}",
            param="messages", code="tool_results_expected",
        )  # fmt: skip


def called(message: bytes) -> list[str]:
    """The ids of the tools' calls in a message."""
    found: dict[str, Any] = msgspec.json.decode(message)
    return [str(call.get("id") or "") for call in found.get("tool_calls") or ()]
