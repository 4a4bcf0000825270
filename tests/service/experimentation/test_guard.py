"""The guard at its work: rolls back, holds, warns, cools down, and goes on after a restart."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.design_json import from_json
from experiments.states import State, Step
from service.domain.clock import new_id
from service.domain.errors import Conflict
from service.domain.experiments import Assigned, How
from service.domain.records import Decision, Mode, Outcome
from service.experimentation.desk import Asked
from service.feedback.promoting import Drafted, Signature
from service.runtime import Runtime
from service.storage.errors import WriteFailed
from service.storage.experiments import Conducted
from service.storage.history import connect
from tests.conftest import HandClock, make_runtime, plan_text
from tests.service.experimentation.rig import design_of
from tests.service.storage.test_tables import decision, outcome

BY = Signature("ann", "the test wants it so")
GUARDED = [{"metric": "error_rate", "least": 5}]


class Bench:
    """A runtime, and outcomes as traffic would end."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.experiments = runtime, runtime.experiments

    async def running(self, guardrails: Any = GUARDED, **more: Any) -> Conducted:
        """An experiment with half of the units in it."""
        text = json.dumps(design_of(guardrails=guardrails, **more))
        desk = self.experiments.desk
        made = await desk.create(from_json(text), "main", 1.0, BY)
        await desk.take(made.id, Asked(Step.START, BY, percent=50, unproven=True))
        return desk.find(made.id)

    def ends(self, name: str, variant: str, failed: bool, unit: str = "", **more: Any) -> Decision:
        """A request of the experiment ends, logged as traffic is."""
        unit = unit or new_id()
        version = self.runtime.learner.version.id
        now_us = self.runtime.clock.wall_us()
        share = more.pop("share", 0.5)
        made = decision(assigned=(Assigned(name, variant, share, unit),), at_us=now_us)
        made = replace(made, id=new_id(), policy=replace(made.policy, version_id=version))
        ended: Outcome = replace(outcome(made), at_us=now_us, mode=Mode.RANDOMISED,
                                 status=503 if failed else 200, **more)  # fmt: skip
        self.runtime.ledger.decision(made)
        self.runtime.ledger.outcome(ended)
        return made

    async def harmed(self, name: str, failures: int = 12) -> None:
        """The treatment fails, the control does not."""
        for _ in range(failures):
            self.ends(name, "control", False)
            self.ends(name, "treated", True)
            await asyncio.sleep(0)
        await self.experiments.guard.settle()

    def state(self, name: str) -> State:
        return self.experiments.desk.find(name).standing.state

    def acts(self, act: str) -> list[dict[str, Any]]:
        self.runtime.kept.log.flush().result(10)
        rows = self.runtime.kept.database.cursor().execute(
            "SELECT subject, reason, detail FROM acts WHERE act = ? ORDER BY log_seq", [act]
        ).fetchall()  # fmt: skip
        return [{"subject": s, "reason": r, **json.loads(d)} for s, r, d in rows]


@asynccontextmanager
async def bench(state: Path, clock: Any = None, more: str = "") -> AsyncIterator[Bench]:
    runtime = make_runtime(state, plan_text("http://127.0.0.1:1") + more, clock=clock)
    await runtime.start()
    try:
        yield Bench(runtime)
    finally:
        await runtime.stop()


def told(story: Callable[[Bench], Awaitable[None]], state: Path, **more: Any) -> None:
    async def run() -> None:
        async with bench(state, **more) as found:
            await story(found)

    asyncio.run(run())


