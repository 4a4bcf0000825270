"""The desk of review: one claimant, one ruling, durable; late items are left to their default."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from service.domain.errors import Conflict, NotFound, StorageUnavailable, Unprocessable
from service.domain.reviews import Kind, Turn
from service.people import desk as desk_module
from service.people.desk import Sought
from service.storage.cases import rows_of
from service.storage.errors import WriteFailed
from tests.service.people.rig import ANN, BEN, DUE_S, KEY, LEASE_S, Table, item, ruled
from tests.service.storage.test_refusals import refusal, review


@pytest.fixture
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.end()


def put(table: Table, **more: Any) -> str:
    made = item(table.clock, **more)
    assert table.desk.put(made)
    return made.id


def turns(table: Table) -> list[tuple[str, str, str | None]]:
    table.log.flush().result(5)
    rows = rows_of(table.database.cursor(), "SELECT * FROM review_turns ORDER BY log_seq")
    return [(row["turn"], row["reviewer"], row["verdict"]) for row in rows]


def test_claimed_decided_and_the_same_after_a_restart(table: Table) -> None:
    one, two = put(table), put(table)
    found = table.claim(one)
    assert found.state == "claimed" and found.lease is not None
    assert found.lease.until_us == table.clock.wall_us() + int(LEASE_S * 1e6)
    ended = table.decide(one)
    assert ended.state == "decided" and ended.end is not None and ended.end.verdict == "maths"
    for _ in range(2):
        assert [each.item.id for each in table.desk.open()] == [two]
        seen = table.desk.find(one)
        assert seen is not None and seen.end == ended.end and seen.item == ended.item
        with pytest.raises(Conflict, match="decided already"):
            table.decide(one)
        (only,) = table.desk.ended("", Turn.DECIDED, "", 10)
        assert only.item.id == one
        table.restart()
    assert turns(table) == [("claimed", "ann", None), ("decided", "ann", "maths")]
    (act,) = rows_of(table.database.cursor(), "SELECT * FROM acts")
    assert (act["act"], act["actor"], act["subject"]) == ("review.classification", "ann", one)


def test_of_two_claimants_at_once_one_gets_it(table: Table) -> None:
    one = put(table)

    async def both() -> list[Any]:
        claims = (table.desk.claim(one, who, "") for who in (ANN, BEN))
        return await asyncio.gather(*claims, return_exceptions=True)

    results = table.run(both())
    refused = [each for each in results if isinstance(each, Conflict)]
    assert len(refused) == 1 and refused[0].code == "review_claimed"
    assert 0.0 < (refused[0].retry_after_s or 0.0) <= LEASE_S


def test_of_two_rulings_at_once_one_counts(table: Table) -> None:
    one = put(table)

    async def both() -> list[Any]:
        rulings = (table.desk.decide(one, ruled(who), "") for who in (ANN, BEN))
        return await asyncio.gather(*rulings, return_exceptions=True)

    assert sum(isinstance(each, Conflict) for each in table.run(both())) == 1
    assert len(turns(table)) == 1


def test_only_who_holds_the_lease_decides(table: Table) -> None:
    one = put(table)
    table.claim(one, ANN)
    with pytest.raises(Conflict, match="ann works on this review"):
        table.decide(one, ruled(BEN))
    with pytest.raises(Conflict):
        table.release(one, BEN)
    table.clock.advance(LEASE_S)
    with pytest.raises(Conflict) as lapsed:
        table.decide(one, ruled(ANN))
    assert lapsed.value.code == "claim_lapsed"
    table.claim(one, BEN)
    with pytest.raises(Conflict, match="ben works"):
        table.decide(one, ruled(ANN))
    assert table.decide(one, ruled(BEN)).state == "decided"


def test_a_lease_is_renewed_and_let_go_of(table: Table) -> None:
    one = put(table)
    table.claim(one)
    table.clock.advance(LEASE_S - 1)
    table.claim(one)
    table.clock.advance(LEASE_S - 1)
    assert table.state(one) == "claimed"
    assert table.release(one).state == "open" and table.release(one).state == "open"
    table.restart()
    assert table.state(one) == "open" and table.claim(one, BEN).state == "claimed"


def test_a_lease_outlives_a_restart_and_never_grows(table: Table) -> None:
    one = put(table)
    table.claim(one)
    table.clock.advance(LEASE_S / 2)
    table.restart()
    with pytest.raises(Conflict):
        table.claim(one, BEN)
    table.clock.wall -= int(DUE_S * 1e6)  # set back by a day, and started again
    table.restart()
    table.clock.advance(LEASE_S)
    assert table.claim(one, BEN).state == "claimed"


def test_the_same_ruling_is_taken_once(table: Table) -> None:
    one = put(table)
    first = table.decide(one, ruled(once="x"))
    assert table.decide(one, ruled(once="x")).end == first.end
    table.restart()
    assert table.decide(one, ruled(once="x")).end == first.end
    for other in (ruled(once="y"), ruled(), ruled(BEN, "code", once="x")):
        with pytest.raises(Conflict):
            table.decide(one, other)
    assert len(turns(table)) == 1


def test_what_is_late_is_left_to_its_default_once_nobody_works_on_it(table: Table) -> None:
    one, two = put(table), put(table)
    table.clock.advance(DUE_S - 60)
    table.claim(one)
    assert table.default_late() == 0
    table.clock.advance(61)
    standing = table.desk.counts()
    assert (standing.waiting, standing.late, standing.claimed) == (
        {"classification": 2}, {"classification": 2}, 1,
    )  # fmt: skip
    assert table.default_late() == 1 and table.state(two) == "defaulted"
    assert table.desk.defaulted.counts() == {"classification": 1}
    with pytest.raises(Conflict, match="time of this review is over"):
        table.claim(one)  # not renewed for ever
    assert table.state(one) == "claimed"
    table.clock.advance(LEASE_S)
    assert table.default_late() == 1 and table.default_late() == 0
    with pytest.raises(Conflict) as late:
        table.decide(two)
    assert late.value.code == "review_defaulted"
    assert turns(table)[1:] == [("defaulted", "headgate", "leave")] * 2
    table.restart()
    assert not table.desk.open()
    assert len(table.desk.ended("classification", Turn.DEFAULTED, "acme", 10)) == 2
    assert not table.desk.ended("", Turn.DEFAULTED, "other", 10)


def test_a_wall_clock_that_jumps_ends_nothing(table: Table) -> None:
    one = put(table)
    table.claim(one)
    for days in (30, -60):
        table.clock.wall += int(days * 86_400e6)
        assert table.default_late() == 0 and table.state(one) == "claimed"


def test_a_full_queue_passes_over_and_says_so(table: Table) -> None:
    table.most_open = 2
    put(table)
    one = put(table)
    assert not table.desk.put(item(table.clock))
    assert table.desk.passed_over.counts() == {"classification": 1} and len(table.desk.open()) == 2
    assert table.desk.counts().waiting == {"classification": 2}
    text = table.telemetry.text().decode()
    assert 'headgate_review_items_total{how="passed_over",kind="classification"} 1.0' in text
    table.decide(one)
    put(table)


def test_what_cannot_be_made_durable_is_not_taken(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = put(table)
    table.log.flush().result(5)
    write = table.database.write

    def failing(batches: Any) -> None:
        raise WriteFailed("no space left")

    monkeypatch.setattr(table.database, "write", failing)
    with pytest.raises(StorageUnavailable):
        table.claim(one)
    assert table.state(one) == "open"
    with pytest.raises(StorageUnavailable):
        table.decide(one)
    table.clock.advance(DUE_S + 1)
    with pytest.raises(StorageUnavailable):
        table.default_late()
    assert table.state(one) == "open"
    monkeypatch.setattr(table.database, "write", write)
    assert table.default_late() == 1


def test_a_ruling_goes_on_when_its_caller_leaves(table: Table) -> None:
    one = put(table)

    async def left() -> None:
        asked = asyncio.ensure_future(table.desk.decide(one, ruled(), ""))
        while one not in table.desk._busy:
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        while table.desk._tasks:
            await asyncio.sleep(0.001)

    table.run(left())
    assert table.state(one) == "decided"


def test_what_is_not_ones_own_is_not_there(table: Table) -> None:
    one = put(table, tenant="acme")
    for work in (
        table.desk.claim(one, ANN, "other"),
        table.desk.release(one, ANN, "other"),
        table.desk.decide(one, replace(ruled(), key=replace(KEY, tenant="other")), "other"),
        table.desk.claim("nothing", ANN, ""),
    ):
        with pytest.raises(NotFound):
            table.run(work)


def test_a_verdict_that_cannot_be(table: Table) -> None:
    one = put(table)
    with pytest.raises(Unprocessable, match="code, maths, other"):
        table.decide(one, ruled(verdict="poetry"))
    assert table.decide(one, ruled(verdict="dismiss")).state == "decided"


def test_refusals_stand_in_the_same_queue_and_are_never_defaulted(table: Table) -> None:
    made = review(refusal("p/x", table.clock.wall_us()))
    table.log.append_durable(made).result(5)
    table.refusals.reviews.put(made)
    table.claim(made.id, BEN)
    with pytest.raises(Conflict):
        table.decide(made.id, ruled(ANN, "uphold"))
    table.restart()
    (found,) = table.desk.open()
    assert (found.item.kind, found.state, found.item.subject) == (
        Kind.REFUSAL, "claimed", made.incident,
    )  # fmt: skip
    table.clock.advance(10 * DUE_S)
    assert table.default_late() == 0
    table.claim(made.id, ANN)
    table.decide(made.id, ruled(ANN, "uphold", once="x"))
    assert table.decide(made.id, ruled(ANN, "uphold", once="x")).state == "decided"
    assert table.refusals.reviews.standing(made.request_hash) == "uphold"
    (ended,) = table.desk.ended("refusal", Turn.DECIDED, "", 10)
    assert ended.end is not None and ended.end.verdict == "uphold"


def test_a_count_makes_up_nothing_and_a_page_its_own(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews, start_us = table.refusals.reviews, table.clock.wall_us()
    for n in range(10_000):
        reviews.put(review(refusal(f"p/{n}", start_us + 2 * n, tenant=f"t{n % 4}")))
    for n in range(50):
        put(table, at_us=start_us + 2 * n + 1, tenant="t0")
    built: list[str] = []
    for name in ("Found", "found_refusal"):
        real = getattr(desk_module, name)

        def counted(*of: Any, _real: Any = real) -> Any:
            built.append("one")
            return _real(*of)

        monkeypatch.setattr(desk_module, name, counted)
    desk = table.desk
    assert desk.count() == 10_050 and desk.counts().waiting.total() == 10_050
    assert not built
    page = desk.open(40, 60)
    assert [each.item.at_us - start_us for each in page] == list(range(40, 60))
    assert len(built) == 20
    built.clear()
    of_one = desk.open(5, 15, Sought(Kind.REFUSAL, "t2"))
    assert [each.item.at_us - start_us for each in of_one] == [
        2 * (4 * n + 2) for n in range(5, 15)
    ]
    assert len(built) == 10
    built.clear()
    table.desk.leases.take(page[3].item.id, ANN, LEASE_S)
    table.desk.leases.take(page[4].item.id, BEN, LEASE_S)
    claimed = desk.open(0, 100, Sought(claimed=True))
    assert [each.item.id for each in claimed] == [page[3].item.id, page[4].item.id]
    assert desk.open(0, 100, Sought(holder=BEN)) == claimed[1:]
    assert desk.get(page[4].item.id) == claimed[1] and desk.get("none") is None
    assert len(built) == 4
