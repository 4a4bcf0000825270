"""What raises exposure waits for a second person, where the plan says so; or breaks the glass."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request

from service.api.access import APPROVED, NEEDS, REQUEST_ID, author, person, runtime_of, signed
from service.domain.acting import Person, Told, act_of
from service.domain.approvals import (
    APPROVED as GRANTED,
)
from service.domain.approvals import BROKE_GLASS, VOID, WAITS, Approval, ApprovalEnd
from service.domain.clock import new_id
from service.domain.errors import Conflict, InvalidRequest, Unprocessable
from service.domain.inward import Inward
from service.domain.records import Key
from service.monitoring.notify import Notice
from service.runtime import Runtime

log = logging.getLogger("headgate.approvals")

MOST_WAITING = 200
MOST_OF_A_TENANT = 20  # of these
LEAST_REASON = 20  # letters, of what breaks the glass


@dataclass(frozen=True, slots=True)
class Raises:
    """An act that raises exposure. ``subject`` is resolved (an id, not the name that was given).
    ``standing``: what it acts on, as it is now, in JSON; when either is another by the time of the
    approval, the approval is void. ``whole``: all that is in force, which counts instead where the
    request says what it looked at (``strictly``); the approved request says so no more.
    """

    act: str
    subject: str
    standing: Any = None
    whole: Any = None
    strictly: bool = False

    def digests(self) -> tuple[str, str]:
        """Of what it acts on, and of all that is in force too."""
        on = [self.act, self.subject, self.standing]
        return digest(on), digest([*on, {"whole": self.whole}])


class Held(Exception):
    """The act waits for a second person; answered with 202."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(approval.id)
        self.approval = approval


async def raises_exposure(request: Request, key: Key, body: Any, raises: Raises) -> None:
    """The one line of a route that raises exposure: after ``allowed`` and after its own checks,
    before it acts. It returns where the act may go on; else the request ends here.
    """
    standings = raises.digests()
    carried: Carried | None = request.scope.get(APPROVED)
    if carried is not None:
        await carried.begin(standings)
        return
    runtime = runtime_of(request)
    if not runtime.plan.approvals.four_eyes:
        return
    broken = bool(getattr(body, "break_glass", False))
    approval = await _asked(request, key, body, (raises, standings[raises.strictly]), broken)
    if broken:
        await _break_glass(request, key, approval)
        return
    told = Told("approval.asked", approval.id, approval.reason, approval.author,
                {"act": raises.act, "subject": raises.subject})  # fmt: skip
    await durable(runtime, approval, signed(request, key, told))
    runtime.kept.approvals.put(approval)
    raise Held(approval)


def approved(request: Request) -> bool:
    """Whether it is an approved act that is carried out now: that asks for its approval to begin,
    even where it would need none any more.
    """
    return request.scope.get(APPROVED) is not None


