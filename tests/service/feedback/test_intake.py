"""Ratings: placed on their scale, idempotent, revisable, refused when they cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.clock import SystemClock
from service.domain.errors import Conflict, Gone, Unprocessable
from service.domain.records import Key
from service.feedback.intake import Given, Intake, Scale, Taken
from service.storage.cases import Case
from tests.service.feedback.test_learner import Home

KEY = Key("key", 0, "k", "caller", "", "", "d")
SCALES = {"rating": Scale("unit"), "stars": Scale("stars"), "topic": Scale("labels", ("a", "b"))}


class Desk:
    """An intake over a learner's home."""

    def __init__(self, state: Path) -> None:
        self.home = Home(state)
        self.home.learner.start()
        self.intake = Intake(SCALES, 30.0, self.home.log, self.home.learner, SystemClock())
        self.case: Case = self.home.round(None)

    async def take(self, value: bool | float | str, key: Key = KEY, **more: object) -> Taken:
        given = Given("rating", value, "user", None, "", ())
        return await self.intake.take(self.case, replace(given, **more), key)  # type: ignore[arg-type]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("metric", "value", "quality"),
    [("rating", True, 1.0), ("rating", False, 0.0), ("rating", 0.25, 0.25), ("rating", 1, 1.0),
     ("stars", 1, 0.0), ("stars", 4, 0.75), ("stars", True, 1.0), ("topic", "a", None)],
)  # fmt: skip
async def test_values_are_placed_on_their_scale(
    desk: Desk, metric: str, value: float, quality: float | None
) -> None:
    taken = await desk.take(value, metric=metric)
    assert taken.feedback.quality == quality
    assert taken.applied == (metric == "rating")
    desk.home.leave()


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [("rating", float("nan"), "finite"), ("rating", float("inf"), "finite"), ("rating", 1.01, "0"),
     ("rating", -0.1, "lies in"), ("rating", 10**400, "finite"),
     ("rating", "good", "labels"), ("stars", 0, "1 to 5"),
     ("stars", 6, "1 to 5"), ("topic", "c", "one of a, b"), ("topic", 1.0, "one of"),
     ("nothing", 1.0, "unknown metric")],
)  # fmt: skip
async def test_what_cannot_be_is_refused(desk: Desk, metric: str, value: float, said: str) -> None:
    with pytest.raises(Unprocessable, match=said):
        await desk.take(value, metric=metric)
    assert desk.case.feedback == {}
    desk.home.leave()


async def test_a_second_value_revises_and_a_repeat_changes_nothing(desk: Desk) -> None:
    first = await desk.take(0.2)
    same = await desk.take(0.2)
    second = await desk.take(0.8)
    assert same.feedback.id == first.feedback.id and not same.applied
    assert second.feedback.revises == first.feedback.id
    other = await desk.take(0.4, key=replace(KEY, id="other"))
    assert other.feedback.revises is None and len(desk.case.feedback) == 2
    desk.home.leave()


async def test_an_idempotency_key_gives_the_same_answer_or_a_conflict(desk: Desk) -> None:
    first = await desk.take(0.2, idempotency_key="k1")
    again = await desk.take(0.2, idempotency_key="k1")
    assert again.feedback.id == first.feedback.id
    with pytest.raises(Conflict, match="another rating"):
        await desk.take(0.9, idempotency_key="k1")
    await desk.take(0.9, idempotency_key="k2")
    late = await desk.take(0.2, idempotency_key="k1")  # a retry of the first, after the second
    assert late.feedback.id == first.feedback.id and not late.applied
    assert desk.case.feedback["rating", "user", "key"].value == 0.9
    desk.home.leave()


async def test_an_old_answer_is_closed(desk: Desk) -> None:
    old = replace(desk.case.decision, at_us=desk.case.decision.at_us - 31 * 86_400_000_000)
    desk.case.decision = old
    with pytest.raises(Gone, match="older than 30 days"):
        await desk.take(1.0)
    desk.home.leave()
