"""What was taken is found again, and what was never learned; in doubt nothing is learned again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from service.domain.acting import Person, Told, act_of
from service.domain.clock import new_id
from service.feedback.apply import EVIDENCE, prior, tick
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.evidence import TAKEN, taken_evidence, unlearned_evidence


class Kept:
    """A live file in memory, and its log."""

    def __init__(self) -> None:
        self.database = Database(None)
        self.log = EventLog(self.database)
        self.log.start()
        self.seq = 0

    def take(self) -> str:
        """An act, its update still to come."""
        told = Told(TAKEN, new_id(), "rated elsewhere", "ann", {"source": "eval", "content": "c"})
        self.log.append_durable(act_of(Person("ops", "k", "operator"), 1, told)).result(5)
        return told.subject

    def learn(self, evidence_id: str = "") -> None:
        """An update: of that evidence, or a tick."""
        self.seq += 1
        made = prior(1, evidence_id, "v", EVIDENCE) if evidence_id else tick(1, "v")
        self.log.append_durable(made.numbered(self.seq, self.seq, "v")).result(5)

    def unlearned(self) -> list[str]:
        return unlearned_evidence(self.database.cursor(), self.seq)


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.log.stop()
    made.database.close()


def test_what_was_taken_newest_first(kept: Kept) -> None:
    first, second = kept.take(), kept.take()
    cursor = kept.database.cursor()
    assert [each.id for each in taken_evidence(cursor)] == [second, first]
    [newest] = taken_evidence(cursor, 1)
    assert (newest.id, newest.actor, newest.author) == (second, "ops", "ann")
    assert json.loads(json.dumps(newest.detail)) == {"source": "eval", "content": "c"}


def test_what_has_no_update_was_not_learned(kept: Kept) -> None:
    first = kept.take()
    assert kept.unlearned() == [first], "before any update"
    kept.learn()
    second = kept.take()
    assert kept.unlearned() == [first, second]
    kept.learn(first)
    assert kept.unlearned() == [second]
    kept.learn(second)
    assert kept.unlearned() == []


def test_where_updates_are_gone_only_what_is_sure_is_learned(kept: Kept) -> None:
    kept.learn()
    first = kept.take()
    kept.learn(first)
    kept.learn()
    kept.database.cursor().execute("DELETE FROM updates WHERE seq <= 2")  # as retention does
    assert kept.unlearned() == [], "its update may be among those"
    second = kept.take()
    assert kept.unlearned() == [second], "all updates since its act are there"
    kept.database.cursor().execute("DELETE FROM updates")
    assert kept.unlearned() == []
