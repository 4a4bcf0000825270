"""The plan's hard demands of whoever answers: where, and with which promises about the data."""

from __future__ import annotations

from pydantic import field_validator, model_validator

from service.domain.demands import Demand
from service.domain.expressions import Expression, parse
from service.plan.routing import checked_condition
from service.plan.words import DataPolicy, Label, Region, Strict


class RequirementPlan(Strict):
    """For whom, and what is demanded; every one that holds counts."""

    when: str | None = None
    task: str | None = None
    keys: list[Label] = []
    regions: list[Region] = []
    data_policy: list[DataPolicy] = []

    _check_when = field_validator("when")(checked_condition)

    @model_validator(mode="after")
    def _says_something(self) -> RequirementPlan:
        if not self.regions and not self.data_policy:
            raise ValueError("a requirement must give regions or data_policy")
        return self

    @property
    def condition(self) -> Expression | None:
        """The parsed condition."""
        return parse(self.when) if self.when else None

    @property
    def demand(self) -> Demand:
        """What is demanded."""
        return Demand(frozenset(self.regions) or None, frozenset(self.data_policy))
