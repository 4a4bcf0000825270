"""The whole plan: its sections together."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from service.domain.catalog import Deployment
from service.plan import alerts as alert
from service.plan.approvals import ApprovalPlan
from service.plan.budgets import BudgetPlan, NamedBudget
from service.plan.console import ConsolePlan
from service.plan.deployments import DeploymentPlan, LimitsPlan, PricePlan
from service.plan.experiments import ExperimentPlan
from service.plan.feedback import FeedbackPlan, MetricPlan, QualityPlan, RewardPlan
from service.plan.history import HistoryPlan
from service.plan.inbound import ServicePlan
from service.plan.queue import NotifyPlan, QueuePlan
from service.plan.refusals import RefusalPlan, SuggestionPlan
from service.plan.resilience import (
    BreakerPlan,
    FallbackPlan,
    HedgingPlan,
    ResiliencePlan,
    TierPlan,
)
from service.plan.review import ClassificationPlan, JudgePlan, ReviewPlan
from service.plan.routing import (
    DialPlan,
    PolicyPlan,
    RulePlan,
    SessionPlan,
    TaskPlan,
)
from service.plan.traces import TracePlan
from service.plan.words import OTHER, Name, Strict


class Plan(Strict):
    """What is wanted: one file, one source of truth."""

    deployments: list[DeploymentPlan] = Field(min_length=1)
    tasks: list[TaskPlan] = []
    rules: list[RulePlan] = []
    tiers: list[Name] = []
    fallbacks: list[FallbackPlan] = []
    policy: PolicyPlan = PolicyPlan()
    reward: RewardPlan = RewardPlan()
    budgets: BudgetPlan = BudgetPlan()
    dials: DialPlan = DialPlan()
    quality: QualityPlan = QualityPlan()
    feedback: FeedbackPlan = FeedbackPlan()
    sessions: SessionPlan = SessionPlan()
    refusals: RefusalPlan = RefusalPlan()
    review: ReviewPlan = ReviewPlan()
    service: ServicePlan = ServicePlan()
    resilience: ResiliencePlan = ResiliencePlan()
    queue: QueuePlan = QueuePlan()
    notify: NotifyPlan = NotifyPlan()
    slo: alert.SloPlan = alert.SloPlan()
    alerts: alert.AlertsPlan = alert.AlertsPlan()
    experiments: ExperimentPlan = ExperimentPlan()
    history: HistoryPlan = HistoryPlan()
    console: ConsolePlan = ConsolePlan()
    safe_deployment: Name | None = None  # where a kill that names none sends everything
    approvals: ApprovalPlan = ApprovalPlan()
    traces: TracePlan = TracePlan()

    @property
    def review_tiers(self) -> tuple[str, ...]:
        """The tiers whose refusals a person reviews: those named, else the highest."""
        named = self.refusals.review_tiers
        return tuple(self.tiers[-1:] if named is None else named)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Every task, ``other`` last."""
        return (*(t.name for t in self.tasks if t.name != OTHER), OTHER)

    def catalog(self, environment: Mapping[str, str]) -> tuple[Deployment, ...]:
        """The deployments, with their secrets from the environment."""
        return tuple(each.deployment(environment) for each in self.deployments)

    def missing_secrets(self, environment: Mapping[str, str]) -> list[tuple[int, str]]:
        """Deployments (by index) whose key's variable is not set."""
        named = [(i, env) for i, each in enumerate(self.deployments) for env in each.secrets]
        return [(i, env) for i, env in named if not environment.get(env)]


SECTIONS: Mapping[str, type[BaseModel]] = {
    "deployments": DeploymentPlan, "tasks": TaskPlan, "rules": RulePlan, "policy": PolicyPlan,
    "reward": RewardPlan, "budgets": BudgetPlan, "named": NamedBudget, "quality": QualityPlan,
    "feedback": FeedbackPlan, "price": PricePlan,
    "sessions": SessionPlan, "service": ServicePlan, "limits": LimitsPlan, "metrics": MetricPlan,
    "dials": DialPlan,
    "fallbacks": FallbackPlan, "tiers": TierPlan, "resilience": ResiliencePlan,
    "breaker": BreakerPlan, "hedging": HedgingPlan,
    "refusals": RefusalPlan, "suggestions": SuggestionPlan,
    "review": ReviewPlan, "classification": ClassificationPlan, "judge": JudgePlan,
    "queue": QueuePlan, "notify": NotifyPlan, "experiments": ExperimentPlan,
    "history": HistoryPlan, "approvals": ApprovalPlan, "traces": TracePlan, "console": ConsolePlan,
    **alert.SECTIONS,
}  # fmt: skip
