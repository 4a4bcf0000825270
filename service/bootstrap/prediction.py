"""Prediction before generation, made from the plan and joined to the runtime."""

from __future__ import annotations

import math

from learning.acceptance import Foresight
from service.bootstrap.learning import refit_rules
from service.bootstrap.routing import ladders
from service.config import child_environment
from service.domain.catalog import Deployment
from service.domain.judging import Drawn
from service.domain.records import Decision
from service.feedback.acceptance_refit import (
    AcceptanceParts,
    AcceptanceRefitter,
    AcceptanceRules,
)
from service.feedback.skipping import Skipping, SkipRules
from service.feedback.worth import Prices
from service.orchestration.foretelling import (
    Foretelling,
    ForetellingParts,
    ForetellingRules,
)
from service.plan.prediction import PredictionPlan
from service.plan.whole import Plan
from service.routing.foreseeing import FITTED, Foreseer, PredictionRules, Published
from service.routing.predicting import Prediction
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.models import AcceptanceModels
from service.storage.predictions import Checks, Judged, checks_of

JOB, REFITS = "prediction", "prediction refits"
LOOK_S = 10.0


def prediction(plan: Plan, catalog: tuple[Deployment, ...]) -> Prediction | None:
    """What acts on the way of requests, cold; None where the plan does not want it."""
    wanted = plan.prediction
    if wanted is None:
        return None
    rules = PredictionRules(
        margin=None if wanted.route is None else wanted.route.margin,
        below=None if wanted.escalate is None else wanted.escalate.below,
        gain=0.0 if wanted.escalate is None else wanted.escalate.gain,
        held_out=wanted.held_out,
    )
    foresight = Foresight(_arms(catalog), wanted.acceptable)
    names = tuple(each.name for each in catalog)
    return Prediction(Foreseer(names, rules, Published(foresight)), ladders(plan))


def attach_prediction(runtime: Runtime) -> None:
    """Give a runtime its prediction as the log left it; anew when the plan was reloaded."""
    wanted, acting = runtime.plan.prediction, runtime.router.prediction
    if wanted is None or acting is None:
        runtime.prediction = None
        runtime.panel.sampler.gate = nobody
        runtime.scheduler.put(Job(JOB, 0.0, _nothing))
        runtime.scheduler.put(Job(REFITS, 0.0, _nothing))
        return
    kept, cursor = runtime.kept, runtime.kept.database.cursor
    judged = _judged(runtime.plan, wanted)
    rules = AcceptanceRules(
        wanted.acceptable, wanted.least_ratings, refit_rules(runtime.plan).half_life_s
    )
    refitter = AcceptanceRefitter(
        rules,
        AcceptanceParts(
            kept.log, cursor, AcceptanceModels(kept.state_dir), runtime.learner, runtime.clock,
            child_environment(),
        ),
    )  # fmt: skip
    skipping = None
    if wanted.skip is not None:
        skip = SkipRules(wanted.skip.above, wanted.skip.audit, wanted.skip.most_bad)

        def checks(episode: int) -> Checks:
            return checks_of(cursor(), episode, judged)

        skipping = Skipping(skip, checks, kept.log.append, runtime.clock)
        skipping.share = lambda: checked_share(runtime)
    prices = Prices(
        wanted.worth.cpu_usd_per_hour, runtime.plan.reward.worth_usd, None, wanted.worth.after
    )
    check_usd = None if wanted.skip is None else wanted.skip.check_usd
    made = Foretelling(
        ForetellingRules(judged, prices, check_usd, _arms(runtime.catalog)),
        ForetellingParts(
            acting.foreseer, refitter, skipping, kept.log, cursor, runtime.clock
        ),
    )  # fmt: skip
    made.resume()
    runtime.prediction = made
    runtime.panel.sampler.gate = made.gate

    async def refit() -> None:
        if runtime.prediction is not None and not runtime.learner.parts.freeze.whole:
            await runtime.prediction.refit()

    async def look() -> None:
        if runtime.prediction is not None:
            await runtime.prediction.turn()
            show(runtime, runtime.prediction)

    runtime.scheduler.put(Job(REFITS, wanted.refit_minutes * 60.0, refit))
    runtime.scheduler.put(Job(JOB, LOOK_S, look))


def show(runtime: Runtime, made: Foretelling) -> None:
    """How prediction stands, in the gauges."""
    telemetry, rule, worth = runtime.telemetry, made.skipping, made.worth
    telemetry.gauge("prediction_fitted", float(made.foreseer.published.state == FITTED))
    telemetry.total("predictions", made.foreseer.predictions)
    skips = rule is not None and rule.skips and made.foreseer.published.state == FITTED
    telemetry.gauge("prediction_skipping", float(skips))
    upper = 0.0 if rule is None or not rule.rate.count else rule.rate.interval.high
    telemetry.gauge("prediction_bad_upper_share", upper)
    net = 0.0 if worth is None or math.isnan(worth.net.estimate) else worth.net.estimate
    telemetry.gauge("prediction_net_usd", net)


def _judged(plan: Plan, wanted: PredictionPlan) -> Judged:
    kinds = tuple(wanted.skip.judged_by) if wanted.skip is not None else ("judge",)
    return Judged(plan.reward.metric, kinds, wanted.acceptable)


def _arms(catalog: tuple[Deployment, ...]) -> dict[str, float]:
    return {each.name: each.prior_quality for each in catalog}


def checked_share(runtime: Runtime) -> float:
    """Of all answers, whom a check is for: as the plan's judges draw; all, where others check."""
    rules = runtime.panel.judges.rules
    return rules.share if rules.judges else 1.0


def nobody(decision: Decision, deployment: str) -> Drawn | None:
    """The share of the plan decides."""
    return None


async def _nothing() -> None:
    """In the place of a job that is ended."""
