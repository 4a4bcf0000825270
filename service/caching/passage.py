"""A request's way through the cache: answered by it, or sent on, and what it stands on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from service.caching.flights import Flight
from service.caching.keeper import Keeper
from service.caching.nearest import Liking
from service.caching.rules import Rule
from service.caching.shelf import Entry
from service.domain.caching import CachedAnswer, CacheWish
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import Clock
from service.domain.records import Decision, Key, Outcome, Override, PolicyMark
from service.providers.base import Answer
from service.routing.asked import Asked
from service.routing.run import Served


@dataclass(frozen=True, slots=True)
class Ways:
    """What the plan in force gives: swapped whole at a reload."""

    read: Callable[[ChatRequest, Key, str], Asked]
    permitted: Callable[[Asked, str], bool]
    catalog: dict[str, Deployment]
    marks: dict[str, str]  # what each of these is now
    kinds: dict[str, str]  # every model that may be named; alike only within a kind
    mark: Callable[[], PolicyMark]
    prompt_hash: Callable[[ChatRequest], str]
    deadline_s: float
    acceptable: Callable[[ChatRequest, Answer], bool]


@dataclass(frozen=True, slots=True)
class CachingParts:
    """What it stands on. ``record``: logs an answer given again; ``limited``: whether a unit is
    refused for now.
    """

    secret: bytes
    clock: Clock
    ways: Callable[[], Ways]
    holding: Callable[[], Sequence[Override]]
    record: Callable[[Decision, Outcome, CachedAnswer | None], None]
    limited: Callable[[str], bool]
    keeper: Keeper | None = None


class Hit(NamedTuple):
    """An answer given again."""

    decision: Decision
    answer: Answer
    served: Served
    age_s: float


class Further(Protocol):
    """Another look, where the exact one found nothing."""

    def look(self, passage: Passage, policy: str) -> Entry | None:
        """The answer to give for a like request; None: it is to be answered anew."""

    def came(self, passage: Passage, decision: Decision, entry: Entry) -> None:
        """It was, by this."""

    def gave(self, passage: Passage, decision: Decision) -> None:
        """What was found was given."""

    async def turn(self) -> None:
        """By the clock."""

    async def stop(self) -> None:
        """Cancel what is under way."""


class Takes(Protocol):
    """Whoever keeps answers."""

    def take(self, passage: Passage, decision: Decision, answer: Answer, served: Served) -> None:
        """An answer has come: kept where it is worth it."""

    def not_kept(self, passage: Passage, why: str, served: Served) -> None:
        """One that is for nobody else."""


class Passage:
    """A request's way through the cache: answered by it, or sent on and perhaps kept."""

    __slots__ = (
        "_desk", "asked", "fingerprint", "flight", "hit", "keeps", "liking", "owner", "rule",
        "scope", "since", "wish",
    )  # fmt: skip

    def __init__(self, desk: Takes, asked: Asked, since: int = 0) -> None:
        self._desk, self.asked = desk, asked
        self.since = since  # how often something had been taken back when it came
        self.hit: Hit | None = None
        self.owner = ""
        self.fingerprint = self.scope = ""  # empty: the cache has no part in it
        self.flight: Flight[Entry] | None = None
        self.liking: Liking | None = None  # what is like it, where that was looked for
        self.keeps = False
        self.rule = Rule()
        self.wish = CacheWish()

    @property
    def told(self) -> str:
        """What the header says of a request that is sent on."""
        return "miss" if self.fingerprint and self.wish.takes else "bypass"

    def decided(self, decision: Decision) -> None:
        """It is sent on."""
        if self.flight is not None:
            self.flight.deployment = decision.deployment

    def marked(self, served: Served) -> Served:
        """How it was served, with what the header says."""
        return replace(served, cache=self.told)

    def answered(self, decision: Decision, answer: Answer, served: Served) -> None:
        """A whole answer has come."""
        if self.fingerprint:
            self._desk.take(self, decision, answer, served)

    def unkept(self, why: str, served: Served) -> None:
        """An answer has come that is for nobody else."""
        if self.fingerprint:
            self._desk.not_kept(self, why, served)

    def leave(self) -> None:
        """It is over. Where no answer came, one of those that wait for it leads."""
        if self.flight is not None:
            self.flight.fail()
