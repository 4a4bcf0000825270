"""Versions that were rolled back wait for a person: released, retired, or left to their default."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.states import State, Step
from service.domain.errors import Conflict, HeadgateError
from service.domain.records import Key, Version
from service.experimentation.desk import Asked
from service.feedback.promoting import Drafted
from service.people.asked import Found, Ruled
from tests.conftest import HandClock
from tests.service.experimentation.test_guard import BY, Bench, told
from tests.service.experimentation.test_promotions import harmed

pytestmark = pytest.mark.slow
KEY = Key("k", 0, "desk", "operator", "", "", "")
DAY_S = 86_400.0


async def made(here: Bench) -> Version:
    return await asyncio.wrap_future(here.experiments.versions.create(Drafted("uniform", {}), BY))


async def rolled_back(here: Bench, version: Version, clock: HandClock) -> None:
    clock.advance(1)
    mine = await here.running(settings={"version": version.id})
    await here.harmed(mine.id)
    assert here.state(mine.id) is State.ROLLED_BACK
    clock.advance(901)


async def waiting(here: Bench) -> list[Found]:
    await here.runtime.people.turn()
    return here.runtime.people.desk.open()


async def decide(here: Bench, found: Found, verdict: str) -> None:
    ruled = Ruled(verdict, "ann", "looked at the evidence", KEY)
    await here.runtime.people.desk.decide(found.item.id, ruled, "")


def test_a_version_in_quarantine_is_released_and_counted_anew(tmp_path: Path) -> None:
    clock = HandClock()
    names: list[Version] = []

    async def story(here: Bench) -> None:
        version = await made(here)
        names.append(version)
        assert await waiting(here) == []
        await rolled_back(here, version, clock)
        (found,) = await waiting(here)
        assert (found.item.subject, found.item.why) == (version.id, "rolled back")
        assert len(await waiting(here)) == 1, "once"
        await decide(here, found, "leave")
        await rolled_back(here, version, clock)
        (found,) = await waiting(here)
        assert found.item.why == "quarantined"
        with pytest.raises(Conflict, match="headgate review list"):
            await here.experiments.promotions.promote(version.id, BY)
        with pytest.raises(HeadgateError, match="release, retire, leave"):
            await decide(here, found, "bless")
        await decide(here, found, "release")
        assert await waiting(here) == [] and here.experiments.desk.rollbacks(version.id) == 0
        assert here.acts("review.policy")[-1]["verdict"] == "release"
        await rolled_back(here, version, clock)
        assert here.experiments.desk.rollbacks(version.id) == 1

    async def after(here: Bench) -> None:
        desk = here.experiments.desk
        assert desk.rollbacks(names[0].id) == 1
        (found,) = await waiting(here)  # the one from before the restart, or put now
        assert len(await waiting(here)) == 1
        await decide(here, found, "retire")
        with pytest.raises(Conflict) as caught:
            await here.running(settings={"version": names[0].id}, slug="again")
        assert caught.value.code == "version_retired"

    async def last(here: Bench) -> None:
        with pytest.raises(Conflict, match="retired"):
            await here.experiments.promotions.promote(names[0].id, BY)
        assert await waiting(here) == []

    for each in (story, after, last):
        told(each, tmp_path, clock=clock)


def test_what_nobody_rules_is_retired_if_in_quarantine_else_left(tmp_path: Path) -> None:
    clock = HandClock()

    async def story(here: Bench) -> None:
        version = await made(here)
        await rolled_back(here, version, clock)
        (found,) = await waiting(here)
        clock.advance(3 * DAY_S)
        assert await waiting(here) == []
        ended = here.runtime.people.desk.find(found.item.id)
        assert ended is not None and ended.end is not None
        assert (ended.state, ended.end.verdict, ended.end.reviewer) == (
            "defaulted", "leave", "headgate",
        )  # fmt: skip
        here.experiments.desk.check_version(version.id)
        await rolled_back(here, version, clock)
        assert len(await waiting(here)) == 1
        clock.advance(3 * DAY_S)
        assert await waiting(here) == []
        with pytest.raises(Conflict, match="retired"):
            here.experiments.desk.check_version(version.id)
        assert [each["verdict"] for each in here.acts("review.policy")] == ["leave", "retire"]
        assert "1 of policy" in here.runtime.people.warnings()[0]

    told(story, tmp_path, clock=clock)


def test_a_promotion_that_the_service_took_back_waits_for_a_person(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        version, people = await made(here), here.runtime.people
        await here.experiments.promotions.promote(version.id, BY)
        (watch,) = here.experiments.promotions.watches()
        assert await waiting(here) == []
        await harmed(here, watch.id)
        await here.experiments.guard.settle()
        most = here.runtime.plan.review.policy.model_copy(update={"most_open": 0})
        review = here.runtime.plan.review.model_copy(update={"policy": most})
        plan = here.runtime.plan
        here.runtime.plan = plan.model_copy(update={"review": review})
        assert await waiting(here) == [] and not people.desk.passed_over.counts()
        here.runtime.plan = plan
        (found,) = await waiting(here)
        assert (found.item.subject, found.item.why) == (version.id, "rolled back")
        with pytest.raises(Conflict) as caught:
            people_check(here, found, here.runtime.live.current.mark.version_id)
        assert caught.value.code == "version_in_use"

    told(story, tmp_path)


def people_check(here: Bench, found: Found, version: str) -> None:
    """Retire another version by that item."""
    item = replace(found.item, subject=version)
    here.runtime.people._parts.versions.check(item, "retire")


def test_what_serves_now_is_not_retired(tmp_path: Path) -> None:
    clock = HandClock()

    async def story(here: Bench) -> None:
        version = await made(here)
        await rolled_back(here, version, clock)
        (found,) = await waiting(here)
        mine = await here.running(settings={"version": version.id})
        with pytest.raises(Conflict) as caught:
            await decide(here, found, "retire")
        assert caught.value.code == "version_in_use" and mine.id in caught.value.message
        await here.experiments.desk.take(mine.id, Asked(Step.STOP, BY))
        await decide(here, found, "retire")

    told(story, tmp_path, clock=clock)
