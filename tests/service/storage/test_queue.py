"""The queue's store against a model: nothing acknowledged is lost, completed once, leased once."""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.domain.clock import new_id
from service.domain.errors import Conflict, StorageUnavailable, UpstreamExhausted
from service.domain.tickets import Claim, Ended, NewTicket, State, Ticket
from service.storage.queue import QueueRules, QueueStore
from service.storage.queue_file import FILE
from service.storage.queue_views import ahead
from tests.conftest import HandClock

RULES = QueueRules(most_waiting=8, lease_s=30.0, tries=3, keep_answers_s=1_000.0,
                   keep_dead_s=2_000.0, fetched_s=100.0)  # fmt: skip
MODEL_RULES = replace(RULES, tries=2)
LASTS_S = 400.0
DAY_S = 86_400


def fresh(key: str = "k", **more: Any) -> NewTicket:
    fields = {"id": new_id(), "key_id": key, "tenant": "", "body": b"{}", "session": "",
              "webhook": "", "idempotency": "", "digest": "d", "lasts_s": LASTS_S}  # fmt: skip
    return NewTicket(**(fields | more))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(tmp_path: Path, clock: HandClock) -> Any:
    made = QueueStore(tmp_path, RULES, clock, boot="one")
    yield made
    made.close()


def found(store: QueueStore, ticket: Ticket) -> Ticket:
    seen = store.find(ticket.id)
    assert seen is not None
    return seen


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

    @rule(seconds=st.sampled_from((1.0, 31.0, 120.0)))
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
    derandomize=True, max_examples=25, stateful_step_count=40, deadline=None
)


def test_C08_an_idempotency_key_gives_the_same_ticket_even_after_it_is_done(
    store: QueueStore,
) -> None:
    first = store.put(fresh(idempotency="i", digest="one"))
    assert store.put(fresh(idempotency="i", digest="one")).id == first.id
    with pytest.raises(Conflict, match="another body"):
        store.put(fresh(idempotency="i", digest="two"))
    assert store.put(fresh("other", idempotency="i", digest="two")).id != first.id
    claim = store.claim()
    assert claim is not None and store.complete(claim, "d", b"answer", "{}")
    again = store.known("k", "i", "one")
    assert again is not None and (again.id, again.state) == (first.id, State.DONE)
    with pytest.raises(Conflict):
        store.known("k", "i", "two")
    assert store.known("k", "", "two") is None


def test_the_queue_is_bounded_and_says_so(store: QueueStore) -> None:
    for _ in range(RULES.most_waiting):
        store.put(fresh())
    with pytest.raises(UpstreamExhausted) as caught:
        store.put(fresh())
    assert caught.value.code == "queue_full" and caught.value.retry_after_s
    claim = store.claim()
    assert claim is not None and store.complete(claim, "d", b"a", "{}")
    store.put(fresh())


def test_the_oldest_first_and_keys_in_turn(store: QueueStore) -> None:
    line = [store.put(fresh(key)) for key in "aaabac"]
    assert [ahead(store.connection, t.id) for t in line] == [0, 3, 4, 1, 5, 2]
    order = []
    while (claim := store.claim()) is not None:
        order.append(claim.key_id)
    assert order == list("abcaaa")


@pytest.mark.parametrize("days", [-1, 1])
def test_H06_a_jump_of_the_wall_clock_neither_frees_nor_freezes_a_lease(
    tmp_path: Path, clock: HandClock, days: int
) -> None:
    store = QueueStore(tmp_path, RULES, clock, boot="one")
    store.put(fresh())
    claim = store.claim()
    assert claim is not None
    clock.wall += days * DAY_S * 1_000_000
    assert store.claim() is None and store.renew(claim)
    clock.advance(RULES.lease_s)
    assert not store.renew(claim)
    again = store.claim()
    assert again is not None and again.id == claim.id
    store.close()
    clock.wall += days * DAY_S * 1_000_000
    clock.monotonic = 3.0
    store = QueueStore(tmp_path, RULES, clock, boot="two")
    ticket = store.find(claim.id)
    assert ticket is not None
    left_s = ticket.deadline_s - clock.monotonic
    if days > 0:
        assert ticket.state is State.EXPIRED, "by all that can be known a day has passed"
    else:
        assert ticket.state is State.WAITING and 0.0 < left_s <= LASTS_S
        assert store.claim() is not None
    store.close()


def test_a_process_restart_on_the_same_boot_trusts_the_monotonic_clock(
    tmp_path: Path, clock: HandClock
) -> None:
    store = QueueStore(tmp_path, RULES, clock, boot="one")
    ticket = store.put(fresh())
    store.close()
    clock.advance(100.0)
    clock.wall += DAY_S * 1_000_000
    store = QueueStore(tmp_path, RULES, clock, boot="one")
    assert found(store, ticket).deadline_s - clock.monotonic == LASTS_S - 100.0
    store.close()


