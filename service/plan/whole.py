"""The whole plan: its sections together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, model_validator

from learning.taxonomies import default
from service.domain.catalog import Deployment
from service.domain.modalities import in_use
from service.plan import alerts as alert
from service.plan.approvals import ApprovalPlan
from service.plan.batches import BatchPlan
from service.plan.budgets import BudgetPlan, NamedBudget
from service.plan.caching import CachePlan, CacheTaskPlan, LikeTaskPlan, SemanticPlan
from service.plan.console import ConsolePlan
from service.plan.conversations import ConversationPlan, SummaryPlan
from service.plan.deployments import BatchOfferPlan, DeploymentPlan, LimitsPlan, PricePlan
from service.plan.ensembles import EnsemblePlan, ScorerPlan, StopPlan
from service.plan.escalation import AgainPlan, EscalationPlan
from service.plan.experiments import ExperimentPlan
from service.plan.feedback import (
    FeedbackPlan,
    KeyAuthorPlan,
    MetricPlan,
    QualityPlan,
    RewardPlan,
    TenantAuthorPlan,
    TrustPlan,
    UserAuthorPlan,
)
from service.plan.history import HistoryPlan
from service.plan.inbound import ServicePlan
from service.plan.judging import GoldenPlan, JudgingPlan, RubricPlan
from service.plan.prediction import (
    EscalatePlan,
    PredictionPlan,
    PredictionRoutePlan,
    SkipPlan,
    WorthPlan,
)
from service.plan.queue import NotifyPlan, QueuePlan
from service.plan.refusals import RefusalPlan, SuggestionPlan
from service.plan.requirements import RequirementPlan
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
    LeavePlan,
    PolicyPlan,
    RulePlan,
    SessionPlan,
    TaskPlan,
)
from service.plan.taxonomy import THRESHOLD, AskPlan, TaxonomyPlan
from service.plan.traces import TracePlan
from service.plan.words import OTHER, Name, Strict
from service.plan.workflows import WorkflowsPlan


class Plan(Strict):
    """What is wanted: one file, one source of truth."""

    deployments: list[DeploymentPlan] = Field(min_length=1)
    tasks: list[TaskPlan] = []
    rules: list[RulePlan] = []
    requirements: list[RequirementPlan] = []
    tiers: list[Name] = []
    fallbacks: list[FallbackPlan] = []
    policy: PolicyPlan = PolicyPlan()
    reward: RewardPlan = RewardPlan()
    budgets: BudgetPlan = BudgetPlan()
    dials: DialPlan = DialPlan()
    quality: QualityPlan = QualityPlan()
    feedback: FeedbackPlan = FeedbackPlan()
    sessions: SessionPlan = SessionPlan()
    conversations: ConversationPlan = ConversationPlan()
    refusals: RefusalPlan = RefusalPlan()
    review: ReviewPlan = ReviewPlan()
    judging: JudgingPlan = JudgingPlan()
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
    taxonomy: TaxonomyPlan | None = None
    cache: CachePlan | None = None
    workflows: WorkflowsPlan = WorkflowsPlan()
    batches: BatchPlan | None = None

    @model_validator(mode="before")
    @classmethod
    def _asks_people(cls, data: Any) -> Any:
        """With a taxonomy, requests that are not sure go to review, where it does not say how."""
        if not isinstance(data, dict) or data.get("taxonomy") is None:
            return data
        review = data.get("review") or {}
        if isinstance(review, dict) and "classification" not in review:
            return data | {"review": review | {"classification": {}}}
        return data

    @property
    def threshold(self) -> float:
        """Below which confidence a task is not sure: one for the way on and for the review."""
        if self.taxonomy is not None and self.taxonomy.threshold is not None:
            return self.taxonomy.threshold
        asked = self.review.classification
        return THRESHOLD if asked is None else asked.threshold

    prediction: PredictionPlan | None = None
    escalation: EscalationPlan | None = None
    ensembles: list[EnsemblePlan] = []

    @property
    def review_tiers(self) -> tuple[str, ...]:
        """The tiers whose refusals a person reviews: those named, else the highest."""
        named = self.refusals.review_tiers
        return tuple(self.tiers[-1:] if named is None else named)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Every task, ``other`` last; the modalities that are not chat are tasks of their own."""
        named = [t.name for t in self.tasks if t.name != OTHER]
        named += [each for each in self.modalities if each not in named]
        if self.taxonomy is not None and self.taxonomy.use == "default":
            named += [each for each in default.NAMES if each not in named and each != OTHER]
        return (*named, OTHER)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that it serves beside chat."""
        return in_use(each.modality for each in self.deployments)

    def catalog(self, environment: Mapping[str, str]) -> tuple[Deployment, ...]:
        """The deployments, with their secrets from the environment."""
        return tuple(each.deployment(environment) for each in self.deployments)

    def missing_secrets(self, environment: Mapping[str, str]) -> list[tuple[int, str]]:
        """Deployments (by index) whose key's variable is not set."""
        named = [(i, env) for i, each in enumerate(self.deployments) for env in each.secrets]
        return [(i, env) for i, env in named if not environment.get(env)]


SECTIONS: Mapping[str, type[BaseModel]] = {
    "deployments": DeploymentPlan, "tasks": TaskPlan, "rules": RulePlan,
    "requirements": RequirementPlan, "policy": PolicyPlan,
    "reward": RewardPlan, "budgets": BudgetPlan, "named": NamedBudget, "quality": QualityPlan,
    "feedback": FeedbackPlan, "price": PricePlan, "trust": TrustPlan, "key": KeyAuthorPlan,
    "user": UserAuthorPlan, "tenant": TenantAuthorPlan,
    "sessions": SessionPlan, "leave": LeavePlan,
    "conversations": ConversationPlan, "summary": SummaryPlan,
    "service": ServicePlan, "limits": LimitsPlan, "metrics": MetricPlan,
    "dials": DialPlan,
    "fallbacks": FallbackPlan, "tiers": TierPlan, "resilience": ResiliencePlan,
    "breaker": BreakerPlan, "hedging": HedgingPlan,
    "refusals": RefusalPlan, "suggestions": SuggestionPlan,
    "review": ReviewPlan, "classification": ClassificationPlan, "judge": JudgePlan,
    "taxonomy": TaxonomyPlan, "ask": AskPlan,
    "queue": QueuePlan, "notify": NotifyPlan, "experiments": ExperimentPlan,
    "history": HistoryPlan, "approvals": ApprovalPlan, "traces": TracePlan, "console": ConsolePlan,
    "judging": JudgingPlan, "rubrics": RubricPlan, "golden": GoldenPlan,
    "prediction": PredictionPlan, "route": PredictionRoutePlan, "escalate": EscalatePlan,
    "cache": CachePlan, "raised": CacheTaskPlan, "cache.tasks": CacheTaskPlan,
    "semantic": SemanticPlan, "semantic.tasks": LikeTaskPlan,
    "skip": SkipPlan, "worth": WorthPlan, "escalation": EscalationPlan, "again": AgainPlan,
    "ensembles": EnsemblePlan, "score": ScorerPlan, "stop": StopPlan, "workflows": WorkflowsPlan,
    "batches": BatchPlan, "batch": BatchOfferPlan,
    **alert.SECTIONS,
}  # fmt: skip
