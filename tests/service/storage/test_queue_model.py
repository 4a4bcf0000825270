"""The queue's store against a model: nothing acknowledged is lost, completed once, leased once."""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.domain.errors import UpstreamExhausted
from service.domain.tickets import Claim, State
from service.storage.queue import QueueStore
from service.storage.queue_file import FILE
from tests.conftest import HandClock
from tests.service.storage.test_queue import DAY_S, LASTS_S, RULES, fresh

MODEL_RULES = replace(RULES, tries=2)


class QueueMachine(RuleBasedStateMachine):
    """The model: what was acknowledged, how it must have ended, which tokens may still end it."""

    def __init__(self) -> None:
        super().__init__()
        self._place = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.boots = 0

    @initialize()
    def open(self) -> None:
        self.store = self._opened()
        self.open_ids: dict[str, float] = {}  # acknowledged and unanswered: its deadline
        self.done: dict[str, str] = {}  # answered: the token whose answer was accepted
        self.dead: set[str] = set()
        self.tokens: dict[str, tuple[Claim, float]] = {}  # by id: the live lease and its end
        self.stale: list[Claim] = []

    def _opened(self) -> QueueStore:
        return QueueStore(
            Path(self._place.name), MODEL_RULES, self.clock, boot=f"boot-{self.boots}"
        )

    def _time(self) -> None:
        """Leases that have run out are no longer live."""
        now_s = self.clock.monotonic
        for ticket_id, (claim, until_s) in list(self.tokens.items()):
            if until_s <= now_s:
                self._lost(ticket_id, claim)

    def _lost(self, ticket_id: str, claim: Claim) -> None:
        del self.tokens[ticket_id]
        self.stale.append(claim)
        if claim.tries >= MODEL_RULES.tries:
            self._died(ticket_id)

    def _died(self, ticket_id: str) -> None:
        if self.open_ids.pop(ticket_id, None) is not None:
            self.dead.add(ticket_id)

    @rule(key=st.sampled_from("abc"), same=st.booleans())
    def put(self, key: str, same: bool) -> None:
        new = fresh(key, idempotency="again" if same else "")
        known = {*self.open_ids, *self.done, *self.dead}
        self._time()
        try:
            ticket = self.store.put(new)
        except UpstreamExhausted:
            assert len(self._unanswered()) >= MODEL_RULES.most_waiting
            return
        if ticket.id != new.id:
            assert same and ticket.id in known
            return
        self.open_ids[ticket.id] = self.clock.monotonic + LASTS_S

    def _unanswered(self) -> set[str]:
        now_s = self.clock.monotonic
        return {t for t, end in self.open_ids.items() if end > now_s or t in self.tokens}

    @rule()
    def claim(self) -> None:
        self._time()
        claim = self.store.claim()
        if claim is None:
            return
        assert claim.id in self.open_ids, "only what is acknowledged and unanswered"
        assert claim.id not in self.tokens, "two live leases on one ticket"
        assert self.open_ids[claim.id] > self.clock.monotonic, "it is too late for it"
        self.tokens[claim.id] = claim, self.clock.monotonic + MODEL_RULES.lease_s

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        ticket_id = data.draw(st.sampled_from(sorted(self.tokens)))
        self._time()
        held = self.tokens.get(ticket_id)
        if held is None:
            return
        claim, _ = self.tokens.pop(ticket_id)
        assert self.store.complete(claim, "decision", claim.token.encode(), "{}")
        assert ticket_id not in self.done, "two accepted completions"
        self.done[ticket_id] = claim.token
        del self.open_ids[ticket_id]
        self.stale.append(claim)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), how=st.sampled_from(("complete", "release", "bury", "renew")))
    def a_stale_token_does_nothing(self, data: st.DataObject, how: str) -> None:
        claim = data.draw(st.sampled_from(self.stale))
        accepted = {
            "complete": lambda: self.store.complete(claim, "late", b"late", "{}"),
            "release": lambda: self.store.release(claim, 0.0, True),
            "bury": lambda: self.store.bury(claim, "late", "late"),
            "renew": lambda: self.store.renew(claim),
        }[how]()
        assert not accepted

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), wait_s=st.sampled_from((0.0, 20.0)), counted=st.booleans())
    def fail(self, data: st.DataObject, wait_s: float, counted: bool) -> None:
        ticket_id = data.draw(st.sampled_from(sorted(self.tokens)))
        self._time()
        if ticket_id not in self.tokens:
            return
        claim, _ = self.tokens.pop(ticket_id)
        assert self.store.release(claim, wait_s, counted, "down", "it is down")
        self.stale.append(claim)
        if counted and claim.tries >= MODEL_RULES.tries:
            self._died(ticket_id)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        ticket_id = data.draw(st.sampled_from(sorted(self.tokens)))
        self._time()
        if ticket_id in self.tokens:
            claim, _ = self.tokens[ticket_id]
            assert self.store.renew(claim)
            self.tokens[ticket_id] = claim, self.clock.monotonic + MODEL_RULES.lease_s

    @rule(seconds=st.sampled_from((1.0, 31.0, 397.0)))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(days=st.sampled_from((-1, 1)))
    def the_wall_clock_jumps(self, days: int) -> None:
        self.clock.wall += days * DAY_S * 1_000_000

    @rule(reboot=st.booleans(), away_s=st.sampled_from((0.0, 5.0)))
    def crash_and_reopen(self, reboot: bool, away_s: float) -> None:
        self._time()
        self.store.close()
        self.clock.advance(away_s)
        if reboot:
            row = sqlite3.connect(Path(self._place.name) / FILE)
            anchor_s, anchor_us = row.execute("SELECT monotonic_s, wall_us FROM anchor").fetchone()
            row.close()
            passed_s = max((self.clock.wall - anchor_us) / 1e6, 0.0)
            self.boots += 1
            self.clock.monotonic = 10.0
            shift_s = 10.0 - (anchor_s + passed_s)
            self.open_ids = {t: end + shift_s for t, end in self.open_ids.items()}
        self.store = self._opened()
        for ticket_id, (claim, _) in list(self.tokens.items()):
            self._lost(ticket_id, claim)

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        if not hasattr(self, "store"):
            return
        self._time()
        self.store.sweep()
        now_s = self.clock.monotonic
        for ticket_id, token in self.done.items():
            ticket = self.store.find(ticket_id)
            if ticket is not None:  # after keep_answers_s it may be gone
                assert ticket.state is State.DONE and ticket.answer in (token.encode(), None)
        for ticket_id, end_s in self.open_ids.items():
            ticket = self.store.find(ticket_id)
            if ticket is None:
                assert end_s + MODEL_RULES.keep_dead_s <= now_s, "lost"
            elif ticket_id in self.tokens:
                assert ticket.state is State.RUNNING
            elif end_s > now_s:
                assert ticket.state is State.WAITING, ticket
            else:
                assert ticket.state is State.EXPIRED, ticket
        for ticket_id in self.dead:
            ticket = self.store.find(ticket_id)
            assert ticket is None or ticket.state is State.DEAD

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self._place.cleanup()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    derandomize=True, max_examples=40, stateful_step_count=50, deadline=None
)
