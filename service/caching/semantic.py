"""Answers for like questions: given when it is known how rarely they are wrong, else looked at."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple

import msgspec

from learning.likeness import likeness
from learning.same_ask import fixed_parts, same_answer
from service.caching.canonical import Uncanonical, canonical, fingerprint
from service.caching.false_hits import FalseHits
from service.caching.nearest import Centre, Liking, Nearest
from service.caching.passage import Passage
from service.caching.shelf import Entry
from service.caching.standing import SemanticRule, Standings, Switched
from service.domain.chat import ChatRequest
from service.domain.hashing import keyed_hash
from service.domain.records import Decision
from service.orchestration import judge
from service.providers.base import Answer

log = logging.getLogger("headgate.cache")

LEAST_LIKE = 0.3  # below, two questions have nothing to do with each other
MOST_AT_ONCE = 4  # answers regenerated in the shadow
GIVEN, LOOKED, ALONE = "given", "looked", "alone"
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class SemanticRules:
    """The plan's. ``most_unseen``: how often an answer is given before it is looked at again."""

    tasks: Mapping[str, SemanticRule] = field(default_factory=dict)
    most_chars: int = 600
    most_entries: int = 10_000
    most_unseen: int = 50


class Pair(NamedTuple):
    """A kept answer and one that came anew, each with its deployment."""

    kept: str
    by: str
    came: str
    came_by: str


@dataclass(frozen=True, slots=True)
class SemanticParts:
    """``stands``: whether an answer is still kept; ``regenerate``: the answer of a deployment to a
    request, called beside (None: it was not made, or failed); ``as_good``: whether a
    proven judge finds the kept answer no worse for the question (False: none was asked, or it could
    not be read); ``spent_micro_usd``: on what is regenerated, today; ``log``: keeps that a task is
    off or on again; whether that is durable.
    """

    secret: bytes
    chance: Random
    stands: Callable[[Entry], bool]
    regenerate: Callable[[Decision, ChatRequest, str], Awaitable[Answer | None]]
    as_good: Callable[[Passage, Decision, Pair], Awaitable[bool]]
    spent_micro_usd: Callable[[], int]
    log: Callable[[Switched], Awaitable[bool]]


