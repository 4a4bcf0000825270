"""The live policy as it stood, its learner, and the refits of its prior."""

from __future__ import annotations

from experiments.statistics.response_rate import Cell
from learning.features import Featurizer
from learning.policies import registry
from learning.policies.base import PolicySetup
from learning.reward import RewardScale
from service.config import child_environment
from service.domain.catalog import Deployment
from service.domain.clock import Clock
from service.domain.live import LivePolicy, Published
from service.domain.records import PolicyMark
from service.feedback.credit import CreditRules
from service.feedback.freezing import Freeze
from service.feedback.intake import Intake, Scale, Weights
from service.feedback.learner import Learner
from service.feedback.learner_parts import LearnerParts
from service.feedback.refit import RefitParts, RefitRules, Refitter
from service.feedback.versions import Resumed, Wanted, arm_of, promoted, resume
from service.monitoring.audit import PropensityAudit
from service.monitoring.responses import ResponseBoard
from service.plan.whole import Plan
from service.runtime import Kept
from service.storage.audits import Drawn, drawn_between, last_mark
from service.storage.responses import drawn_responses
from service.storage.updates import unlearned
from service.storage.versions import VersionStore

UNLEARNED_WINDOW_US = 3_600_000_000


def learning(
    plan: Plan,
    catalog: tuple[Deployment, ...],
    featurizer: Featurizer,
    kept: Kept,
    clock: Clock,
) -> tuple[LivePolicy, Learner, Refitter]:
    """The live policy as it stood, its learner with what a kill left uncredited queued, and the
    refits of its prior.
    """
    versions = VersionStore(kept.database, kept.state_dir)
    now_us = clock.wall_us()
    wanted = policy_wanted(plan, catalog, featurizer, now_us)
    resumed = resume(wanted, versions, kept.database.cursor, now_us)
    if resumed.is_new:
        resumed = promoted(resumed, versions, kept.log)
    mark = PolicyMark(
        resumed.version.policy, resumed.version.id, resumed.checkpoint_id, resumed.update_seq
    )
    live = LivePolicy(Published(resumed.policy.chooser(resumed.last_at_us / 1e6), mark))
    rules = credit_rules(plan)
    freeze = Freeze(kept.overrides.freezing)
    learner = Learner(resumed, LearnerParts(kept.log, versions, live, clock, rules, freeze))
    parts = RefitParts(
        kept.log, kept.database.cursor, versions, learner, clock, child_environment()
    )
    refitter = Refitter(refit_rules(plan), parts)
    refitter.resume(resumed.is_new)
    _credit_unlearned(kept, learner, clock, resumed)
    return live, learner, refitter


def credit_rules(plan: Plan) -> CreditRules:
    return CreditRules(plan.reward.metric, plan.policy.learn_from_pinned)


def refit_rules(plan: Plan) -> RefitRules:
    """Answers age in the refit as they do in the policy, where that says how."""
    half_life_s = plan.policy.parameters.get("quality_half_life_s", RefitRules().half_life_s)
    return RefitRules(plan.quality.least_ratings, float(half_life_s))


def policy_wanted(
    plan: Plan, catalog: tuple[Deployment, ...], featurizer: Featurizer, now_us: int
) -> Wanted:
    setup = PolicySetup(
        arms=tuple(arm_of(each, now_us) for each in catalog),
        features=featurizer.names,
        scale=RewardScale(plan.reward.worth_usd, plan.reward.patience_s),
    )
    parameters, budget_usd = dict(plan.policy.parameters), plan.budgets.usd_per_request
    if budget_usd is not None and registry.POLICIES[plan.policy.kind].takes_budget:
        parameters.setdefault("budget_usd", budget_usd)
    return Wanted(plan.policy.name, plan.policy.kind, parameters, setup)


def _credit_unlearned(kept: Kept, learner: Learner, clock: Clock, resumed: Resumed) -> None:
    outcomes, rated = unlearned(
        kept.database.cursor(), min(resumed.last_at_us, clock.wall_us()) - UNLEARNED_WINDOW_US
    )
    for decision_id in outcomes:
        case = kept.cases.load(decision_id)
        if case is not None:
            learner.ended(case)
    for decision_id in rated:
        case = kept.cases.load(decision_id)
        if case is not None:
            for feedback in case.feedback.values():
                learner.rated(case, feedback)


def intake(
    plan: Plan, kept: Kept, learner: Learner, clock: Clock, weights: Weights | None = None
) -> Intake:
    scales = {
        name: Scale(metric.scale, tuple(metric.labels))
        for name, metric in plan.feedback.metrics.items()
    }
    return Intake(scales, plan.feedback.expires_days, kept.log, learner, clock, weights)


def responses(plan: Plan, kept: Kept, clock: Clock) -> ResponseBoard:
    def counts(since_us: int, until_us: int) -> list[Cell]:
        return drawn_responses(kept.database.cursor(), plan.reward.metric, since_us, until_us)

    return ResponseBoard(counts, clock)


def propensities(kept: Kept, clock: Clock) -> PropensityAudit:
    """The audit of the log's propensities, from its last mark on."""

    def read(after_seq: int, through_seq: int, limit: int) -> list[Drawn]:
        return drawn_between(kept.database.cursor(), after_seq, through_seq, limit)

    return PropensityAudit(read, kept.log, clock, last_mark(kept.database.cursor()))
