"""Items of review: open until their end is durable, with the time that is left after a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.domain.reviews import ReviewItem, ReviewTurn, Turn
from service.storage.cases import rows_of
from service.storage.catalogue import views
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.review_items import Ended, ReviewItems
from tests.conftest import HandClock
from tests.service.people.rig import DUE_S, item


class Shelf:
    """Items over a log."""

    def __init__(self) -> None:
        self.clock, self.database = HandClock(), Database(None)
        self.log = EventLog(self.database)
        self.log.start()
        self.items = self.restarted()

    def restarted(self) -> ReviewItems:
        return ReviewItems(self.database, self.clock)

    def put(self, **more: object) -> ReviewItem:
        made = item(self.clock, **more)
        self.log.append_durable(made).result(5)
        self.items.put(made)
        return made

    def end(self, of: ReviewItem, turn: Turn = Turn.DECIDED, verdict: str = "code") -> ReviewTurn:
        made = ReviewTurn(of.id, self.clock.wall_us(), turn.value, "k", "ann", None, verdict,
                          "looked at", "once")  # fmt: skip
        self.log.append_durable(made).result(5)
        self.items.take_out(of.id)
        return made


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.log.stop()
    made.database.close()


def test_open_then_ended_and_the_same_after_a_restart(shelf: Shelf) -> None:
    one, two = shelf.put(), shelf.put(kind="policy", decision_id=None, confidence=None)
    turn = shelf.end(one)
    for items in (shelf.items, shelf.restarted()):
        assert items.open() == [two] and items.get(two.id) == two
        assert (items.count("classification"), items.count("policy")) == (0, 1)
        assert items.find(one.id) == Ended(one, turn) and items.end_of(one.id) == turn
        assert items.find(two.id) == Ended(two, None) and items.find("nothing") is None
        assert items.ended("", Turn.DECIDED, "", 5) == [Ended(one, turn)]
        assert items.ended("policy", Turn.DECIDED, "", 5) == []
        assert items.of_kind("classification", 5) == [Ended(one, turn)]
    shelf.items.take_out("nothing")


@pytest.mark.parametrize(("jump_s", "left_s"), [(0.0, 3_600.0), (-1e6, DUE_S), (1e6, -996_400.0)])
def test_what_is_left_by_the_wall_clock_and_never_more_than_it_had(
    shelf: Shelf, jump_s: float, left_s: float
) -> None:
    one = shelf.put()
    shelf.clock.advance(DUE_S - 3_600.0)
    shelf.clock.wall += int(jump_s * 1e6)
    assert shelf.items.left_s(one.id) == 3_600.0
    assert shelf.restarted().left_s(one.id) == left_s


def test_claims_are_those_that_nothing_followed(shelf: Shelf) -> None:
    names = [shelf.put().id for _ in range(3)]
    now_us = shelf.clock.wall_us()
    claims = [ReviewTurn(each, now_us, Turn.CLAIMED, "k", "ann", now_us + 9) for each in names]
    released = ReviewTurn(names[0], now_us, Turn.RELEASED, "k", "ann")
    left = ReviewTurn(names[1], now_us, Turn.DEFAULTED, "", "headgate", None, "leave")
    shelf.log.append_durable(*claims, released, left).result(5)
    assert shelf.items.claims() == [claims[2]]


def test_figures_and_labels_by_tenant(shelf: Shelf) -> None:
    right, wrong, left, unsaid = (shelf.put(probability=0.5) for _ in range(4))
    shelf.put(tenant="other")
    shelf.clock.advance(60.0)
    shelf.end(right)
    shelf.end(wrong, verdict="maths")
    shelf.end(left, Turn.DEFAULTED, "leave")
    shelf.end(unsaid, verdict="dismiss")
    (row,) = shelf.items.figures(0, "acme")
    assert row == {"kind": "classification", "decided": 3, "defaulted": 1, "took_s": 60.0,
                   "agreement": 0.5}  # fmt: skip
    assert shelf.items.figures(shelf.clock.wall_us() + 1, "acme") == []
    assert [row["verdict"] for row in shelf.items.labels(0, "acme")] == [
        "code", "maths", "leave", "dismiss",
    ]  # fmt: skip
    assert len(shelf.items.labels(0, "")) == 5


def test_the_view_of_labels_has_what_people_said(shelf: Shelf) -> None:
    right, wrong, left = (shelf.put(probability=0.5) for _ in range(3))
    shelf.end(right)
    shelf.end(wrong, verdict="maths")
    shelf.end(left, Turn.DEFAULTED, "leave")
    rows = rows_of(shelf.database.cursor(), views()["labels"].sql)
    assert [(r["guess"], r["label"], r["right"], r["weight"]) for r in rows] == [
        ("code", "code", True, 2.0), ("code", "maths", False, 2.0),
    ]  # fmt: skip
    assert {str(r["decision_id"]) for r in rows} == {right.decision_id, wrong.decision_id}
