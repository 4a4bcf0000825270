"""Progressive escalation, made from the plan and joined to the runtime."""

from __future__ import annotations

from collections.abc import Sequence

from learning.acceptance import prior_chance
from learning.interaction import Context
from service.domain.catalog import Deployment, typical_usd
from service.domain.clock import Clock
from service.domain.escalation import WAY, RungVerdict
from service.domain.records import Decision
from service.orchestration.escalation.cascade import Cascade
from service.orchestration.escalation.climb import CascadeRules, Foreseen, Ground
from service.orchestration.escalation.standing import (
    Escalation,
    EscalationParts,
    EscalationRules,
)
from service.plan.escalation import EscalationPlan
from service.plan.whole import Plan
from service.routing.again import Again
from service.routing.climbing import Climbing, ClimbRules
from service.routing.foreseeing import FITTED
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.escalations import Rated

JOB, LOOK_S = "escalation", 10.0
DAY_S = 86_400.0


def climbing(
    plan: Plan, catalog: tuple[Deployment, ...], clock: Clock, secret: bytes
) -> Climbing | None:
    """What settles where requests begin; None where the plan does not want it."""
    wanted = plan.escalation
    if wanted is None:
        return None
    rungs = {task: tuple(names) for task, names in wanted.by_task.items()}
    rules = ClimbRules(
        {"": _rungs(wanted, catalog, clock.wall_us()), **rungs},
        frozenset(wanted.tasks),
        wanted.explore,
    )
    made = Climbing(catalog, rules, clock, secret)
    if wanted.again is not None:
        made.again = Again(wanted.again.within_s, wanted.again.alike)
    return made


def _rungs(
    wanted: EscalationPlan, catalog: Sequence[Deployment], at_us: int
) -> tuple[str, ...]:  # fmt: skip
    """As the plan names them, or all of the catalogue by what a usual request costs."""
    if wanted.rungs == "auto":
        return tuple(d.name for d in sorted(catalog, key=lambda d: typical_usd(d, at_us)))
    return tuple(wanted.rungs)


def attach_escalation(runtime: Runtime) -> None:
    """Give a runtime its way of climbing as the log left it; anew when the plan was reloaded."""
    wanted, acting = runtime.plan.escalation, runtime.router.climbing
    ways = [each for each in runtime.answering.ways if each.name != WAY]
    if wanted is None or acting is None:
        runtime.escalation, runtime.answering.ways = None, ways
        runtime.scheduler.put(Job(JOB, 0.0, _nothing))
        return
    worth_usd = wanted.worth_usd
    if worth_usd is None:
        worth_usd = runtime.plan.reward.worth_usd
    rules = CascadeRules(
        worth_usd, wanted.below, wanted.explore, frozenset(wanted.logprobs), wanted.verify or "",
        wanted.judge,
    )  # fmt: skip
    cascade = Cascade(rules, _ground(runtime, wanted.acceptable), acting.answered)
    kept = runtime.kept
    made = Escalation(
        EscalationRules(
            Rated(runtime.plan.reward.metric, wanted.acceptable),
            wanted.half_life_days * DAY_S, worth_usd, wanted.least,
        ),
        EscalationParts(acting, cascade, kept.log, kept.database.cursor, runtime.clock),
    )  # fmt: skip
    made.resume()
    runtime.escalation, runtime.answering.ways = made, [*ways, cascade]

    async def look() -> None:
        if runtime.escalation is not None:
            await runtime.escalation.turn()

    runtime.scheduler.put(Job(JOB, LOOK_S, look))


def _ground(runtime: Runtime, bar: float) -> Ground:
    catalog, live = runtime.catalog, runtime.live
    index = {each.name: at for at, each in enumerate(catalog)}
    priors = {each.name: prior_chance(each.prior_quality, bar) for each in catalog}

    def foresee(decision: Decision, names: Sequence[str]) -> dict[str, Foreseen]:
        """By the policy's estimates; the chance by prediction, where a fit is believed."""
        context = Context(
            decision.features, decision.tokens_in, decision.tokens_out_limit, decision.cost_dial
        )
        scores = live.current.chooser.scores(context, [index[name] for name in names])
        told, at_us = decision.predicted, decision.at_us
        found = {}
        for at, name in enumerate(names):
            chance = told.chance(name) if told is not None and told.state == FITTED else None
            cost_usd = max(float(scores.cost_usd[at]), 0.0)
            if not cost_usd:  # of a policy that foresees none
                cost_usd = typical_usd(catalog[index[name]], at_us)
            latency_s = float(scores.latency_s[at]) or catalog[index[name]].prior_latency_s
            found[name] = Foreseen(
                priors[name] if chance is None else chance, cost_usd, max(latency_s, 0.0)
            )
        return found

    def judge() -> str:
        panel = runtime.panel
        proven = (each for each in panel.judges.rules.judges if panel.proven(each))
        return next(proven, "")

    def record(verdict: RungVerdict) -> None:
        runtime.kept.log.append(verdict)

    return Ground(
        lambda: runtime.dispatcher, foresee, runtime.panel.judges, judge, record, runtime.clock
    )  # fmt: skip


async def _nothing() -> None:
    """In the place of a job that is ended."""
