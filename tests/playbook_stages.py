"""What has happened, and happens, on the site of each section of the playbook."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from service.bootstrap.build import build
from service.config import Settings
from service.domain.minutes import MINUTE_US
from service.plan.reading import load
from service.runtime import Runtime
from service.storage.database import FILE
from tests.conftest import KEY, HandClock
from tests.playbook import Duty
from tests.service.faults.host import small_disk
from tests.service.faults.refusing import error
from tests.service.monitoring.minutes import attempt
from tests.upstream import Upstream, http, say

ALL = ("brook", "mill", "river", "fall")


@dataclass(frozen=True)
class Stage:
    """``begin``: what was before the first block; ``before``: what happens before the numbered
    ones. ``disk``: the size of the file system under the state directory, if it has its own.
    """

    begin: Callable[[Duty], None]
    before: Mapping[int, Callable[[Duty], None]] = field(default_factory=dict)
    disk: str = ""


def quiet(duty: Duty) -> None:
    """A service with some traffic behind it."""
    duty.start()
    duty.traffic(80)


def known(duty: Duty) -> None:
    """A service with more behind it, all in the history; made once, each site has its copy."""
    made = duty.shared / "known"
    if not made.exists():
        duty.start()
        duty.traffic(450)
        duty.end()
        shutil.copytree(duty.state, made)
    else:
        shutil.copytree(made, duty.state)
    duty.start()
    duty.traffic(30)


def more(duty: Duty) -> None:
    duty.traffic(40)


def failing(duty: Duty) -> None:
    quiet(duty)
    duty.flow()
    duty.weather("river", error_rate=1.0)


def well(duty: Duty) -> None:
    duty.weather(*ALL)


def bad(duty: Duty) -> None:
    quiet(duty)
    duty.weather("river", quality_shift=-0.6)
    duty.traffic(120)
    duty.published()
    duty.traffic(60)


def full(duty: Duty) -> None:
    """A file that a restore has set aside takes the room."""
    quiet(duty)
    aside = duty.state / f"{FILE}.set-aside-20260503T101500Z"
    with aside.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(200_000)):
            pass
    duty.flow()


def damaged(duty: Duty) -> None:
    """The header of the live file is gone, after all was published."""
    quiet(duty)
    duty.end()
    with (duty.state / FILE).open("r+b") as file:
        file.write(b"\0" * 16_384)


def edited_badly(duty: Duty) -> None:
    with (duty.folder / "plan.yaml").open("a", encoding="utf-8") as plan:
        plan.write("\nbudgts: {usd_per_request: 0.001}\n")


def promoted(duty: Duty) -> None:
    quiet(duty)
    code, told = duty.shell(
        "version=$(headgate policy create --kind fixed --set arm=brook --reason 'brook for all' "
        "| cut -d: -f1) && headgate policy promote $version --reason 'brook is the cheapest'"
    )
    assert code == 0, told
    duty.traffic(40)


def in_an_experiment(duty: Duty) -> None:
    quiet(duty)
    code, told = duty.shell(
        "headgate experiment create examples/experiments/cheaper.yaml "
        "--reason 'a tenth of the money' && "
        "headgate experiment start cheaper --reason 'one per cent first'"
    )
    assert code == 0, told


def alerted(duty: Duty) -> None:
    """river was slow for five minutes, and is; a channel is told."""
    upstream = Upstream()
    upstream.__enter__()
    duty.later(upstream.__exit__)
    upstream.act = say(http(200, b""))
    duty.environment["TEAM_URL"] = f"http://127.0.0.1:{upstream.port}/team"
    duty.write_plan("\nalerts:\n  channels:\n    - {name: team, kind: slack, url_env: TEAM_URL}\n")
    plan, _ = load(duty.folder / "plan.yaml")
    clock = HandClock(int(time.time() * 1e6) - 6 * MINUTE_US)
    asyncio.run(_slow_minutes(build(plan, Settings(duty.state, KEY), clock), clock))
    duty.start()


async def _slow_minutes(runtime: Runtime, clock: HandClock) -> None:
    for _ in range(6):
        await runtime.alerts.turn()
        for _ in range(30):
            runtime.ledger.windows.attempt(attempt(clock.wall_us(), "river", 60.0))
        clock.advance(60.0)
    await runtime.alerts.turn()
    assert runtime.alerts.firing()
    await runtime.stop()


def looked_at(duty: Duty) -> None:
    """The audit has had its first turn, as on every day but a service's first two seconds."""
    quiet(duty)
    duty.settled(lambda: "propensities held" in duty.shell("headgate status")[1])


def tampered(duty: Duty) -> None:
    """Another program has written over a row that nobody had read yet."""
    quiet(duty)
    duty.end(signal.SIGKILL)

    def written_over() -> bool:
        try:
            with duckdb.connect(str(duty.state / FILE)) as live:
                live.execute(
                    "UPDATE decisions SET propensities = [p * 0.5 for p in propensities] "
                    "WHERE id = (SELECT max(id) FROM decisions WHERE mode = 'randomised')"
                )
        except duckdb.IOException:  # the killed one still holds it
            return False
        return True

    duty.settled(written_over)
    duty.start()
    # The audit reads in turns: whoever is on duty comes when the alarm is there.
    duty.settled(lambda: "ALARM" in duty.shell("headgate propensities show")[1])


def nobody_answers(duty: Duty) -> None:
    duty.write_plan("\nqueue: {enabled: true}\n")
    duty.start()
    duty.traffic(30)
    duty.weather(*ALL, error_rate=1.0)
    for patience_s in (3, 600, 600, 600):
        duty.traffic(1, headgate={"queue": True, "deadline_s": patience_s})


def refused(duty: Duty) -> None:
    upstream = Upstream()
    upstream.__enter__()
    duty.later(upstream.__exit__)
    upstream.act = error()
    duty.write_plan("\ntiers: [basic, premium]\n", upstream.url.removesuffix("/v1"))
    duty.start()
    duty.traffic(6, user="u-1", headgate={"tier": "premium"})
    duty.published()


STAGES: Mapping[str, Stage] = {
    "First look": Stage(looked_at),
    "An alert fires": Stage(alerted),
    "A provider degrades": Stage(failing, {3: well}),
    "Answers are bad": Stage(bad),
    "Costs run away": Stage(known),
    "The disk is full": Stage(full, disk="12m"),
    "The live file is damaged": Stage(damaged),
    "A plan is refused": Stage(quiet, {1: edited_badly}),
    "A promotion harms": Stage(promoted),
    "An experiment must stop now": Stage(in_an_experiment),
    "The propensity alarm": Stage(tampered),
    "A queue that grows": Stage(nobody_answers, {1: well}),
    "A refusal storm": Stage(refused),
    "A key has leaked": Stage(known),
    "Stop and start": Stage(quiet),
    "Reading the weights": Stage(known),
    "Finding savings": Stage(known),
    "A policy on the log first": Stage(known, {1: more}),
    "A cheaper deployment, by an experiment": Stage(known),
    "Cost management": Stage(known),
    "Scaling": Stage(quiet),
    "Review calendar": Stage(known),
}


@contextmanager
def ground(stage: Stage, folder: Path) -> Iterator[None]:
    """The folder, and the disk under the state directory where the stage has one of its own."""
    folder.mkdir()
    with ExitStack() as stack:
        if stage.disk:
            stack.enter_context(small_disk(folder / "state", stage.disk))
        yield
