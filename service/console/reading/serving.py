"""What serves now: shares by task, now and over the last hour, and whose will stands over them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from learning.policies.base import STATES
from service.domain.records import Override
from service.monitoring.live import WINDOW_S
from service.runtime import Runtime
from service.storage import lookups
from service.storage.errors import StorageError

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Serves:
    """A deployment's part of a task. ``tone``: its colour, the same on every page."""

    deployment: str
    tone: int
    share: float
    quality: float
    cost_usd: float
    latency_s: float
    error_rate: float
    state: str
    meaning: str
    why: str


@dataclass(frozen=True, slots=True)
class TaskServed:
    """Who serves a task, the largest share first."""

    task: str
    rows: tuple[Serves, ...]


@dataclass(frozen=True, slots=True)
class Serving:
    """The page's figures; durations in seconds, money in dollars."""

    policy: str
    kind: str
    version_id: str
    live_since_us: int
    how: str
    requests: int
    failed: int
    under_way: int
    per_minute: float
    p50_s: float | None
    p95_s: float | None
    usd_per_minute: float
    tasks: tuple[TaskServed, ...]
    overrides: tuple[Override, ...]
    experiments: tuple[tuple[str, int], ...]
    may_go_back: bool


def tones(runtime: Runtime) -> dict[str, int]:
    """The colour of each deployment, by its place in the catalogue."""
    return {each.name: i for i, each in enumerate(runtime.catalog)}


def serving(runtime: Runtime) -> Serving:
    """As it is at this moment."""
    board, live = runtime.board, runtime.learner.version
    store = runtime.experiments.versions.store
    last = store.promotions[-1] if store.promotions else None
    p50, p95 = board.latency()
    up_s = max(1.0, min(WINDOW_S, runtime.clock.monotonic_s() - board.started_s))
    recent = board.standings()
    calls, cost = sum(s.calls for s in recent), sum(s.cost_micro_usd for s in recent)
    return Serving(
        live.policy, live.kind, live.id, last.at_us if last else live.at_us,
        last.how if last else "plan", board.requests, board.failed, runtime.under_way,
        60.0 * calls / up_s, p50, p95, 60.0 * cost / 1e6 / up_s, _tasks(runtime),
        runtime.kept.overrides.holding(),
        tuple((each.id, each.standing.exposed) for each in runtime.experiments.desk.running()),
        bool(last and last.from_version_id),
    )  # fmt: skip


def _tasks(runtime: Runtime) -> tuple[TaskServed, ...]:
    tone, meanings = tones(runtime), dict(STATES)
    found: dict[str, list[Serves]] = {}
    for each in runtime.weights.current:
        found.setdefault(each.task, []).append(
            Serves(
                each.deployment, tone.get(each.deployment, 0), each.share, each.quality,
                each.cost_usd, each.latency_s, each.error_rate, each.state,
                meanings.get(each.state, ""), each.why,
            )
        )  # fmt: skip
    order = {name: i for i, name in enumerate(runtime.plan.task_names)}
    return tuple(
        TaskServed(task, tuple(sorted(rows, key=lambda row: -row.share)))
        for task, rows in sorted(found.items(), key=lambda pair: order.get(pair[0], 99))
    )


@dataclass(frozen=True, slots=True)
class Past:
    """Shares of a task over time: at every time one for each deployment."""

    task: str
    at_us: tuple[int, ...]
    shares: tuple[tuple[str, int, tuple[float | None, ...]], ...]  # name, tone, its shares


async def past(runtime: Runtime, hours: int) -> tuple[Past, ...]:
    """The last hours, in at most 120 stretches; empty where the log cannot be read now."""
    until = runtime.clock.wall_us()
    width = hours * HOUR_US // 120
    since = (until - hours * HOUR_US) // width * width
    log = runtime.kept.database.cursor
    try:
        rows = await asyncio.to_thread(lambda: lookups.shares(log(), since - 2 * width, width))
    except StorageError:
        return ()
    return tuple(_filled(rows, since, until, width, tones(runtime)))


def _filled(
    rows: list[lookups.Share], since: int, until: int, width: int, tone: dict[str, int]
) -> Iterable[Past]:
    """A share stands until the next one is kept; before the first there is none."""
    times = tuple(range(since, until + 1, width))
    for task in sorted({each.task for each in rows}):
        mine = [each for each in rows if each.task == task]
        names = sorted({each.deployment for each in mine}, key=lambda name: tone.get(name, 99))
        kept = {(each.deployment, each.at_us): each.share for each in mine}
        first = min(each.at_us for each in mine)
        told = []
        for name in names:
            last: float | None = None
            line = []
            for at in (since - 2 * width, since - width, *times):
                last = kept.get((name, at), last)
                line.append(last if at >= first else None)
            told.append((name, tone.get(name, 0), tuple(line[2:])))
        yield Past(task, times, tuple(told))
