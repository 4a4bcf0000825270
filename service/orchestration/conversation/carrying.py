"""A conversation on its way: the same request with as much of it as each deployment can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.conversations import Composed, Conversation
from service.domain.errors import InvalidRequest
from service.orchestration.conversation.compaction import (
    BYTES_PER_TOKEN,
    NewTurn,
    TooLong,
    compose,
    least_tokens,
)
from service.routing.eligibility import ANSWER_RESERVE

_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(slots=True)
class Carried:
    """What is carried, and within which bounds. ``reserve``: tokens that a deployment's window
    keeps for the answer and for what is sent beside the messages; ``most``: of messages at any
    deployment. What was composed is kept by its budget.
    """

    kept: Conversation
    new: NewTurn
    reserve: int
    most: int
    _made: dict[int, Composed] = field(default_factory=dict)

    def budget(self, deployment: Deployment) -> int:
        """Tokens that messages may take at a deployment."""
        return min(self.most, deployment.context_window - self.reserve)

    def composed(self, budget: int) -> Composed:
        """The messages within a budget; raises TooLong."""
        made = self._made.get(budget)
        if made is None:
            made = self._made[budget] = compose(self.kept, self.new, budget)
        return made

    def messages_for(self, deployment: Deployment) -> msgspec.Raw:
        """The messages as they are sent to a deployment."""
        return _joined(self.composed(self.budget(deployment)))


def split(request: ChatRequest) -> NewTurn:
    """The request's own messages: the system's, and the rest."""
    raw = [bytes(each) for each in _list(request.fields["messages"])]
    roles = [message.role for message in request.messages]
    system = [m for m, role in zip(raw, roles, strict=True) if role in ("system", "developer")]
    rest = [m for m, role in zip(raw, roles, strict=True) if role not in ("system", "developer")]
    first = next((role for role in roles if role not in ("system", "developer")), "")
    return NewTurn(tuple(system), tuple(rest), first != "tool")


def reserved(request: ChatRequest, least: int) -> int:
    """Tokens of a window that are not for messages: the answer's, and the tools'."""
    fields = request.fields
    beside = sum(len(bytes(fields.get(name, b""))) for name in ("tools", "response_format"))
    return max(least, request.shape.tokens_out_limit) + -(-beside // BYTES_PER_TOKEN)


def carried(
    request: ChatRequest, kept: Conversation, new: NewTurn, catalog: Sequence[Deployment],
    bounds: tuple[int, int],
) -> tuple[Carried, bytes, int]:  # fmt: skip
    """What is carried; the body with the most of it that anybody takes, as the router looks at it;
    and the least tokens that a deployment must have room for. ``bounds``: tokens kept for an answer
    and most of messages. Raises InvalidRequest where nobody has room.
    """
    least, most = bounds
    made = Carried(kept, new, reserved(request, least), most)
    try:
        widest = made.composed(max(made.budget(each) for each in catalog))
    except TooLong:
        raise InvalidRequest(
            "this turn, with what must stay of the conversation (the system's messages, pinned "
            "facts and the exchange that it goes on with), is longer than any deployment takes; "
            "send less, or unpin",
            code="context_length_exceeded",
        ) from None
    fields = dict(request.fields) | {"messages": _joined(widest)}
    limit = request.shape.tokens_out_limit or ANSWER_RESERVE
    room = least_tokens(kept, new) + made.reserve - min(limit, ANSWER_RESERVE)
    return made, msgspec.json.encode(fields), max(room, 1)


def _joined(composed: Composed) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(composed.messages) + b"]")
