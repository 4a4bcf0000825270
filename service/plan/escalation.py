"""The plan's word on escalation: who climbs, over which rungs, by which signs, at what worth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.plan.words import Money, Name, Seconds, Share, Strict


class AgainPlan(Strict):
    """Who asks nearly the same (``alike`` of the words) within a time begins a rung higher."""

    within_s: Seconds = 600.0
    alike: float = Field(default=0.8, gt=0.0, le=1.0)


class EscalationPlan(Strict):
    """Progressive escalation. ``tasks``: whose requests climb by themselves; others climb where
    they ask for ``auto:cascade``. ``rungs``: cheap first; ``auto``: all deployments by price.
    ``worth_usd``: of an acceptable answer over one that is not; absent: what a point of quality is
    worth. ``below``: an answer whose chance is lower is not taken while another can be had.
    ``explore``: each of the two shares that are drawn by lot. ``logprobs``: who gives them when
    asked; ``verify``: who is asked whether an answer is right; ``judge``: whether a proven judge
    scores it.
    """

    tasks: list[Name] = []
    rungs: list[Name] | Literal["auto"] = "auto"
    by_task: dict[Name, list[Name]] = {}
    acceptable: float = Field(default=0.7, gt=0.0, le=1.0)
    worth_usd: Money | None = None
    below: Share | None = None
    explore: float = Field(default=0.05, ge=0.001, le=0.25)
    logprobs: list[Name] = []
    verify: Name | None = None
    judge: bool = False
    again: AgainPlan | None = AgainPlan()
    half_life_days: float = Field(default=14.0, gt=0.0, le=3_650.0, allow_inf_nan=False)
    least: int = Field(default=50, ge=10, le=1_000_000)
