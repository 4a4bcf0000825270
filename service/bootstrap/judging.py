"""The panel of judges, joined to the runtime."""

from __future__ import annotations

from service.bootstrap.ensembles import attach_ensembles
from service.bootstrap.shadow import strained
from service.domain.judging import rubrics
from service.orchestration.golden import Bar, golden_digest
from service.orchestration.judging import Judges, JudgingRules
from service.orchestration.mirror import MirrorParts
from service.orchestration.panel import Panel, PanelRules
from service.orchestration.rubrics import SHIPPED
from service.orchestration.sampling import Sampler, SamplerParts
from service.orchestration.spend import SharedSpend, day_of
from service.plan.whole import Plan
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.judgings import JudgingStore

TURN_S = 2.0


def attach_judging(runtime: Runtime) -> None:
    """Give a runtime its panel, and the ensembles that it chooses for; today's spend and the checks
    are as the log has them.
    """
    kept, clock = runtime.kept, runtime.clock
    store = JudgingStore(kept.database.cursor)
    spent = store.spent_micro_usd(day_of(clock.wall_us()))
    judges = Judges(
        MirrorParts(
            lambda: runtime.dispatcher,
            kept.overrides.holding,
            lambda: strained(runtime),
            kept.log,
            clock,
        ),
        SharedSpend(0, clock, spent),
    )
    parts = SamplerParts(
        judges=judges,
        log=kept.log,
        clock=clock,
        case=runtime.case,
        intake=lambda: runtime.intake,
        proven=lambda judge: runtime.panel.proven(judge),
        stars=lambda metric: runtime.plan.feedback.metrics[metric].scale == "stars",
        rated=lambda case, feedback: runtime.people.rated(case, feedback),
    )
    runtime.panel = Panel(judges, Sampler(parts), store, kept.log, clock)
    take_judging(runtime)
    runtime.panel.resume()
    attach_ensembles(runtime)

    async def turn() -> None:
        await runtime.panel.turn()
        show(runtime)

    runtime.scheduler.put(Job("judging", TURN_S, turn))


def take_judging(runtime: Runtime) -> None:
    """The plan in force."""
    panel, asked = runtime.panel, runtime.plan.judging
    panel.judges.take_rules(judging_rules(runtime.plan), round(asked.usd_per_day * 1e6))
    panel.rules = PanelRules(
        Bar(asked.golden.least_kappa, asked.golden.most_flipped), asked.golden.auto
    )
    panel.sampler.take_rules()


def judging_rules(plan: Plan) -> JudgingRules:
    asked = plan.judging
    return JudgingRules(
        judges=tuple(asked.judges),
        rubrics=rubrics(SHIPPED, [each.rubric() for each in asked.rubrics], asked.rubric),
        apart=asked.apart,
        style_blind=asked.style_blind,
        share=asked.share,
        weight=asked.weight,
        metric=asked.metric or plan.reward.metric,
        golden=golden_digest(),
    )


def show(runtime: Runtime) -> None:
    """What stands of it, in the counters."""
    telemetry, panel = runtime.telemetry, runtime.panel
    telemetry.gauge("judging_spent_usd", panel.judges.spend.spent_micro_usd / 1e6)
    telemetry.gauge("judging_under_way", float(panel.sampler.under_way))
    states = {each: float(panel.proven(each)) for each in panel.judges.rules.judges}
    telemetry.standing("judge_teaches", states)
    counts = panel.sampler.counts
    for name in ("drawn", "scored", "inconsistent", "unreadable", "rated"):
        telemetry.total("judgings", counts[name], name)
