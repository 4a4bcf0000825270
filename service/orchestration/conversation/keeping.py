"""Conversations that are kept: taken up before a request is decided, gone on with once answered."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest, parse
from service.domain.clock import Clock, new_id
from service.domain.conversations import Conversation, Turn
from service.domain.errors import Conflict, HeadgateError, InvalidRequest
from service.domain.hashing import keyed_hash
from service.domain.records import Decision, Key
from service.orchestration.conversation.carrying import Carried, carried, split
from service.orchestration.conversation.compaction import NewTurn, sum_tokens
from service.orchestration.conversation.extracting import of_turn
from service.orchestration.conversation.hearing import Hearing, Said, said_whole
from service.orchestration.conversation.wishing import Wish, check_turn, pinned
from service.routing.dispatch import Served
from service.storage.conversations import ConversationStore

log = logging.getLogger("headgate.conversations")

T = TypeVar("T")
MOST_AT_HAND = 500  # conversations that are kept in memory besides
MOST_HAND_BYTES = 200_000  # of one of them
BUSY_S = 1.0


@dataclass(frozen=True, slots=True)
class KeepRules:
    """The plan's: which keys keep without asking (by name or id), for how long, how many tokens of
    messages are sent at most, and how many of a window stay for the answer.
    """

    keys: frozenset[str]
    keep_us: int
    most_tokens: int
    reserve_tokens: int


@dataclass(frozen=True, slots=True)
class KeepParts:
    """What keeping stands on."""

    store: ConversationStore
    rules: Callable[[], KeepRules]
    catalog: Callable[[], Sequence[Deployment]]
    clock: Clock
    secret: bytes


class Hold:
    """One turn of a conversation under way. At its end it is kept, or let go."""

    def __init__(self, kept: Conversation, new: NewTurn, known: bool, wish: Wish) -> None:
        self.kept, self.new, self.wish = kept, new, wish
        self.known = known  # whether the conversation is in the store as it stands
        self.void = False  # it was erased meanwhile
        self.hearing = Hearing()
        self.request: ChatRequest | None = None  # with all that was said before it
        self.let_go: Callable[[], None] = lambda: None  # the turn is over, whatever became of it

    @property
    def id(self) -> str:
        """The conversation's name."""
        return self.kept.id

    def heard(self, data: bytes) -> None:
        """Some chunks of the answer, in OpenAI's form."""
        self.hearing.heard(data)