class Semantic:
    """Lives on the event loop. Keeps no question: vectors and keyed hashes alone, in memory."""

    def __init__(self, parts: SemanticParts, rules: SemanticRules) -> None:
        self.parts, self.rules = parts, rules
        self.nearest = Nearest(rules.most_entries)
        self.standings = Standings(rules.tasks, parts.log)
        self._beside: set[asyncio.Task[None]] = set()

    def of(self, task: str) -> FalseHits:
        """A task's counts."""
        return self.standings.of(task)

    # on the way of a request --------------------------------------------------------------------

    def look(self, passage: Passage, policy: str) -> Entry | None:
        """The answer to give for a like question; None: it is to be answered anew."""
        rule = self.rules.tasks.get(passage.asked.task)
        if rule is None:
            return None
        counts = self.of(passage.asked.task).counts
        found = self._liking(passage, policy)
        passage.liking = found
        if found is None:
            counts["unfit"] += 1
            return None
        if found.centre is None:
            counts[ALONE] += 1
            return None
        counts["asked"] += 1
        if not self._gives(found, passage.asked.task, rule):
            counts[LOOKED] += 1
            return None
        return found.centre.entry

    def _gives(self, found: Liking, task: str, rule: SemanticRule) -> bool:
        centre = found.centre
        if centre is None or self.of(task).off or not centre.serves(found.asker):
            return False
        if centre.unseen >= self.rules.most_unseen:
            return False
        anew = centre.known(found.asker).anew(found.similarity, rule.delta, rule.most_false)
        return self.parts.chance.random() >= anew

    def _liking(self, passage: Passage, policy: str) -> Liking | None:
        request = passage.asked.request
        text = asked_text(request, self.rules.most_chars)
        parts = None if text is None else fixed_parts(text)
        if text is None or parts is None:
            return None
        try:
            form = canonical(_without_text(request)) + json.dumps(parts).encode()
        except Uncanonical:
            return None
        group = fingerprint(self.parts.secret, passage.scope, f"like/{policy}", form)
        vector, asker = likeness(text), self._asker(passage)
        while (near := self.nearest.find(group, vector)) is not None:
            centre, similarity = near
            if not self.parts.stands(centre.entry):
                self.nearest.remove(centre)
                continue
            if similarity < LEAST_LIKE:
                break
            return Liking(group, vector, asker, centre, similarity)
        return Liking(group, vector, asker, None, 0.0)

    def _asker(self, passage: Passage) -> str:
        """Whose looks count as one's: the key's, or, where it names its users, each user's: those
        of one key need not trust each other.
        """
        key, user = passage.asked.caller.key_id, passage.asked.request.user
        return f"{key}/{keyed_hash(self.parts.secret, 'asker', user)}" if user else key

    def came(self, passage: Passage, decision: Decision, entry: Entry) -> None:
        """A question was answered anew: the like one's answer was right, or it was not."""
        found, rule = passage.liking, self.rules.tasks.get(passage.asked.task)
        if found is None or rule is None:
            return
        if found.centre is None:
            self._add(found, entry)
            return
        if rule.judge and len(self._beside) >= MOST_AT_ONCE:
            # Before anything is compared: else the equal ones would count, and not the others.
            self.of(entry.task).counts["judge_busy"] += 1
            return
        pair = _pair(found.centre.entry, entry.tail, entry.deployment)
        right = same_answer(pair.kept, pair.came, rule.most_apart)
        if right or not rule.judge:
            self._looked(found, entry, right)
        else:
            self._begin(self._judged(passage, decision, entry, pair))

    def _add(self, found: Liking, entry: Entry) -> None:
        if self.parts.stands(entry):
            self.nearest.add(Centre(entry, found.asker, found.vector, found.group))

    def _looked(self, found: Liking, entry: Entry, right: bool) -> None:
        if found.centre is not None:
            self._seen(found.centre, found, right, entry.task)
        if not right:  # else the one that is known already stands for it
            self._add(found, entry)

    async def _judged(self, passage: Passage, decision: Decision, entry: Entry, pair: Pair) -> None:
        if passage.liking is None:
            return
        try:
            right = await self.parts.as_good(passage, decision, pair)
        except Exception:
            log.exception("two answers could not be judged")
            right = False
        self.of(entry.task).counts["judged"] += 1
        self._looked(passage.liking, entry, right)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _seen(self, centre: Centre, found: Liking, right: bool, task: str) -> None:
        counts = self.of(task).counts
        counts["right" if right else "wrong"] += 1
        centre.seen(found.asker, max(found.similarity, -1.0), right)
        if centre.changed:
            counts["changed"] += 1
            self.nearest.remove(centre)

    def gave(self, passage: Passage, decision: Decision) -> None:
        """A kept answer was given for a like question; a share is regenerated in the shadow."""
        found, rule = passage.liking, self.rules.tasks.get(passage.asked.task)
        if found is None or found.centre is None or rule is None:
            return
        counts = self.of(passage.asked.task).counts
        counts[GIVEN] += 1
        found.centre.unseen += 1
        if self.parts.chance.random() >= rule.shadow_share:
            return
        if len(self._beside) >= MOST_AT_ONCE:
            counts["shadow_busy"] += 1
            return
        self._begin(self._shadow(passage, decision, found.centre, rule))

    async def _shadow(
        self, passage: Passage, decision: Decision, centre: Centre, rule: SemanticRule
    ) -> None:
        found, request = passage.liking, passage.asked.request.whole()
        if found is None:
            return
        task = self.of(decision.task)
        try:
            name = centre.entry.deployment
            answer = await self.parts.regenerate(decision, request, name)
            if answer is None or judge.said_by(answer.body) is None:
                task.counts["shadow_failed"] += 1
                return
            pair = _pair(centre.entry, answer.body, name)
            right = same_answer(pair.kept, pair.came, rule.most_apart)
            if not right and rule.judge:
                right = await self.parts.as_good(passage, decision, pair)
            task.saw(not right)
            self._seen(centre, found, right, decision.task)
        except Exception:
            task.counts["shadow_failed"] += 1
            log.exception("an answer could not be regenerated")

    # by the clock -------------------------------------------------------------------------------

    async def turn(self) -> None:
        """Judge what came."""
        await self.standings.turn()

    def take_rules(self, rules: SemanticRules) -> None:
        """Another plan is in force."""
        self.rules = rules
        self.standings.take_rules(rules.tasks)
        self.nearest.bound(rules.most_entries)

    async def stop(self) -> None:
        """Cancel what is under way, each call recorded."""
        tasks = list(self._beside)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def asked_text(request: ChatRequest, most_chars: int) -> str | None:
    """The question of a first turn without tools or pictures, if it is short; None: it is none."""
    if not request.messages:
        return None
    *before, last = request.messages
    fields = request.fields
    if request.carried is not None or request.shape.tools or request.shape.images:
        return None
    if "functions" in fields or "tool_choice" in fields or last.role != "user":
        return None
    if any(each.role not in ("system", "developer") for each in before):
        return None
    if not isinstance(last.content, str) or not 0 < len(last.content.strip()) <= most_chars:
        return None
    return last.content


def _without_text(request: ChatRequest) -> ChatRequest:
    """The same without the question: its group's. Raises Uncanonical."""
    try:
        messages = _messages(request.fields["messages"])
    except msgspec.DecodeError:
        raise Uncanonical("messages") from None
    messages[-1] = messages[-1] | {"content": msgspec.Raw(b'""')}
    raw = msgspec.Raw(msgspec.json.encode(messages))
    return replace(request, fields=request.fields | {"messages": raw})


def _pair(kept: Entry, came: bytes, came_by: str) -> Pair:
    """What both say; ``came``: a body, or a body after its id."""
    body = came if came.startswith(b"{") else _whole(came)
    return Pair(
        judge.said_by(_whole(kept.tail)) or "", kept.deployment, judge.said_by(body) or "", came_by
    )


def _whole(tail: bytes) -> bytes:
    return b'{"id":""' + tail
