"""Served answers are drawn by lot, judged beside, kept without words, and rated where proven."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.domain.clock import new_id
from service.domain.judging import Drawn
from service.domain.records import Decision, Feedback, Key
from service.feedback.intake import Given, Taken
from service.orchestration import sampling as subject
from service.orchestration.sampling import Sampler, SamplerParts, lot, streamed_text
from service.people import watching
from service.storage.cases import Case, rows_of
from tests.service.orchestration.judges import Bench
from tests.service.orchestration.rig import SECRET, SMALL, WIDE, end

WORDS = "the words of the answer"


class Book:
    """An intake that keeps what it is given."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.given = bench, list[tuple[Given, Key]]()

    async def take(self, case: Case, given: Given, key: Key, along: Any = ()) -> Taken:
        await asyncio.wrap_future(self.bench.log.append_durable(*along))
        self.given.append((given, key))
        made = Feedback(new_id(), case.decision.id, 0, given.metric, given.kind, key.id, 0.5, None,
                        0.5, None, None, None, "", given.tags)  # fmt: skip
        return Taken(made, True)


class Setting:
    def __init__(self) -> None:
        self.bench = Bench(share=1.0, metric="rating")
        self.bench.talker.words[WIDE] = WORDS
        self.bench.talker.worth = lambda prompt, text: (0.75, ())
        self.proven, self.cases, self.rated = True, dict[str, Case](), list[Feedback]()
        self.book = Book(self.bench)
        parts = SamplerParts(
            self.bench.judges, self.bench.log, self.bench.clock, self.case, lambda: self.book,  # type: ignore[arg-type,return-value]
            lambda judge: self.proven, lambda metric: False,
            lambda case, feedback: self.rated.append(feedback),
        )  # fmt: skip
        self.sampler = Sampler(parts)
        self.sampler.take_rules()

    async def case(self, decision_id: str) -> Case | None:
        return self.cases.get(decision_id)

    async def answered(self, **more: Any) -> Decision:
        decision, request = self.bench.decide(**more)
        self.cases.setdefault(decision.id, Case(decision))
        answer, served = await self.bench.dispatcher.complete(decision, request)
        self.sampler.saw(decision, request, answer.body, served)
        async with asyncio.timeout(20):
            while self.sampler.under_way:
                await asyncio.sleep(0.002)
        return decision

    def rows(self) -> list[dict[str, Any]]:
        self.bench.log.flush().result(5)
        cursor = self.bench.database.cursor()
        return rows_of(cursor, "SELECT * FROM judgings ORDER BY log_seq")


@pytest.fixture
async def at() -> AsyncIterator[Setting]:
    made = Setting()
    yield made
    await made.sampler.stop()
    await end(made.bench)


async def test_a_proven_judges_score_is_a_rating_and_no_text_is_kept(at: Setting) -> None:
    decision = await at.answered()
    (row,) = at.rows()
    assert str(row["decision_id"]) == decision.id and row["deployment"] == WIDE
    assert (row["judge"], row["value"], row["probability"], row["taught"]) == (
        SMALL,
        0.75,
        1.0,
        True,
    )
    assert row["length"] == len(WORDS)
    assert SECRET not in str(row) and WORDS not in str(row)
    ((given, key),) = at.book.given
    assert (given.metric, given.value, given.kind, key.id) == (
        "rating",
        0.75,
        "judge",
        "judge:small",
    )
    assert at.rated and at.sampler.counts["rated"] == 1
    judged = [a for a in at.bench.attempts if a.role.value == "judge"]
    assert [a.number for a in judged] == [12, 13] and {a.decision_id for a in judged} == {
        decision.id
    }
    assert row["cost_micro_usd"] == sum(a.usage.cost_micro_usd for a in judged)


@pytest.mark.parametrize("why", ["unproven", "weight", "person", "inconsistent", "unread", "gone"])
async def test_what_does_not_teach_is_kept_all_the_same(at: Setting, why: str) -> None:
    decision, request = at.bench.decide()
    case = Case(decision)
    at.cases[decision.id] = case
    at.proven = why != "unproven"
    if why == "weight":
        at.bench.rule(share=1.0, metric="rating", weight=0.0)
    if why == "person":
        case.rated(Feedback("f", decision.id, 0, "rating", "user", "k", 1.0, None, 1.0, WIDE, None,
                            None, "", ()))  # fmt: skip
    if why == "inconsistent":
        at.bench.talker.says = lambda asked: f"{asked.code} A"
    if why == "unread":
        at.bench.talker.says = lambda asked: "A"
    if why == "gone":
        at.cases.clear()
    answer, served = await at.bench.dispatcher.complete(decision, request)
    at.sampler.saw(decision, request, answer.body, served)
    async with asyncio.timeout(20):
        while at.sampler.under_way:
            await asyncio.sleep(0.002)
    (row,) = at.rows()
    assert not row["taught"] and not at.book.given
    assert (row["value"] is None) == (why == "unread")