class Conversations:
    """Lives on the event loop; the store is called in a thread of its own, one call at a time."""

    def __init__(self, parts: KeepParts) -> None:
        self._parts = parts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="headgate-conversations")
        self._open: dict[tuple[str, str], Hold] = {}
        self._hand: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._last: dict[str, tuple[str, str]] = {}  # a newest turn's decision to its conversation
        self.counts: Counter[str] = Counter()
        # Told of every conversation that has gone on, after the caller has the answer.
        self.went_on: Callable[[Conversation, Hold, Decision], None] = lambda kept, hold, d: None

    # whose ------------------------------------------------------------------------------------

    @staticmethod
    def owner(key: Key, label: str = "") -> str:
        """Whose conversations a key sees: its tenant's; of a key without one its own, by the
        tenant that its requests are labelled with.
        """
        if key.tenant:
            return f"t:{key.tenant}"
        return f"k:{key.id}/{label}" if label else f"k:{key.id}"

    def person(self, user: str) -> str:
        """The keyed hash of a user's name; empty of none."""
        return keyed_hash(self._parts.secret, "person", user) if user else ""

    def kept_unasked(self, key: Key) -> bool:
        """Whether the plan keeps the conversations of a key without being asked."""
        keys = self._parts.rules().keys
        return key.name in keys or key.id in keys

    # the way of a request ---------------------------------------------------------------------

    async def take(self, request: ChatRequest, key: Key, wish: Wish) -> tuple[ChatRequest, Hold]:
        """The request with its conversation before it, and the hold on it; raises HeadgateError.

        A second turn of a conversation under way is refused; one that names the answer that it
        follows begins a branch of its own.
        """
        owner = self.owner(key, str(request.labels.get("tenant", "")))
        kept, known = await self._found(owner, wish)
        if wish.store and (owner, kept.id) in self._open:
            if not wish.previous or wish.name:
                raise Conflict(
                    "another turn of this conversation is under way; send this one when it has "
                    "been answered",
                    code="conversation_locked", retry_after_s=BUSY_S,
                )  # fmt: skip
            kept, known = self._branch(kept), False
        hold = self._hold(kept, known, request, wish)
        if wish.store:
            self._open[(owner, kept.id)] = hold
            hold.let_go = lambda: self._let_go(hold)
        try:
            hold.request = await self._carried(request, hold)
            return hold.request, hold
        except BaseException:
            hold.let_go()
            raise

    def _hold(self, kept: Conversation, known: bool, request: ChatRequest, wish: Wish) -> Hold:
        new = split(request)
        check_turn(kept, new, request, wish)
        now_us = self._parts.clock.wall_us()
        person = self.person(request.user)
        if person and kept.person and person != kept.person:
            raise InvalidRequest(
                "this conversation is another user's; give the same user, or another session",
                param="user", code="conversation_of_another_user",
            )  # fmt: skip
        kept = replace(
            kept, pins=pinned(kept.pins, wish), person=kept.person or person,
            created_us=kept.created_us or now_us,
        )  # fmt: skip
        if wish.carries_system:
            new = NewTurn(new.system or kept.system, new.messages, new.opens)
        return Hold(kept, new, known, wish)

    async def _carried(self, request: ChatRequest, hold: Hold) -> ChatRequest:
        rules, catalog = self._parts.rules(), self._parts.catalog()
        bounds = rules.reserve_tokens, rules.most_tokens
        made, body, room = carried(request, hold.kept, hold.new, catalog, bounds)
        whole = await asyncio.to_thread(parse, body) if len(body) > 100_000 else parse(body)
        return _going_on(request, whole, made, room, hold.id)

    async def _found(self, owner: str, wish: Wish) -> tuple[Conversation, bool]:
        """The conversation, and whether the store has it so; a new one where there is none."""
        if wish.previous:
            return await self._following(owner, wish)
        at_hand = self._hand.get((owner, wish.name))
        if at_hand is not None:
            self._hand.move_to_end((owner, wish.name))
            return at_hand, True
        found = None
        if wish.name:
            found = await self._do(lambda: self._parts.store.find(owner, wish.name))
        if found is not None:
            return found, True
        return Conversation(wish.name or f"conv_{new_id()}", owner), False

    async def _following(self, owner: str, wish: Wish) -> tuple[Conversation, bool]:
        place = self._last.get(wish.previous)
        at_hand = self._hand.get(place) if place is not None and place[0] == owner else None
        if at_hand is not None:
            return at_hand, True
        found = await self._do(lambda: self._parts.store.holding(owner, wish.previous))
        if found is None:
            raise InvalidRequest(
                "no kept response of that id: it was not stored, was deleted, or has expired; "
                "send the whole conversation as input",
                param="previous_response_id", code="previous_response_not_found",
            )  # fmt: skip
        kept, number = found
        last = kept.last
        if last is not None and last.number == number:
            return kept, True
        turns = tuple(turn for turn in kept.turns if turn.number <= number)
        summary = kept.summary if kept.summary and kept.summary.through <= number else None
        return self._branch(replace(kept, turns=turns, summary=summary)), False

    def _branch(self, kept: Conversation) -> Conversation:
        return replace(kept, id=f"conv_{new_id()}", revision=0, created_us=0)

    async def answered(
        self, hold: Hold, decision: Decision, served: Served, body: bytes | None = None
    ) -> bool:
        """The answer came whole (``body``; None: it was heard): keep the turn, durable when this
        returns. False where nothing was to be kept; raises HeadgateError where it could not be.
        """
        try:
            said = hold.hearing.said() if body is None else said_whole(body)
            if said is None or not hold.wish.store or hold.void:
                return False
            after = await self._do(lambda: self._kept(hold, said, decision, served))
            if after is None:
                return False
        except HeadgateError:
            self.counts["failed"] += 1
            self._forget(hold.kept.owner, hold.id)
            raise
        finally:
            hold.let_go()
        self.counts["kept"] += 1
        if self._erased(hold):  # between the write and now
            self._forget(after.owner, after.id)
            await self._do(lambda: self._parts.store.erase(after.owner, after.id))
            return False
        self._at_hand(after)
        self.went_on(after, hold, decision)
        return True

    def _kept(
        self, hold: Hold, said: Said, decision: Decision, served: Served
    ) -> Conversation | None:
        """In the store's thread."""
        if hold.void:
            return None
        messages, kept = (*hold.new.messages, said.message), hold.kept
        found, last = of_turn(messages), kept.last
        now_us = self._parts.clock.wall_us()
        turn = Turn(
            number=1 + (last.number if last else 0), at_us=now_us, decision_id=decision.id,
            deployment=served.deployment.name, messages=messages, tokens=sum_tokens(messages),
            opens=hold.new.opens, notes=found.notes, entities=found.entities, finish=said.finish,
            tokens_in=served.usage.tokens_in, tokens_out=served.usage.tokens_out,
            previous=last.decision_id if last else "",
        )  # fmt: skip
        system = hold.new.system if hold.wish.carries_system else kept.system
        after = replace(
            kept, seen_us=now_us, revision=kept.revision + 1, system=system,
            turns=(*kept.turns, turn),
        )  # fmt: skip
        if hold.known:
            self._parts.store.append(after, turn)
        else:
            self._parts.store.begin(after)
        return after

    @staticmethod
    def _erased(hold: Hold) -> bool:
        return hold.void

    def _let_go(self, hold: Hold) -> None:
        place = (hold.kept.owner, hold.id)
        if self._open.get(place) is hold:
            del self._open[place]

    # memory -----------------------------------------------------------------------------------

    def _at_hand(self, kept: Conversation) -> None:
        place = (kept.owner, kept.id)
        self._forget(*place)
        size = sum(len(message) for turn in kept.turns for message in turn.messages)
        if size > MOST_HAND_BYTES or kept.last is None:
            return
        self._hand[place] = kept
        self._last[kept.last.decision_id] = place
        if len(self._hand) > MOST_AT_HAND:
            self._forget(*next(iter(self._hand)))

    def _forget(self, owner: str, identity: str) -> None:
        gone = self._hand.pop((owner, identity), None)
        if gone is not None and gone.last is not None:
            self._last.pop(gone.last.decision_id, None)

    def _forget_all(self) -> None:
        self._hand.clear()
        self._last.clear()

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # by hand ----------------------------------------------------------------------------------

    async def find(self, owner: str, identity: str) -> Conversation | None:
        """A conversation as it is stored."""
        return await self._do(lambda: self._parts.store.find(owner, identity))

    async def holding(self, owner: str, decision_id: str) -> tuple[Conversation, int] | None:
        """The conversation with the turn of a decision, and the turn's number."""
        return await self._do(lambda: self._parts.store.holding(owner, decision_id))

    async def erase(self, owner: str, identity: str) -> int:
        """Erase a conversation; a turn of it under way is not kept."""
        self._void(lambda hold: (hold.kept.owner, hold.id) == (owner, identity))
        self._forget(owner, identity)
        return await self._do(lambda: self._parts.store.erase(owner, identity))

    async def erase_person(self, user: str, key: Key | None) -> int:
        """Erase all conversations of a user: those that a key may see, or (None) all."""
        person = self.person(user)
        owner = None if key is None else self.owner(key)
        labelled = key is not None and not key.tenant

        def concerns(hold: Hold) -> bool:
            whose = hold.kept.owner
            own = owner is None or whose == owner or (labelled and whose.startswith(f"{owner}/"))
            return hold.kept.person == person and own

        self._void(concerns)
        self._forget_all()
        return await self._do(lambda: self._parts.store.erase_person(person, owner, labelled))

    async def erase_turn(self, owner: str, decision_id: str) -> int:
        """Erase the turn of a decision, wherever it was carried on."""
        self._void(lambda hold: any(t.decision_id == decision_id for t in hold.kept.turns))
        self._forget_all()
        return await self._do(lambda: self._parts.store.erase_turn(owner, decision_id))

    async def expire(self) -> int:
        """Erase what nobody has gone on with for as long as the plan keeps it."""
        keep_us = self._parts.rules().keep_us
        gone = await self._do(lambda: self._parts.store.expire(keep_us))
        if gone:
            self._forget_all()
        return gone

    async def summed_up(self, after: Conversation) -> bool:
        """Take a summary that was written meanwhile; whether the conversation was still so."""
        place = (after.owner, after.id)
        if place in self._open:
            return False
        taken = await self._do(lambda: self._parts.store.write_context(after))
        self._forget(*place)
        return taken

    def _void(self, concerns: Callable[[Hold], bool]) -> None:
        for hold in self._open.values():
            if concerns(hold):
                hold.void = True

    def close(self) -> None:
        """End after what was asked for; blocks."""
        self._thread.submit(self._parts.store.close).result(timeout=30)
        self._thread.shutdown()


def _going_on(
    request: ChatRequest, whole: ChatRequest, made: Carried, room: int, name: str
) -> ChatRequest:
    """The request with its conversation, which is the session that its deployment is held for."""
    options = request.options
    if not options.session_id:
        options = msgspec.structs.replace(options, session_id=name)
    return replace(whole, options=options, carried=made, least_tokens=room)