def test_harm_is_rolled_back_and_what_it_rests_on_is_recorded(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        mine = await here.running()
        assert here.runtime.router._parts.assignments.current.running
        await here.harmed(mine.id)
        assert here.state(mine.id) is State.ROLLED_BACK
        assert not here.runtime.router._parts.assignments.current.active
        step = here.experiments.desk.find(mine.id).steps[-1]
        cause = json.loads(step.cause)
        assert (step.author, cause["metric"], cause["treatment"]) == (
            "headgate", "error_rate", "treated",
        )  # fmt: skip
        assert cause["e_value"] >= cause["threshold"] == 20.0
        assert cause["failed_units"][0] == 0 and 5 <= cause["failed_units"][1] <= 7
        assert cause["n_of"] == "requests" and min(cause["n"]) >= 5
        assert cause["live_version"] == here.runtime.learner.version.id
        here.runtime.kept.log.flush().result(10)
        await asyncio.to_thread(here.runtime.publish)
        rows = connect(here.runtime.kept.state_dir).execute(cause["query"]).fetchall()
        assert [row[0] for row in rows] == ["control", "treated"]
        assert (rows[0][3], rows[1][3]) == (0, 12)  # units that failed
        assert here.acts("experiment.roll_back")[0]["e_value"] == cause["e_value"]

    told(story, tmp_path)


def test_nothing_is_said_below_the_least_nor_of_one_unit_that_fails_often(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        mine = await here.running([{"metric": "error_rate", "least": 40}])
        await here.harmed(mine.id, 30)
        assert here.state(mine.id) is State.RUNNING
        await here.harmed(mine.id, 15)
        assert here.state(mine.id) is State.ROLLED_BACK
        again = await here.running(slug="unit")
        for _ in range(40):
            here.ends(again.id, "treated", True, unit="the same")
        await here.experiments.guard.settle()
        assert here.state(again.id) is State.RUNNING

    told(story, tmp_path)


@pytest.mark.slow
def test_dry_runs_warnings_and_holds_move_nothing(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        desk, guard = here.experiments.desk, here.experiments.guard
        for number, (more, act) in enumerate((
            ({"dry_run": True}, "guardrail.would"), ({"action": "warn"}, "guardrail.warns"),
            ({"action": "hold"}, "guardrail.holds"),
        )):  # fmt: skip
            mine = await here.running([GUARDED[0] | more], slug=f"e{number}")
            await here.harmed(mine.id)
            assert here.state(mine.id) is State.RUNNING
            (logged,) = here.acts(act)
            assert logged["subject"] == mine.id and logged["e_value"] >= 20.0
            assert any("error_rate of treated" in each for each in guard.warnings())
            await desk.take(mine.id, Asked(Step.STOP, BY))
            if act == "guardrail.holds":
                with pytest.raises(Conflict, match="is held: error_rate"):  # stopped or not
                    await desk.take(mine.id, Asked(Step.SHIP, BY, "treated"))
            await desk.take(mine.id, Asked(Step.ROLL_BACK, BY))
        held = await here.running([GUARDED[0] | {"action": "hold"}], slug="held")
        await here.harmed(held.id)
        with pytest.raises(Conflict, match="is held: error_rate"):
            await desk.take(held.id, Asked(Step.RAMP, BY))
        await desk.take(held.id, Asked(Step.PAUSE, BY))
        await desk.take(held.id, Asked(Step.RESUME, BY))
        with pytest.raises(Conflict, match="is held: error_rate"):
            await desk.take(held.id, Asked(Step.RAMP, BY))
        await desk.take(held.id, Asked(Step.STOP, BY))

    async def after(here: Bench) -> None:
        with pytest.raises(Conflict, match="is held: error_rate"):
            await here.experiments.desk.take("held", Asked(Step.SHIP, BY, "treated"))
        await here.experiments.desk.take("held", Asked(Step.ROLL_BACK, BY))
        assert here.experiments.desk.holds == {}

    told(story, tmp_path)
    told(after, tmp_path)


@pytest.mark.slow
def test_one_rollback_a_quarter_of_an_hour_and_then_quarantine(tmp_path: Path) -> None:
    clock = HandClock()

    async def story(here: Bench) -> None:
        desk = here.experiments.desk
        made = await asyncio.wrap_future(
            here.experiments.versions.create(Drafted("uniform", {}), BY)
        )
        settings = {"version": made.id}
        first = await here.running(settings=settings)
        await here.harmed(first.id)
        assert here.state(first.id) is State.ROLLED_BACK and desk.rollbacks(made.id) == 1
        second = await here.running(settings=settings)
        await here.harmed(second.id)
        assert here.state(second.id) is State.RUNNING  # cools down: held instead
        assert "15 minutes" in here.acts("guardrail.cools_down")[0]["reason"]
        await desk.take(second.id, Asked(Step.STOP, BY))
        await desk.take(second.id, Asked(Step.ROLL_BACK, BY))
        assert desk.rollbacks(made.id) == 1  # people's rollbacks do not count
        clock.advance(901)
        third = await here.running(settings=settings)
        await here.harmed(third.id)
        assert here.state(third.id) is State.ROLLED_BACK and desk.rollbacks(made.id) == 2
        with pytest.raises(Conflict, match="quarantine"):
            await here.running(settings=settings)
        with pytest.raises(Conflict, match="quarantine"):
            await here.experiments.promotions.promote(made.id, BY)

    told(story, tmp_path, clock=clock)


def test_a_restart_keeps_the_evidence(tmp_path: Path) -> None:
    async def before(here: Bench) -> None:
        mine = await here.running()
        await here.harmed(mine.id, 4)
        assert here.state(mine.id) is State.RUNNING

    async def after(here: Bench) -> None:
        watched = here.experiments.guard._watched["one@1"]
        assert watched.watches["error_rate", "treated"].failures == (0, 4)
        await here.harmed("one@1", 3)
        assert here.state("one@1") is State.ROLLED_BACK

    told(before, tmp_path)
    told(after, tmp_path)


def test_a_promotion_that_harms_gives_way_to_the_version_before_byte_for_byte(
    tmp_path: Path,
) -> None:
    clock = HandClock()

    async def story(here: Bench) -> None:
        learner, store = here.runtime.learner, here.experiments.versions.store
        before = learner.version
        made = await asyncio.wrap_future(
            here.experiments.versions.create(Drafted("uniform", {}), BY)
        )
        clock.advance(60)
        await here.experiments.promotions.promote(made.id, BY)
        (watch,) = here.experiments.promotions.watches()
        good = store.checkpoints_of(before.id)[-1]
        clock.advance(60)
        for _ in range(60):  # all well at first
            here.ends(watch.id, "after", False, share=0.9)
        clock.advance(60)
        for number in range(200):
            here.ends(watch.id, "after", number % 2 == 0, share=0.9)
            if number % 10 == 0:
                here.ends(watch.id, "before", False, share=0.1)
                await asyncio.sleep(0)
        await here.experiments.guard.settle()
        assert here.state(watch.id) is State.ROLLED_BACK
        assert here.runtime.live.current.mark.version_id == before.id
        last = store.promotions[-1]
        assert (last.how, last.author, last.version_id) == (How.ROLLED_BACK, "headgate", before.id)
        assert last.restored_id == good.id  # its last from before the harm
        frozen = hashlib.sha256(learner.policy.freeze()).hexdigest()
        assert frozen == good.sha256
        cause = json.loads(last.cause)
        assert cause["onset_us"] > good.at_us and cause["metric"] == "error_rate"
        assert here.experiments.desk.rollbacks(made.id) == 1

    told(story, tmp_path, clock=clock)


def test_a_watch_without_an_alarm_ends_by_itself(tmp_path: Path) -> None:
    clock = HandClock()

    async def story(here: Bench) -> None:
        made = await asyncio.wrap_future(
            here.experiments.versions.create(Drafted("uniform", {}), BY)
        )
        await here.experiments.promotions.promote(made.id, BY)
        (watch,) = here.experiments.promotions.watches()
        assert here.experiments.followers.wanted
        clock.advance(3_000)
        await here.experiments.guard.look()
        assert here.state(watch.id) is State.RUNNING
        clock.advance(601)
        await here.experiments.guard.look()
        assert here.state(watch.id) is State.SHIPPED
        assert not here.runtime.router._parts.assignments.current.active
        assert here.experiments.followers.wanted == {} and not here.runtime.learner.others
        assert here.runtime.live.current.mark.version_id == made.id

    told(story, tmp_path, clock=clock)


def test_what_is_slow_is_seen_in_the_log(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        mine = await here.running([{"metric": "latency_mean", "least": 100, "tolerance": 0.1}])
        for number in range(300):
            here.ends(mine.id, "control", False, latency_s=1.0 + number % 10 / 10)
            here.ends(mine.id, "treated", False, latency_s=2.0 + number % 10 / 10)
        here.runtime.kept.log.flush().result(10)
        await here.experiments.guard.look()
        await here.experiments.guard.settle()
        assert here.state(mine.id) is State.ROLLED_BACK
        cause = json.loads(here.experiments.desk.find(mine.id).steps[-1].cause)
        assert (cause["metric"], cause["n"], cause["n_of"]) == (
            "latency_mean", [300, 300], "units",
        )  # fmt: skip

    told(story, tmp_path)


def test_data_that_are_not_what_was_drawn_are_told_and_hold(tmp_path: Path) -> None:
    async def story(here: Bench) -> None:
        mine = await here.running([])
        for number in range(400):
            here.ends(mine.id, "control" if number % 4 else "treated", False)
        here.runtime.kept.log.flush().result(10)
        await here.experiments.guard.look()
        assert "is invalid: units stand 300 to 100" in here.experiments.guard.warnings()[0]
        with pytest.raises(Conflict, match="not what was drawn"):
            await here.experiments.desk.take(mine.id, Asked(Step.RAMP, BY))

    told(story, tmp_path)


def test_what_must_be_undone_is_undone_while_the_log_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(here: Bench) -> None:
        mine = await here.running()
        database = here.runtime.kept.database

        def full(batches: object) -> None:
            raise WriteFailed("no space left on device")

        with monkeypatch.context() as broken:
            broken.setattr(database, "write", full)
            await here.harmed(mine.id)
            assert here.state(mine.id) is State.ROLLED_BACK
            assert not here.runtime.router._parts.assignments.current.active
            assert any("incomplete" in each for each in here.experiments.guard.warnings())
        async with asyncio.timeout(20):
            while not here.runtime.kept.log.healthy:
                await asyncio.sleep(0.05)
        await here.experiments.guard.look()
        assert here.acts("experiment.roll_back")[0]["subject"] == mine.id

    told(story, tmp_path)
