"""Promotions and rollbacks: in effect at once, and no watch that stands in the next one's way."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.design_json import from_json
from experiments.states import State, Step
from service.domain.errors import Conflict, StorageUnavailable, Unprocessable
from service.domain.experiments import How
from service.domain.live import LivePolicy
from service.domain.records import Version
from service.experimentation.desk import Asked
from service.experimentation.promotions import Back
from service.feedback.promoting import Drafted
from service.feedback.versions import Wanted
from service.storage.errors import WriteFailed
from tests.service.experimentation.rig import design_of
from tests.service.experimentation.test_guard import BY, Bench, told

pytestmark = pytest.mark.slow


async def made(here: Bench) -> Version:
    versions = here.experiments.versions
    return await asyncio.wrap_future(versions.create(Drafted("uniform", {}), BY))


async def harmed(here: Bench, watch: str) -> None:
    """The promoted version fails, the one before does not."""
    for number in range(100):
        here.ends(watch, "after", True, share=0.9)
        if number % 10 == 0:
            here.ends(watch, "before", False, share=0.1)
        await asyncio.sleep(0)


def deciding(here: Bench) -> str:
    """The version that the next request gets."""
    assignments = here.runtime.router._parts.assignments.current
    shipped = assignments._nothing.treatment.get("version")
    published = here.runtime.live.of(shipped) if shipped else None
    return (published or here.runtime.live.current).mark.version_id


def test_a_promotion_that_harms_while_the_log_cannot_be_written_is_taken_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(batches: object) -> None:
        raise WriteFailed("no space left on device")

    async def story(here: Bench) -> None:
        before, guard = here.runtime.learner.version.id, here.experiments.guard
        await here.experiments.promotions.promote((await made(here)).id, BY)
        (watch,) = here.experiments.promotions.watches()
        with monkeypatch.context() as broken:
            broken.setattr(here.runtime.kept.database, "write", full)
            await harmed(here, watch.id)
            await guard.settle()
            assert here.state(watch.id) is State.ROLLED_BACK
            assert deciding(here) == before
            assert here.runtime.live.current.mark.version_id != before  # not durable yet
            assert any("incomplete" in each for each in guard.warnings())
        async with asyncio.timeout(20):
            while here.runtime.live.current.mark.version_id != before:
                await guard.look()
        assert deciding(here) == before and not any("incomplete" in e for e in guard.warnings())
        assert not here.runtime.router._parts.assignments.current.active
        assert here.experiments.followers.wanted == {}
        last = here.experiments.versions.store.promotions[-1]
        assert (last.how, last.author) == (How.ROLLED_BACK, "headgate")
        assert json.loads(last.cause)["metric"] == "error_rate"

    told(story, tmp_path)


def test_a_rollback_does_not_wait_for_a_learner_at_other_work(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        before = here.runtime.learner.version.id
        await here.experiments.promotions.promote((await made(here)).id, BY)
        (watch,) = here.experiments.promotions.watches()
        done = threading.Event()
        busy = here.runtime.learner.ask(lambda: done.wait(30))
        try:
            await harmed(here, watch.id)
            for _ in range(10):
                await asyncio.sleep(0)
            assert here.runtime.live.current.mark.version_id != before
            assert deciding(here) == before
        finally:
            done.set()
        await asyncio.wrap_future(busy)
        await here.experiments.guard.settle()
        assert here.runtime.live.current.mark.version_id == deciding(here) == before

    told(story, tmp_path)


def test_neither_does_a_persons(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        before = here.runtime.learner.version.id
        await here.experiments.promotions.promote((await made(here)).id, BY)
        done = threading.Event()
        busy = here.runtime.learner.ask(lambda: done.wait(30))
        back = asyncio.create_task(here.experiments.promotions.roll_back(BY))
        try:
            async with asyncio.timeout(20):
                while deciding(here) != before:
                    await asyncio.sleep(0)
            assert here.runtime.live.current.mark.version_id != before
        finally:
            done.set()
        assert (await back).version_id == here.runtime.live.current.mark.version_id == before
        await asyncio.wrap_future(busy)
        assert not here.runtime.router._parts.assignments.current.active
        assert here.experiments.followers.wanted == {}

    told(story, tmp_path)


def test_who_rolls_back_just_after_the_service_did_does_not_bring_the_harm_back(
    tmp_path: Path,
) -> None:
    async def story(here: Bench) -> None:
        before, bad = here.runtime.learner.version.id, await made(here)
        promotions = here.experiments.promotions
        await promotions.promote(bad.id, BY)
        (watch,) = promotions.watches()
        await harmed(here, watch.id)
        await here.experiments.guard.settle()
        with pytest.raises(Conflict, match="has just returned"):
            await promotions.roll_back(BY)
        assert here.runtime.live.current.mark.version_id == before
        await promotions.roll_back(BY, Back(to=bad.id))
        assert here.runtime.live.current.mark.version_id == bad.id

    told(story, tmp_path)


def test_no_watch_is_in_the_way_of_the_next(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        desk, promotions = here.experiments.desk, here.experiments.promotions
        with pytest.raises(Unprocessable, match="layer: watch is kept"):
            await desk.create(from_json(json.dumps(design_of())), "watch", 0.5, BY)
        for step in (Step.STOP, Step.PAUSE):
            await promotions.promote((await made(here)).id, BY)
            (watch,) = promotions.watches()
            await desk.take(watch.id, Asked(step, BY))
            assert not promotions.watches()
        await promotions.promote((await made(here)).id, BY)
        (watch,) = promotions.watches()
        await promotions.end_watches("the test is over")
        left = await desk.create(watch.design, "watch", 1.0, BY)  # as a kill before its start does
        await promotions.promote((await made(here)).id, BY)
        assert promotions.watches() and here.state(left.id) is State.ROLLED_BACK

    told(story, tmp_path)


def test_nothing_is_shipped_that_could_not_become_live(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        desk, promotions = here.experiments.desk, here.experiments.promotions
        ids, versions = [], [await made(here), await made(here)]
        for slug, version in zip("ab", versions, strict=True):
            design = design_of(slug=slug, settings={"version": version.id})
            mine = await desk.create(from_json(json.dumps(design)), "main", 0.5, BY)
            await desk.take(mine.id, Asked(Step.START, BY, unproven=True))
            ids.append(mine.id)
        await desk.take("a", Asked(Step.STOP, BY))
        with pytest.raises(Conflict, match="b@1 compares versions with the live one"):
            await promotions.ship("a", "treated", BY, unproven=True)
        assert here.state(ids[0]) is State.STOPPED
        await desk.take("b", Asked(Step.ROLL_BACK, BY))
        with pytest.raises(Conflict, match="may not be exposed yet"):
            await promotions.ship("a", "treated", BY)
        await promotions.ship("a", "treated", BY, unproven=True)
        assert here.runtime.live.current.mark.version_id == versions[0].id

    told(story, tmp_path)


def test_what_a_kill_left_half_done_is_done_after_the_restart(tmp_path: Path) -> None:
    """Each part of the story ends where a kill may: before what belongs to an act is logged."""
    ids: dict[str, str] = {}

    async def shipped(here: Bench) -> None:
        ids["first"], ids["new"] = here.runtime.learner.version.id, (await made(here)).id
        mine = await here.running(settings={"version": ids["new"]})
        await here.experiments.desk.take(mine.id, Asked(Step.STOP, BY))
        await here.experiments.desk.take(mine.id, Asked(Step.SHIP, BY, "treated", unproven=True))

    async def promoted(here: Bench) -> None:
        await here.experiments.guard.look()
        assert here.runtime.live.current.mark.version_id == ids["new"]
        assert here.experiments.versions.store.promotions[-1].how == How.SHIPPED
        assert here.experiments.promotions.watches()
        await here.experiments.promotions.end_watches("the test ends it")
        version = await made(here)
        ids["third"] = version.id
        promote = here.experiments.versions.promote(version.id, How.PROMOTED, BY)
        await asyncio.wrap_future(promote)

    async def watched(here: Bench) -> None:
        assert not here.experiments.promotions.watches()
        await here.experiments.guard.look()
        (watch,) = here.experiments.promotions.watches()
        cause = json.dumps({"metric": "error_rate", "onset_us": None})
        harm = Asked(Step.ROLL_BACK, replace(BY, author="headgate", cause=cause))
        await here.experiments.desk.take(watch.id, harm)

    async def returned(here: Bench) -> None:
        assert here.runtime.live.current.mark.version_id == ids["third"]
        await here.experiments.guard.look()
        assert here.runtime.live.current.mark.version_id == ids["new"]
        await here.experiments.guard.look()
        assert here.experiments.followers.wanted == {} == here.runtime.learner.others

    for part in (shipped, promoted, watched, returned):
        told(part, tmp_path)


def test_a_reload_does_not_undo_a_rollback_that_came_while_it_waited(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        learner, promotions = here.runtime.learner, here.experiments.promotions
        before = learner.version.id
        bad = await made(here)
        await promotions.promote(bad.id, BY)
        await promotions.end_watches("nobody watches: the rollback is one step of the learner's")
        wanted = Wanted(bad.policy, bad.kind, {"x": 0}, learner.policy.setup, "ann")
        begun, done = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            done.wait(30)

        busy = learner.ask(work)
        assert await asyncio.to_thread(begun.wait, 30), "what comes now waits behind it"
        change = learner.change(wanted, LivePolicy(here.runtime.live.current), bad.id)
        back = asyncio.create_task(promotions.roll_back(BY))
        await asyncio.sleep(0)
        done.set()
        await back
        await asyncio.wrap_future(busy)
        with pytest.raises(StorageUnavailable, match="another version became live"):
            await asyncio.wrap_future(change)
        assert here.runtime.live.current.mark.version_id == before

    told(story, tmp_path)
