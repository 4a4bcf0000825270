"""A ticket as its owner and the operators see it: never with the prompt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from service.domain.clock import Clock
from service.domain.tickets import State, Ticket

OBJECT = "headgate.ticket"
_WORDS = {State.WAITING: "queued"}


def when(microseconds: int) -> str:
    """A time as ISO 8601, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(microseconds / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def poll_url(ticket_id: str) -> str:
    """Where the ticket is asked for."""
    return f"/v1/tickets/{ticket_id}"


def ticket(found: Ticket, clock: Clock, eta_s: float | None) -> dict[str, Any]:
    """All of a ticket; ``answer`` and ``headgate`` (how it was served) once it is done."""
    late_us = clock.wall_us() + int((found.deadline_s - clock.monotonic_s()) * 1e6)
    shown: dict[str, Any] = {
        "id": found.id,
        "object": OBJECT,
        "status": _WORDS.get(found.state, found.state.value),
        "poll_url": poll_url(found.id),
        "created_at": when(found.created_us),
        "expires_at": when(late_us),
        "tries": found.tries,
    }
    if eta_s is not None:
        shown["eta_s"] = round(eta_s, 1)
    if found.ended_us is not None:
        shown["ended_at"] = when(found.ended_us)
    if found.state is State.DONE:
        shown["decision_id"] = found.decision_id
        shown["headgate"] = msgspec.Raw(found.detail.encode())
        if found.answer is None:
            shown |= {
                "status": "expired",
                "code": "answer_erased",
                "reason": "it was answered and fetched; the answer is kept no longer",
                "answer": None,
            }
        else:
            shown["answer"] = msgspec.Raw(found.answer)
    elif found.state in (State.DEAD, State.EXPIRED):
        shown |= {"code": found.code, "reason": found.reason}
    return shown


def entry(found: Ticket, clock: Clock) -> dict[str, Any]:
    """A row of the operators' list: whose it is and how it stands, without any body."""
    shown = ticket(found, clock, None)
    shown.pop("answer", None)
    shown.pop("headgate", None)
    return shown | {
        "status": _WORDS.get(found.state, found.state.value),
        "key_id": found.key_id,
        "tenant": found.tenant,
        "code": found.code,
        "reason": found.reason,
        "webhook": {"asked": bool(found.webhook), "calls": found.webhook_tries,
                    "due": found.webhook_due},
    }  # fmt: skip
