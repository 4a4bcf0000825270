"""A request of any front in its kept conversation: taken up, kept once answered, let go."""

from __future__ import annotations

from typing import Any, Protocol

from service.api.asgi import Headers, Scope, header
from service.api.fronts import Front, Turn
from service.api.workflow_chat import PREFIX as WORKFLOW
from service.domain.chat import ChatRequest
from service.domain.errors import HeadgateError, InvalidRequest
from service.domain.records import Decision, Key
from service.orchestration.conversation.keeping import Hold
from service.orchestration.conversation.wishing import wish_of
from service.orchestration.sampling import Stream
from service.routing.dispatch import Served
from service.runtime import Runtime

NAMED = b"x-headgate-conversation"


class Work(Protocol):
    """A request that is decided."""

    @property
    def decision(self) -> Decision:
        """The decision."""

    @property
    def memo(self) -> Any:
        """What its front keeps of it."""

    @property
    def hold(self) -> Hold | None:
        """Its turn of a kept conversation."""


class Both:
    """Two who hear a stream."""

    def __init__(self, listener: Stream | None, hold: Hold) -> None:
        self._listener, self._hold = listener, hold

    def heard(self, data: bytes) -> None:
        """Some chunks, in OpenAI's form."""
        if self._listener is not None:
            self._listener.heard(data)
        self._hold.heard(data)


async def taken_up(
    runtime: Runtime, front: Front, request: ChatRequest, memo: Any, who: tuple[Key, Scope]
) -> tuple[ChatRequest, Hold | None]:
    """The request as it is where no conversation is kept for it; else with what was said before,
    and the hold on its turn; raises HeadgateError.
    """
    desk = runtime.conversations
    if desk is None and memo is None and request.options.conversation is None:
        return request, None
    key, scope = who
    flows = request.model.startswith(WORKFLOW)
    unasked = desk is not None and not flows and desk.kept_unasked(key)
    wish = front.wish(request, memo, (unasked, desk is not None))
    if wish is None:
        wish = wish_of(request, header(scope, b"x-session-id"), unasked, desk is not None)
    if wish is None or desk is None:
        return request, None
    if flows:
        raise InvalidRequest(
            "model: a workflow takes the last message alone, so that no conversation is carried to "
            "it or kept of it; leave one of them out",
            param="model", code="invalid_option",
        )  # fmt: skip
    return await desk.take(request, key, wish)


async def kept(runtime: Runtime, front: Front, work: Work, served: Served, body: bytes) -> Headers:
    """Keep a turn that was answered whole; the headers that say so. The answer was paid for, so it
    is given even where it cannot be kept, which is then said.
    """
    desk, hold = runtime.conversations, work.hold
    assert desk is not None and hold is not None
    try:
        done = await desk.answered(hold, work.decision, served, body)
    except HeadgateError as error:
        return [(NAMED, hold.id.encode()), (NAMED + b"-kept", error.code.encode())]
    if done:
        front.kept(work.memo, hold.id, hold.wish.previous)
    return [(NAMED, hold.id.encode()), (NAMED + b"-kept", b"yes" if done else b"no")]


def begun(front: Front, memo: Any, hold: Hold) -> Headers:
    """A stream begins; its turn is kept at its end."""
    if hold.wish.store:
        front.kept(memo, hold.id, hold.wish.previous)
    return [(NAMED, hold.id.encode())]


async def kept_stream(
    runtime: Runtime, work: Work, served: Served, end: tuple[Turn, bytes, str]
) -> bytes:
    """Keep a turn whose stream came whole, before its end is sent; the last bytes to send: where it
    could not be kept an error that says so, since the next turn would not know of it.
    """
    desk, hold = runtime.conversations, work.hold
    assert desk is not None and hold is not None
    turn, tail, request_id = end
    try:
        await desk.answered(hold, work.decision, served)
    except HeadgateError as error:
        told = HeadgateError(
            f"the answer came whole, but its turn is not kept: {error.message}",
            code="conversation_not_kept",
        )
        return turn.broken(told, request_id)
    return tail
