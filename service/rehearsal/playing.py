"""The day played: the whole service on virtual time, its callers, and what these saw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from service.app import create_app
from service.bootstrap.build import build
from service.config import Settings
from service.domain.clock import moment_us, parse_id
from service.plan.whole import Plan
from service.providers.calling import OverHTTP
from service.providers.simulated import Weather
from service.rehearsal.inside import App, Exchange, Inside, ask
from service.rehearsal.patient import Patient, Sent
from service.rehearsal.seen import Seen
from service.rehearsal.traffic import DAY_S, Day, day
from service.rehearsal.virtual import SeededIds, VirtualClock, VirtualLoop, play
from service.rehearsal.world import Trouble, World
from service.runtime import Runtime
from service.simulate import SimulatedProviders

START_US = 1_780_358_400_000_000  # 2026-06-02, a Tuesday, 00:00 UTC
KEY = "hg-rehearsal-only-on-this-clock"
AFTER_S = 1_800.0  # for tickets that wait when the day ends
# Housekeeping at the pace of a day; what is done by the minute or the request stays as it is.
CALM_S = {
    "weights": 300.0, "propensities": 300.0, "approvals": 60.0, "disk": 3_600.0,
    "publication": 43_200.0, "key uses": 3_600.0, "responses": 900.0, "outage": 5.0, "queue": 5.0,
    "queue_sweep": 30.0, "webhooks": 300.0, "alerts": 20.0, "expiry": 15.0, "review": 60.0,
    "batches": 10.0,
}  # fmt: skip
ELSE_S = 900.0
CHECKPOINT_S = 3_600.0
NONE = ("reviews",)  # a day has no week to look back on


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which day: how many requests, from which seed, with which troubles, on which plan."""

    plan: Plan
    requests: int
    seed: int
    troubles: tuple[Trouble, ...] = ()


@dataclass(slots=True)
class Played:
    """A day that is over: what the callers saw, and where its history lies."""

    wanted: Wanted
    state_dir: Path
    seen: list[Seen] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)  # the batches that were handed in
    world: World | None = None
    told: dict[str, object] = field(default_factory=dict)  # by the service itself, at the end


def played(wanted: Wanted, state_dir: Path, progress: Callable[[int], None]) -> Played:
    """Play the day to its end in this thread; ``progress`` is told how many requests have ended."""
    clock = VirtualClock(START_US)
    loop, found = VirtualLoop(clock), Played(wanted, state_dir)
    plot = day(wanted.requests, wanted.seed)
    main = _Play(wanted, plot, clock, loop, found).run(progress)
    return play(main, loop, SeededIds(clock, wanted.seed))


