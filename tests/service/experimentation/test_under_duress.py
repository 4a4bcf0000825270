"""Experiments while the log cannot be written or read: order kept, nothing followed for ever."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.design_json import from_json
from experiments.states import State, Step
from service.domain.clock import new_id
from service.domain.errors import Conflict, StorageUnavailable
from service.domain.experiments import ExperimentRecord, ExperimentStep
from service.experimentation.desk import Asked
from service.feedback.promoting import Drafted
from service.storage.errors import ReadFailed, WriteFailed
from tests.service.experimentation.rig import design_of
from tests.service.experimentation.test_guard import BY, Bench, told


def full(batches: object) -> None:
    raise WriteFailed("no space left on device")


@pytest.mark.slow
def test_steps_are_logged_in_their_order_however_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(here: Bench) -> None:
        mine = await here.running()
        desk = here.experiments.desk
        with monkeypatch.context() as broken:
            broken.setattr(here.runtime.kept.database, "write", full)
            with pytest.raises(StorageUnavailable, match="is paused already"):
                await desk.take(mine.id, Asked(Step.PAUSE, BY))
            with pytest.raises(StorageUnavailable):
                await desk.take(mine.id, Asked(Step.RESUME, BY))
            assert here.state(mine.id) is State.PAUSED
        await desk.take(mine.id, Asked(Step.RESUME, BY))  # before anybody has tried again

    async def after(here: Bench) -> None:
        steps = [each.step for each in here.experiments.desk.find("one").steps]
        assert steps == ["start", "pause", "resume"]

    told(story, tmp_path)
    told(after, tmp_path)


def test_what_ended_while_the_log_cannot_be_written_is_followed_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(here: Bench) -> None:
        versions, followers = here.experiments.versions, here.experiments.followers
        made = await asyncio.wrap_future(versions.create(Drafted("uniform", {}), BY))
        mine = await here.running(settings={"version": made.id})
        assert list(here.runtime.learner.others) == [made.id]
        with monkeypatch.context() as broken:
            broken.setattr(here.runtime.kept.database, "write", full)
            await here.harmed(mine.id)
        assert here.state(mine.id) is State.ROLLED_BACK
        assert followers.wanted == {} and not here.runtime.learner.others

    told(story, tmp_path)


def test_a_log_that_cannot_be_read_stops_no_other_work_of_the_guard(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        guard = here.experiments.guard
        await here.running([{"metric": "latency_mean"}])
        ended: list[int] = []

        def unreadable(experiment: str, since_us: int) -> dict[str, object]:
            raise ReadFailed("the live file cannot be read")

        async def end(now_us: int) -> None:
            ended.append(now_us)

        guard._parts = replace(guard._parts, frame=unreadable)  # type: ignore[arg-type]
        guard._parts.promotions.end_overdue = end  # type: ignore[method-assign]
        await guard.look()
        assert len(ended) == 1

    told(story, tmp_path)


def test_a_log_of_steps_that_is_not_whole_keeps_nobody_from_starting(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        mine = await here.running()
        log = here.runtime.kept.log
        again = mine.steps[-1]  # twice, as where it was not known whether it had been kept
        wrong = ExperimentStep(
            new_id(), mine.id, again.at_us + 1, "resume", "paused", "running", 50, None, "ann",
            "of another build", "{}",
        )  # fmt: skip
        strange = ExperimentRecord(
            "odd@1", again.at_us, "odd", 1, "side", 0, 10, '{"slug": "odd"}', "ann",
            "of another build",
        )  # fmt: skip
        for each in (again, wrong, strange):
            log.append_durable(each).result(10)

    async def after(here: Bench) -> None:
        desk = here.experiments.desk
        assert here.state("one@1") is State.RUNNING and len(desk.find("one").steps) == 1
        assert "not whole" in desk.holds["one@1"] and "odd@1" not in desk.store.known

    told(story, tmp_path)
    told(after, tmp_path)


def test_a_draft_can_be_given_up_and_exposes_nobody(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        desk = here.experiments.desk
        design = from_json(json.dumps(design_of()))
        draft = await desk.create(design, "main", 1.0, BY)
        await here.experiments.promotions.roll_back_experiment(draft.id, BY)
        assert not here.runtime.router._parts.assignments.current.active
        assert (await desk.create(design, "main", 1.0, BY)).id == "one@2"

    told(story, tmp_path)


def test_a_version_that_could_not_be_followed_is_tried_again(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        versions, learner = here.experiments.versions, here.runtime.learner
        made = await asyncio.wrap_future(versions.create(Drafted("uniform", {}), BY))
        await here.running(settings={"version": made.id})
        await asyncio.wrap_future(versions.leave(made.id))  # as where it failed at a restart
        assert here.runtime.live.of(made.id) is None
        await here.experiments.guard.look()
        await asyncio.wrap_future(learner.ask(lambda: None))
        assert here.runtime.live.of(made.id) is not None

    told(story, tmp_path)


def test_no_version_is_tried_where_a_shipped_deployment_answers_all(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        desk, versions = here.experiments.desk, here.experiments.versions
        made = await asyncio.wrap_future(versions.create(Drafted("uniform", {}), BY))
        first = await here.running()
        await desk.take(first.id, Asked(Step.STOP, BY))
        await desk.take(first.id, Asked(Step.SHIP, BY, "treated"))
        with pytest.raises(Conflict, match="one@1 is shipped and gives everybody one deployment"):
            await here.running(slug="two", settings={"version": made.id})
        await desk.take(first.id, Asked(Step.ROLL_BACK, BY))
        await desk.take("two", Asked(Step.START, BY, unproven=True))

    told(story, tmp_path)
