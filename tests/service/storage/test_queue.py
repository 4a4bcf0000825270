"""The queue's store: idempotent, bounded, fair, patient, and what is erased is gone from disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.clock import new_id
from service.domain.errors import Conflict, StorageUnavailable, UpstreamExhausted
from service.domain.tickets import Ended, NewTicket, State, Ticket
from service.storage.queue import QueueRules, QueueStore
from service.storage.queue_views import ahead, ready_s
from tests.conftest import HandClock

RULES = QueueRules(most_waiting=8, lease_s=30.0, tries=3, keep_answers_s=1_000.0,
                   keep_dead_s=2_000.0, fetched_s=100.0)  # fmt: skip
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


def test_what_waits_for_a_budget_is_due_then_and_is_no_sign_of_trouble(
    store: QueueStore, clock: HandClock
) -> None:
    ticket = store.put(fresh())
    claim = store.claim()
    assert claim is not None and store.release(claim, 300.0, False, "budget_exceeded", "no room")
    assert ready_s(store.connection, ticket.id) == clock.monotonic_s() + 300.0
    clock.advance(200.0)
    assert store.recount().oldest_s == 0.0 and store.counts.waiting == 1
    other = store.put(fresh())
    clock.advance(5.0)
    assert store.recount().oldest_s == 5.0
    assert ready_s(store.connection, other.id) <= clock.monotonic_s()
    assert ready_s(store.connection, "nobody's") == 0.0


def test_the_queue_is_bounded_and_says_so(store: QueueStore) -> None:
    for _ in range(RULES.most_waiting):
        store.put(fresh())
    with pytest.raises(UpstreamExhausted) as caught:
        store.put(fresh())
    assert caught.value.code == "queue_full" and caught.value.retry_after_s
    claim = store.claim()
    assert claim is not None and store.complete(claim, "d", b"a", "{}")
    store.put(fresh())


@pytest.mark.parametrize(
    ("bound", "said"),
    [({"most_per_key": 2}, "this key already has 2"), ({"most_bytes": 300_000}, "no more bytes")],
)
def test_one_key_and_the_disk_are_bounded_too(
    tmp_path: Path, clock: HandClock, bound: dict[str, int], said: str
) -> None:
    store = QueueStore(tmp_path, replace(RULES, **bound), clock, boot="one")
    for _ in range(2):
        store.put(fresh(body=b"x" * 100_000))
    with pytest.raises(UpstreamExhausted, match=said):
        store.put(fresh(body=b"x" * 100_000))
    store.put(fresh("other", body=b"x"))
    claim = store.claim()
    assert claim is not None and store.complete(claim, "d", b"a", "{}")
    store.put(fresh(body=b"x" * 100_000))
    store.close()


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
