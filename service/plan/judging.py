"""The plan's judges: who judges served answers, by which rubric, how many, for how much."""

from __future__ import annotations

from pydantic import Field, model_validator

from service.domain.judging import Rubric
from service.plan.words import Money, Name, Share, Strict


class RubricPlan(Strict):
    """A rubric of one's own; another text is another version."""

    name: Name
    version: int = Field(default=1, ge=1, le=1_000_000)
    text: str = Field(min_length=20, max_length=4_000)
    tasks: list[str] = []

    def rubric(self) -> Rubric:
        """As the judge is told it."""
        return Rubric(self.name, self.version, self.text, tuple(self.tasks))


class GoldenPlan(Strict):
    """What a judge must reach on the golden set before its scores are ratings. ``auto``: whether
    a judge that is not proven as it now is, is held against it without being told to.
    """

    least_kappa: float = Field(default=0.6, ge=0.2, le=1.0)
    most_flipped: Share = 0.2
    auto: bool = True


class JudgingPlan(Strict):
    """``judges``: of these the first that is of no candidate's family. ``share``: of the served
    answers. ``weight``: of the judged ones, whose scores are ratings. ``metric``: which (empty: the
    reward's).
    """

    judges: list[Name] = Field(default=[], max_length=8)
    rubric: str = ""
    rubrics: list[RubricPlan] = Field(default=[], max_length=64)
    share: Share = 0.0
    usd_per_day: Money = 0.0
    metric: str = ""
    weight: Share = 0.5
    apart: float = Field(default=0.25, ge=0.0, le=1.0)
    style_blind: bool = True
    golden: GoldenPlan = GoldenPlan()

    @model_validator(mode="after")
    def _paid(self) -> JudgingPlan:
        if self.share > 0.0 and not self.judges:
            raise ValueError("share needs judges: name at least one deployment")
        if self.judges and self.usd_per_day <= 0.0:
            raise ValueError("judges need usd_per_day: what they may cost a day, above 0")
        return self
