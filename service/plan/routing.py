"""The plan's way out: tasks, rules, the policy, dials, sessions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from service.domain.expressions import Expression, ExpressionInvalid, parse
from service.plan.taxonomy import Example
from service.plan.words import Label, Name, Seconds, Share, Strict


def checked_condition(text: str | None) -> str | None:
    """The text of a condition that can be parsed; raises ValueError that says why it cannot."""
    if text is not None:
        try:
            parse(text)
        except ExpressionInvalid as error:
            raise ValueError(str(error)) from None
    return text


class TaskPlan(Strict):
    """A class of requests. Without ``when`` it is reached by name, or by the taxonomy's classifier.
    ``confidence``: how often what the condition takes is of the task, as far as is known.
    ``examples``, ``like``: what the classifier is fitted from, texts and the default's tasks.
    """

    name: Name
    description: str = ""
    examples: list[Example] = []
    like: list[Name] = []
    when: str | None = None
    confidence: Share = 1.0

    _check_when = field_validator("when")(checked_condition)

    @property
    def condition(self) -> Expression | None:
        """The parsed condition."""
        return parse(self.when) if self.when else None


class RulePlan(Strict):
    """Which deployments may serve what the condition takes; the first that holds decides."""

    when: str | None = None
    task: str | None = None
    use: list[str] = []
    exclude: list[str] = []

    _check_when = field_validator("when")(checked_condition)

    @model_validator(mode="after")
    def _says_something(self) -> RulePlan:
        if not self.use and not self.exclude:
            raise ValueError("a rule must give use or exclude")
        return self

    @property
    def condition(self) -> Expression | None:
        """The parsed condition."""
        return parse(self.when) if self.when else None


class PolicyPlan(Strict):
    """Which policy decides, and its parameters."""

    name: Name = "default"
    kind: str = "linear"
    parameters: dict[str, Any] = {}
    learn_from_pinned: bool = False


class DialPlan(Strict):
    """How much a dollar counts for a tenant or a tier, where the request does not say."""

    tenants: dict[Label, Share] = {}
    tiers: dict[str, Share] = {}


class LeavePlan(Strict):
    """When a conversation may leave its deployment: once the gain that is expected of it over the
    turns to come, less ``sureness`` deviations, is more than the prompt cache that is lost.
    ``held_out``: the share of those that would leave and stay, by lot, so that it can be told
    whether leaving pays; 1: all, and nothing is done but to show it.
    """

    sureness: Annotated[float, Field(ge=0.0, le=20.0, allow_inf_nan=False)] = 2.0
    held_out: Share = 0.1
    reread_tokens_per_s: Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)] = 5_000.0


class SessionPlan(Strict):
    """Whether a conversation stays where it began, and for how long it is remembered."""

    sticky: bool = True
    idle_s: Seconds = 3600.0
    leave: LeavePlan | None = None