class _Play:
    """One day under way."""

    def __init__(
        self, wanted: Wanted, plot: Day, clock: VirtualClock, loop: VirtualLoop, found: Played
    ) -> None:
        self._wanted, self._plot, self._clock, self._loop = wanted, plot, clock, loop
        self._found = found
        self._world = found.world = World(wanted.seed, clock.monotonic_s, wanted.troubles)
        self._world.texts = plot.texts

    async def run(self, progress: Callable[[int], None]) -> Played:
        runtime = self._built()
        app: App = create_app(runtime)
        await runtime.start()
        runtime.load.lag.stop()  # how late this process is says nothing of a made clock
        try:
            await self._traffic(app, progress)
            await self._tickets(app)
            await self._ask_service(app)
        finally:
            runtime.learner.turn()
            runtime.learner.save(runtime.learner.fold)
            await runtime.stop()
        return self._found

    def _built(self) -> Runtime:
        """The service as its plan says; calls, ids, chances and time are the day's."""
        settings = Settings(self._found.state_dir, KEY, "a key for the hashes of this day alone")
        runtime = build(self._wanted.plan, settings, self._clock, self._wanted.seed)
        runtime.kept.log.at_once = True
        runtime.learner.stop()  # its thread; it learns in the loop's, before time goes on
        runtime.learner.checkpoint_s = CHECKPOINT_S
        self._loop.before_time(runtime.learner.turn)
        simulated = SimulatedProviders(self._world)
        simulated.modal = self._world.studio
        inside = Inside(simulated.app())
        for provider in runtime.providers.values():
            assert isinstance(provider, OverHTTP)
            provider.through(inside)
        if runtime.queue is not None:
            runtime.queue.chance.seed(f"queue:{self._wanted.seed}")
        if runtime.batches is not None:
            runtime.batches.chance.seed(f"batches:{self._wanted.seed}")
        for job in runtime.scheduler.jobs:
            slow = max(job.every_s, CALM_S.get(job.name, ELSE_S))
            runtime.scheduler.put(replace(job, every_s=0.0 if job.name in NONE else slow))
        return runtime

    async def _traffic(self, app: App, progress: Callable[[int], None]) -> None:
        running: set[asyncio.Task[None]] = set()
        ended = 0

        def over(task: asyncio.Task[None] | None = None) -> None:
            nonlocal ended
            if task is not None:
                running.discard(task)
            ended += 1
            progress(ended)

        patient = Patient(app, self._clock.monotonic_s, KEY, partial(self._rate, app), over)
        batches = self._wanted.plan.batches is not None
        files = asyncio.create_task(patient.run()) if batches else None
        self._found.sent = patient.sent
        for wish in self._plot.wishes:
            await asyncio.sleep(max(wish.at_s - self._clock.now_s, 0.0))
            self._found.seen.append(seen := Seen(wish))
            if batches and wish.patient:
                patient.keep(seen)
                continue
            task = asyncio.create_task(self._caller(app, seen))
            running.add(task)
            task.add_done_callback(over)
        await asyncio.sleep(max(DAY_S - self._clock.now_s, 0.0))
        while running:
            await asyncio.wait(set(running))
        if files is not None:
            await files

    async def _caller(self, app: App, seen: Seen) -> None:
        """Ask, read the answer, and perhaps rate it a little later."""
        began_s = self._clock.now_s
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        body = json.dumps(seen.wish.body()).encode()
        exchange = Exchange(app, ("POST", seen.wish.path), headers, body)
        seen.status, told = await exchange.head()
        seen.first_s = self._clock.now_s - began_s
        data = await exchange.body()
        seen.took_s = self._clock.now_s - began_s
        seen.decision_id = told.get("x-headgate-decision-id", "")
        seen.deployment = told.get("x-headgate-deployment", "")
        seen.cache = told.get("x-headgate-cache", "")
        seen.tier = int(told.get("x-headgate-tier", "0"))
        if seen.status == 202:
            seen.ticket = json.loads(data)["id"]
        elif seen.status >= 400:
            seen.code = str(json.loads(data)["error"]["code"])
        elif seen.wish.rates and not seen.wish.refused and not seen.wish.flows:
            await asyncio.sleep(20.0 + 100.0 * (seen.wish.number % 7) / 7.0)
            await self._rate(app, seen, KEY)

    async def _rate(self, app: App, seen: Seen, key: str) -> None:
        assert self._found.world is not None
        model = self._model(seen.deployment)
        true = self._found.world.quality(model, seen.wish.prompt)
        stars = min(max(round(1.0 + 4.0 * true + seen.wish.noise), 1), 5)
        given = {"id": seen.decision_id, "metric": "stars", "value": stars,
                 "user": f"user-{seen.wish.number % 400}"}  # fmt: skip
        await ask(app, ("POST", "/v1/feedback"), key, json.dumps(given).encode())

    def _model(self, deployment: str) -> str:
        return next(e.model for e in self._wanted.plan.deployments if e.name == deployment)

    async def _tickets(self, app: App) -> None:
        """Poll every ticket until it has ended, or the time after the day is over."""
        waiting = [each for each in self._found.seen if each.ticket]
        until_s = self._clock.now_s + AFTER_S
        while waiting and self._clock.now_s < until_s:
            for each in waiting:
                _, _, data = await ask(app, ("GET", f"/v1/tickets/{each.ticket}"), KEY)
                shown = json.loads(data)
                each.ended = shown.get("status", "")
                if each.ended == "done":
                    each.decision_id = parse_id(shown["headgate"]["decision_id"]) or ""
                    each.deployment = shown["headgate"]["deployment"]
                    ended, began = shown["ended_at"], shown["created_at"]
                    each.waited_s = (moment_us(ended) - moment_us(began)) / 1e6
            waiting = [each for each in waiting if each.ended in ("queued", "running")]
            if waiting:
                await asyncio.sleep(30.0)

    async def _ask_service(self, app: App) -> None:
        """What the service itself says at the end of the day."""
        for name, path in (
            ("alerts", "/admin/alerts"), ("review", "/admin/review/stats"),
            ("prediction", "/admin/prediction"),
        ):  # fmt: skip
            status, _, data = await ask(app, ("GET", path), KEY)
            self._found.told[name] = json.loads(data) if status == 200 else {}
        prediction = self._found.told.pop("prediction")  # with CPU times, which are a machine's
        if isinstance(prediction, dict):
            self._found.told["skipping"] = prediction.get("skipping") or {}


TROUBLES = (
    Trouble("pigment", 45_000.0, 46_200.0, Weather(error_rate=1.0), "fresco away, 12:30-12:50"),
    Trouble("river", 37_800.0, 39_000.0, Weather(error_rate=1.0), "journeyman away, 10:30-10:50"),
    Trouble("brook", 57_600.0, 59_100.0, Weather(latency_factor=30.0),
            "apprentice 30 times slower, 16:00-16:25"),
)  # fmt: skip