def digest(standing: Any) -> str:
    """SHA-256 of what an act acts on."""
    text = json.dumps(standing, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


async def durable(runtime: Runtime, *records: object) -> None:
    """Kept, whatever becomes of the request."""
    await asyncio.shield(asyncio.wrap_future(runtime.kept.log.append_durable(*records)))


async def _asked(
    request: Request, key: Key, body: Any, what: tuple[Raises, str], broken: bool
) -> Approval:
    """The request as it is kept."""
    runtime, (raises, standing), who = runtime_of(request), what, person(request, key)
    reason = str(getattr(body, "reason", ""))
    if broken and len(reason.strip()) < LEAST_REASON:
        raise Unprocessable(
            f"reason: breaking the glass takes a reason of at least {LEAST_REASON} characters",
            param="reason",
        )
    if not broken:
        _check_room(runtime, key)
    try:
        text = (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8", code="invalid_json") from None
    now_us = runtime.clock.wall_us()
    return Approval(
        id=new_id(), at_us=now_us, kind=BROKE_GLASS if broken else WAITS, act=raises.act,
        subject=raises.subject, standing=standing, method=request.method,
        path=request.scope["path"], body=text, reason=reason,
        author=author(getattr(body, "author", None), key), actor=who.name, role=who.role,
        key_id=who.key_id, ip=who.ip, request_id=who.request_id,
        needs=request.scope.get(NEEDS, "operator"),
        expires_us=now_us + round(runtime.plan.approvals.expires_h * 3_600e6),
    )  # fmt: skip


def _check_room(runtime: Runtime, key: Key) -> None:
    """So many wait at most, and of a tenant's keys so few that others can ask still."""
    waiting = [each for each in runtime.kept.approvals.open() if each.kind == WAITS]
    if len(waiting) >= MOST_WAITING:
        raise Conflict(f"{MOST_WAITING} acts wait for approval, which is the most; decide some")
    if not key.tenant:
        return
    askers = (runtime.kept.keys.named(each.key_id) for each in waiting)
    if sum(a is not None and a.tenant == key.tenant for a in askers) >= MOST_OF_A_TENANT:
        raise Conflict(
            f"{MOST_OF_A_TENANT} acts that keys of {key.tenant} asked for wait for approval, which "
            "is the most; decide some"
        )


async def _break_glass(request: Request, key: Key, approval: Approval) -> None:
    """It acts at once, and loudly: an act, an error of the log, a notice, a warning of the status
    that stays until somebody else has looked at it.
    """
    runtime = runtime_of(request)
    told = Told("break_glass", approval.subject, approval.reason, approval.author,
                {"approval": approval.id, "act": approval.act})  # fmt: skip
    await durable(runtime, approval, signed(request, key, told))
    runtime.kept.approvals.put(approval)
    words = (
        f"{approval.actor} has broken the glass: {approval.act} on {approval.subject} without a "
        "second person"
    )
    log.error("%s; open item %s", words, approval.id)
    if runtime.notifier is not None:
        runtime.notifier.announce(Notice("break_glass", approval.id, approval.at_us, words))


# carried out -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Carried:
    """An approval on its way: the act begins only where what it acts on is what it was. ``key``:
    of the person who asked; ``by``: who approves.
    """

    approval: Approval
    key: Key
    runtime: Runtime
    by: Person
    author: str
    reason: str
    begun: bool = field(default=False, init=False)

    async def begin(self, standings: tuple[str, str]) -> None:
        """Durable before it acts, so that nothing that was approved is done twice. One of the
        ``standings`` is what was asked for: they are never alike.
        """
        if self.approval.standing not in standings:
            await self.end(VOID, "what it acts on has changed since")
            raise Conflict(
                "the approval is void: what it acts on has changed since it was asked for; ask for "
                "it again",
                code="approval_void",
            )
        await self.end(GRANTED, self.reason)
        self.begun = True

    async def end(self, how: str, reason: str) -> None:
        """Close it."""
        await close(self.runtime, self.approval, how, (self.by, self.author, reason))


async def close(
    runtime: Runtime, approval: Approval, how: str, by: tuple[Person | None, str, str]
) -> None:
    """End an open item; ``by``: the person (None: the service itself), their words, the reason."""
    who, words, reason = by
    now_us = runtime.clock.wall_us()
    told = Told(
        f"approval.{how}", approval.id, reason, words,
        {"act": approval.act, "subject": approval.subject, "asked_by": approval.actor},
        {"state": "open"}, {"state": how},
    )  # fmt: skip
    act = act_of(who, now_us, told)
    end = ApprovalEnd(approval.id, now_us, how, act.actor, words, act.key_id, reason)
    await durable(runtime, end, act)
    runtime.kept.approvals.end(approval.id)


async def carry_out(request: Request, carried: Carried) -> tuple[int, Any]:
    """The stored request through the app once more, as it was asked; status and JSON. Neither its
    key nor its approval can be said by a caller: both stand in the scope alone.
    """
    approval = carried.approval
    marks = {APPROVED: carried, REQUEST_ID: request.scope.get(REQUEST_ID, "")}
    asked = Inward(
        approval.method, approval.path, approval.body.encode(), approval.ip, marks
    )  # fmt: skip
    # Past the part of the app that looks for a key in the headers.
    return await asked.through(functools.partial(FastAPI.__call__, request.app))