async def test_the_lot_and_its_share_are_logged(at: Setting) -> None:
    at.bench.rule(share=0.3, metric="rating")
    at.sampler.take_rules()
    made = [await at.answered() for _ in range(40)]
    expected = [each.id for each in made if lot(each.id) < 0.3]
    assert [str(row["decision_id"]) for row in at.rows()] == expected
    assert {row["probability"] for row in at.rows()} <= {0.3}


async def test_a_gate_decides_before_the_lot(at: Setting) -> None:
    told: list[tuple[str, str]] = []

    def gate(decision: Decision, deployment: str) -> Drawn | None:
        told.append((decision.id, deployment))
        return [Drawn(False, 0.05), Drawn(True, 0.05), None][(len(told) - 1) % 3]

    at.sampler.gate = gate
    assert at.bench.judges.gate is gate
    made = [await at.answered() for _ in range(3)]
    assert [deployment for _, deployment in told] == [WIDE] * 3
    assert [str(row["decision_id"]) for row in at.rows()] == [made[1].id, made[2].id]
    assert [row["probability"] for row in at.rows()] == [0.05, 1.0]


async def test_a_gate_or_a_store_that_stumbles_harms_nobody(at: Setting) -> None:
    def gate(decision: Decision, deployment: str) -> Drawn | None:
        raise RuntimeError

    at.sampler.gate = gate
    await at.answered()
    assert at.rows() == [] and len(at.bench.outcomes) == 1


@pytest.mark.parametrize("bound", ["held", "bytes", "late", "image"])
async def test_what_is_held_is_bounded(
    at: Setting, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {
        "held": "no room",
        "bytes": "too long",
        "late": "too late",
        "image": "more than words",
    }
    if bound == "held":
        monkeypatch.setattr(subject, "MOST_HELD", 0)
    if bound == "bytes":
        monkeypatch.setattr(subject, "MOST_BYTES", 10)
    if bound == "late":
        monkeypatch.setattr(subject, "LATE_S", -1.0)
    if bound == "image":
        monkeypatch.setattr(subject, "judgeable", lambda request: False)
    await at.answered()
    assert at.sampler.counts[counted[bound]] == 1 and at.rows() == [] and not at.sampler._held


async def test_off_it_does_nothing_and_a_stop_lets_go(at: Setting) -> None:
    at.bench.rule(share=0.0)
    at.sampler.take_rules()
    await at.answered()
    assert at.rows() == [] and at.sampler.counts == {}
    at.bench.rule(share=1.0)
    at.sampler.take_rules()
    decision, request = at.bench.decide()
    answer, served = await at.bench.dispatcher.complete(decision, request)
    at.sampler.saw(decision, request, answer.body, served)
    await at.sampler.stop()
    assert at.sampler.under_way == 0 and not at.sampler._held


def test_the_lots_are_even_and_apart_from_those_by_which_people_are_asked() -> None:
    ids = [new_id() for _ in range(4_000)]
    judge, people, teach = (
        [each < 0.2 for each in map(draw, ids)]
        for draw in (lot, watching.lot, lambda each: lot(each, "teach"))
    )
    for lots in (judge, teach):
        assert abs(sum(lots) / len(ids) - 0.2) < 0.03
    for other in (people, teach):
        both = sum(one and two for one, two in zip(judge, other, strict=True)) / len(ids)
        assert abs(both - 0.04) < 0.015, "a twenty-fifth, as of two lots apart"


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (b'data: {"choices":[{"index":0,"delta":{"content":"a "}}]}\n\n'
         b'data: {"choices":[{"delta":{"content":"b"}},{"index":1,"delta":{"content":"x"}}]}\n\n'
         b'data: {"choices":[]}\n\ndata: [DONE]\n\n', "a b"),
        (b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', None),
        (b"data: nonsense\n\n", None), (b": comment\n\n", None), (b"", None),
    ],
)  # fmt: skip
def test_a_stream_is_read_to_its_words(events: bytes, text: str | None) -> None:
    assert streamed_text(events) == text


def test_a_stream_too_long_is_not_heard_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MOST_BYTES", 100)
    stream = subject.Stream(Drawn(True, 1.0))
    for _ in range(1_000):
        stream.heard(b"x" * 10)
    assert len(stream.pieces) == 11
