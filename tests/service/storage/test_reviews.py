"""The queue of review: open until decided once, the same after a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.domain.refusals import Review, ReviewDecision
from service.storage import reviews
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.reviews import OPEN, Reviewed, ReviewStore
from tests.conftest import HandClock
from tests.service.storage.test_refusals import refusal, review


class Queue:
    """A store over a log."""

    def __init__(self) -> None:
        self.clock, self.database = HandClock(), Database(None)
        self.log = EventLog(self.database)
        self.log.start()
        self.store = self.restarted()

    def restarted(self) -> ReviewStore:
        return ReviewStore(self.database, self.clock, known_s=3_600.0)

    def opened(self, name: str = "p/x") -> Review:
        made = review(refusal(name, self.clock.wall_us()))
        self.log.append_durable(made).result(5)
        assert self.store.put(made)
        return made

    def decide(self, found: Review, verdict: str) -> ReviewDecision:
        assert self.store.claim(found.id) == found
        made = ReviewDecision(found.id, self.clock.wall_us(), verdict, "ann", "looked at it")
        self.log.append_durable(made).result(5)
        self.store.settle(found.id, verdict)
        return made


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.log.stop()
    made.database.close()


def test_open_then_decided_and_the_same_after_a_restart(queue: Queue) -> None:
    first, second = queue.opened("p/x"), queue.opened("p/y")
    ruling = queue.decide(first, "uphold")
    for store in (queue.store, queue.restarted()):
        assert store.open() == [second] and store.counts() == (1, 0)
        assert store.find(first.id) == Reviewed(first, ruling)
        assert store.find(second.id) == Reviewed(second, None)
        assert store.decided(10) == [Reviewed(first, ruling)]
        assert [store.standing(name) for name in ("p/x", "p/y", "p/z")] == ["uphold", OPEN, ""]
        assert store.claim(first.id) is None and store.find("nothing") is None


def test_only_one_may_decide(queue: Queue) -> None:
    made = queue.opened()
    assert queue.store.claim(made.id) == made and queue.store.claim(made.id) is None
    assert queue.store.open() == [made], "open until the ruling is durable"
    queue.store.settle(made.id, None)
    assert queue.store.claim(made.id) == made


def test_overdue(queue: Queue) -> None:
    queue.opened("p/x")
    queue.clock.advance(30.0)
    queue.opened("p/y")
    assert queue.store.counts() == (2, 0)
    queue.clock.advance(31.0)
    assert queue.store.counts() == (2, 1)


def test_the_newest_decided_come_first_and_no_more_than_asked_for(queue: Queue) -> None:
    made = [queue.opened(f"p/{number}") for number in range(3)]
    for each in made:
        queue.decide(each, "dismiss")
    assert [each.review for each in queue.store.decided(2)] == [made[2], made[1]]


def test_the_queue_is_bounded(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "MOST_OPEN", 2)
    monkeypatch.setattr(reviews, "MOST_KNOWN", 2)
    queue.opened("p/1")
    second = queue.opened("p/2")
    assert not queue.store.put(review(refusal("p/3")))
    queue.decide(second, "allow")
    queue.opened("p/3")
    assert len(queue.store._standing) == 2
