"""The ensembles of a plan, joined to the runtime: their way, their evidence, their switches."""

from __future__ import annotations

import asyncio

from service.domain.ensembles import Arm
from service.orchestration.ensembles.choosing import Chooser
from service.orchestration.ensembles.rules import Comparing, EnsembleRules, Gathering
from service.orchestration.ensembles.standing import OFF, STATES, Standings
from service.orchestration.ensembles.way import EnsembleWay, WayParts
from service.orchestration.scorers import Check
from service.plan.ensembles import EnsemblePlan
from service.plan.whole import Plan
from service.routing.asked import AUTO
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.cases import rows_of
from service.storage.ensembles import evidence

JOB, LOOK_S = "ensembles", 10.0
WINDOW_US = 90 * 86_400_000_000


def ensemble_rules(plan: Plan) -> tuple[EnsembleRules, ...]:
    """As they are run."""
    return tuple(_rules(each) for each in plan.ensembles)


def _rules(each: EnsemblePlan) -> EnsembleRules:
    check = None
    if each.score is not None:
        check = Check(each.score.scorer, each.score.reference, each.score.options)
    stop = each.stop
    gathering = Gathering(
        each.outputs, each.at_once or each.outputs, each.first, "" if stop is None else stop.rule,
        0.95 if stop is None else stop.sure, each.enough,
    )  # fmt: skip
    comparing = Comparing(
        each.share, each.routed, each.after, each.alpha, each.gain, each.belief
    )  # fmt: skip
    return EnsembleRules(
        each.name, tuple(each.tasks), tuple(each.members), each.within, each.by, each.answers,
        each.letters, each.possible, check, each.fuser or "", each.against or "",
        each.temperature, gathering, comparing,
    )  # fmt: skip


def attach_ensembles(runtime: Runtime) -> None:
    """Give a runtime its ensembles, as the log left them; none where the plan has none."""
    kept = runtime.kept
    standings = Standings(kept.log.append, runtime.clock)
    standings.resume(
        rows_of(
            kept.database.cursor(),
            "SELECT act, subject, reason, detail FROM acts "
            "WHERE act IN (SELECT unnest(?::VARCHAR[])) ORDER BY log_seq",
            [list(STATES)],
        )
    )
    parts = WayParts(
        dispatcher=lambda: runtime.dispatcher,
        plain=lambda: frozenset({AUTO, f"{AUTO}:{runtime.plan.policy.name}"}),
        worth_usd=lambda: runtime.plan.reward.worth_usd,
        chooser=Chooser(runtime.panel.judges),
        log=kept.log.append,
        clock=runtime.clock,
    )
    runtime.ensembles = EnsembleWay(parts, standings)
    found = rows_of(kept.database.cursor(), "SELECT 1 AS one FROM ensembles LIMIT 1")
    runtime.ensembles.ever = bool(found)
    take_ensembles(runtime)


def take_ensembles(runtime: Runtime) -> None:
    """The plan in force."""
    way = runtime.ensembles
    way.standings.take_rules(ensemble_rules(runtime.plan))
    ways = runtime.answering.ways
    if way.standings.rules and way not in ways:
        ways.append(way)
    if not way.standings.rules and way in ways:
        ways.remove(way)

    async def look() -> None:
        await look_at_ensembles(runtime)

    runtime.scheduler.put(Job(JOB, LOOK_S if way.standings.rules else 0.0, look))


async def look_at_ensembles(runtime: Runtime) -> None:
    """What came of them, read beside the loop; and how they stand, in the counters."""
    way = runtime.ensembles
    standings, plan, cursor = way.standings, runtime.plan, runtime.kept.database.cursor
    judged = tuple(each.digest for each in standings.rules if each.judged)
    since_us = runtime.clock.wall_us() - WINDOW_US
    seen = await asyncio.to_thread(
        lambda: evidence(cursor(), since_us, plan.reward.metric, plan.reward.worth_usd, judged)
    )
    standings.look(seen)
    telemetry = runtime.telemetry
    for arm in Arm:
        telemetry.total("ensemble_requests", way.counts[arm], arm.value)
    telemetry.gauge("ensembles_off", float(sum(s.state == OFF for s in standings.all())))
