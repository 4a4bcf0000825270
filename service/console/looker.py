"""Somebody who looks at a page: what they may, what they have open, and what they do."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.console.calling import Done
from service.console.gate import Visit
from service.console.nodes import Node
from service.domain.clock import new_id
from service.domain.errors import HeadgateError, PermissionDenied, Unprocessable
from service.domain.records import Key
from service.runtime import Runtime
from service.storage.keys import ROLES

log = logging.getLogger("headgate.console")

LEAST_REASON, MOST_REASON = 10, 500


class Gone(Exception):
    """The session has ended."""


@dataclass(slots=True)
class Open:
    """A dialog that is open: which form, of what, what is known so far, and what is wrong."""

    form: str
    of: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    step: int = 1
    problem: str = ""
    found: Any = None
    busy: bool = False  # it is tried on the log
    sent: bool = False  # it is under way
    id: str = field(default_factory=new_id)  # which dialog: what is sent twice counts once


class Looker:
    """One page in one browser."""

    def __init__(self, visit: Visit, query: Mapping[str, str], of: str = "") -> None:
        self._visit = visit
        self.runtime: Runtime = visit.runtime
        self.token = visit.session.token
        self.query, self.of = query, of
        self.open: Open | None = None
        self.told = ""
        self.held = False  # whether what was told of waits for a second person
        self.ended = ("", "", False)  # the dialog that was done last, and what was told of it
        self.go = ""  # where the browser is to go next
        self.kept: dict[str, Any] = {}  # what a page has read and need not read each time

    @property
    def key(self) -> Key:
        """The key with which they are here; raises Gone."""
        key = self._visit.key()
        if key is None:
            raise Gone
        return key

    @property
    def acts(self) -> bool:
        """Whether they may act, not only read."""
        return ROLES.index(self.key.role) >= ROLES.index("operator")

    def must_act(self) -> Key:
        """The key of somebody who may act; raises PermissionDenied."""
        key = self.key
        if not self.acts:
            raise PermissionDenied(f"This needs the role operator; your key has {key.role}.")
        return key

    async def ask(
        self, path: str, body: Mapping[str, Any], if_match: str = "", by: str = "author"
    ) -> Done:
        """Do something by a route of the API, signed with the key's name; raises Refused."""
        key = self.must_act()
        signed = {by: (key.name or key.id)[:100], **body}
        done = await self._visit.api.post(key, path, signed, if_match)
        self.held = self.held or done.waits
        return done

    async def look(self, path: str) -> Done:
        """What a route of the API shows."""
        return await self._visit.api.get(self.key, path)

    def used(self) -> None:
        """They have given a sign."""
        self._visit.sessions.used(self._visit.session)

    async def do(self, handler: Handler, of: str, fields: dict[str, str]) -> None:
        """Do what was asked; what is wrong with it is shown where it was asked."""
        self.told, self.held = "", False
        self.used()
        try:
            await handler(self, of, fields)
        except HeadgateError as error:
            self._wrong(error.message, fields)
        except Gone:
            raise
        except Exception:
            log.exception("an act at the console failed")
            self._wrong("Something went wrong here; the log of the service has it.", fields)

    def _wrong(self, problem: str, fields: dict[str, str]) -> None:
        if self.open is None:
            self.open = Open("problem", problem=problem)
        else:
            self.open.problem = problem
            self.open.fields.update(fields)

    def done(self, now: Open, told: str) -> None:
        """A dialog is in effect: close it, and say so."""
        if self.open is now:
            self.open = None
        self.told, self.ended = told, (now.id, told, self.held)


Handler = Callable[[Looker, str, dict[str, str]], Awaitable[None]]
Drawn = Mapping[str, list[Node]]  # the parts of a page, each sent only when it changed


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its address, what it is called, what it shows, and what can be done on it."""

    path: str
    title: str
    draw: Callable[[Looker], Awaitable[Drawn]]
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    refresh_s: float = 2.0


def reason_of(fields: Mapping[str, str]) -> str:
    """The reason that every act needs; raises Unprocessable."""
    reason = fields.get("reason", "")
    if len(reason) < LEAST_REASON:
        raise Unprocessable(
            f"Say why in at least {LEAST_REASON} characters; the next one on duty reads it.",
            param="reason",
        )
    if len(reason) > MOST_REASON:
        raise Unprocessable(f"Say why in at most {MOST_REASON} characters.", param="reason")
    return reason