def test_a_ticket_dies_after_its_tries_and_can_be_tried_again(
    store: QueueStore, clock: HandClock
) -> None:
    ticket = store.put(fresh(webhook="https://h.test/"))
    for _ in range(RULES.tries):
        claim = store.claim()
        assert claim is not None
        store.release(claim, 0.0, True, "down", "all are down")
    dead = found(store, ticket)
    assert (dead.state, dead.code, dead.reason) == (State.DEAD, "down", "all are down")
    assert [t.id for t in store.hooks_due(9)] == [ticket.id]
    assert store.retry(ticket.id) and not store.retry(ticket.id)
    assert found(store, ticket).tries == 0 and store.hooks_due(9) == []
    clock.advance(LASTS_S)
    store.sweep()
    late = found(store, ticket)
    assert (late.state, late.code) == (State.EXPIRED, "deadline_passed")
    clock.advance(RULES.keep_dead_s)
    store.sweep()
    assert store.find(ticket.id) is None


def test_each_end_is_told_once_when_it_is_durable(tmp_path: Path, clock: HandClock) -> None:
    told: list[Ended] = []
    store = QueueStore(tmp_path, RULES, clock, boot="one", tell=told.append)
    first, second = store.put(fresh()), store.put(fresh())
    claim = store.claim()
    assert claim is not None and store.bury(claim, "bad", "it is bad")
    store.close()
    clock.advance(LASTS_S)
    store = QueueStore(tmp_path, RULES, clock, boot="one", tell=told.append)
    store.sweep()
    store.close()
    assert [(each.id, each.code) for each in told] == [
        (first.id, "bad"), (second.id, "deadline_passed"),
    ]  # fmt: skip


def test_tries_that_are_not_counted_kill_nobody_and_waits_are_kept(
    store: QueueStore, clock: HandClock
) -> None:
    ticket = store.put(fresh())
    for _ in range(5 * RULES.tries):
        claim = store.claim()
        assert claim is not None and claim.tries == 1
        store.release(claim, 7.0, False, "down", "all are down")
        clock.advance(6.9)
        assert store.claim() is None
        clock.advance(0.2)
    assert found(store, ticket).state is State.WAITING


def test_bodies_are_erased_from_the_disk(
    tmp_path: Path, store: QueueStore, clock: HandClock
) -> None:
    prompt, answer = b"a prompt like no other", b"an answer like no other"
    ticket = store.put(fresh(body=prompt))

    def on_disk(text: bytes) -> bool:
        return any(text in path.read_bytes() for path in tmp_path.iterdir())

    assert on_disk(prompt)
    claim = store.claim()
    assert claim is not None and claim.body == prompt
    store.complete(claim, "d", answer, "{}")
    assert not on_disk(prompt) and on_disk(answer)
    store.fetched(ticket.id)
    clock.advance(RULES.fetched_s - 1.0)
    store.fetched(ticket.id)
    store.sweep()
    assert found(store, ticket).answer == answer, "should the fetch have to be repeated"
    clock.advance(1.0)
    store.sweep()
    assert found(store, ticket).answer is None and not on_disk(answer)
    clock.advance(RULES.keep_answers_s)
    store.sweep()
    assert store.find(ticket.id) is None
    other = store.put(fresh(body=prompt))
    assert store.remove(other.id) and not store.remove(other.id) and not on_disk(prompt)


def test_a_completion_comes_too_late_for_a_ticket_that_was_removed(store: QueueStore) -> None:
    ticket = store.put(fresh())
    claim = store.claim()
    assert claim is not None and store.remove(ticket.id)
    assert not store.complete(claim, "d", b"a", "{}") and store.find(ticket.id) is None


def test_a_worker_that_is_lost_each_time_kills_its_ticket(
    tmp_path: Path, store: QueueStore, clock: HandClock
) -> None:
    ticket = store.put(fresh())
    for _ in range(RULES.tries):
        assert store.claim() is not None
        clock.advance(RULES.lease_s)
    assert store.claim() is None
    assert found(store, ticket).code == "worker_lost"


def test_H03_what_cannot_be_written_is_not_acknowledged(
    store: QueueStore, clock: HandClock
) -> None:
    store.put(fresh())
    store.connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageUnavailable):
        store.put(fresh(body=b"x" * 1_000_000))
    assert store.counts.waiting == 1
    store.connection.execute("PRAGMA max_page_count = 1000000")
    store.put(fresh())
    assert store.counts.waiting == 2
