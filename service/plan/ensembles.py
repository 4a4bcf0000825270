"""The plan's word on ensembles: for which tasks, who is asked, how one answer is made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from service.plan.words import Name, Share, Strict

MOST_JUDGED = 4  # outputs that are compared each with each


class ScorerPlan(Strict):
    """By which scorer outputs are scored, against what, how strictly."""

    scorer: str
    reference: Any = None
    options: dict[str, Any] = {}


class StopPlan(Strict):
    """The rule by which further votes are not needed, and how sure it must be."""

    rule: Literal["beta", "dirichlet"] = "beta"
    sure: float = Field(default=0.95, gt=0.5, lt=1.0)


class EnsemblePlan(Strict):
    """``tasks``: empty for whatever asks for ``auto:ensemble`` and has no ensemble of its task.
    ``members``: taken in turn until ``outputs`` are asked; empty: the best single deployment alone.
    ``at_once``: fewer than ``outputs``: one after another as needed. ``first``: as soon as so many
    have answered the others are cancelled (0: all are waited for).
    """

    name: Name
    tasks: list[str] = []
    members: list[Name] = Field(default=[], max_length=16)
    within: Share = 0.15
    outputs: int = Field(default=3, ge=2, le=40)
    at_once: int = Field(default=0, ge=0, le=16)
    first: int = Field(default=0, ge=0, le=40)
    stop: StopPlan | None = None
    enough: float = Field(default=1.0, gt=0.0, le=1.0)
    by: Literal["vote", "weighted", "scorer", "judge", "fusion"] = "vote"
    answers: Literal["number", "choice", "json", "text"] = "text"
    letters: str = Field(default="ABCD", pattern="^[A-Z]{2,26}$")
    possible: int = Field(default=10, ge=2, le=1_000_000)
    score: ScorerPlan | None = None
    fuser: Name | None = None
    against: Name | None = None
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    gain: float = Field(default=0.02, ge=0.0, le=1.0)
    belief: float = Field(default=50.0, gt=0.0, le=1e6)
    share: float = Field(default=0.1, ge=0.01, le=0.9)
    routed: float = Field(default=0.05, ge=0.0, le=0.9)
    after: int = Field(default=400, ge=50, le=10_000_000)
    alpha: float = Field(default=0.05, ge=1e-6, le=0.2)

    @model_validator(mode="after")
    def _whole(self) -> EnsemblePlan:
        if (self.by == "scorer") != (self.score is not None):
            raise ValueError("score and by: scorer belong together: give both or neither")
        if (self.by == "fusion") != (self.fuser is not None):
            raise ValueError("fuser and by: fusion belong together: give both or neither")
        if self.by == "judge" and self.outputs > MOST_JUDGED:
            raise ValueError(
                f"by: judge compares each with each: ask for at most {MOST_JUDGED} outputs"
            )
        if self.at_once > self.outputs or self.first > self.outputs:
            raise ValueError("at_once and first lie within outputs")
        if self.stop is not None and self.by not in ("vote", "weighted"):
            raise ValueError("stop is a rule for votes: use it with by: vote or weighted")
        if 0 < self.at_once < self.outputs and self.by in ("judge", "fusion"):
            raise ValueError(
                f"by: {self.by} needs all outputs, so none may wait: leave at_once out"
            )
        if self.share + self.routed >= 1.0:
            raise ValueError("share and routed leave nothing for the ensemble: together below 1")
        return self
