"""What the routes of experiments and policies take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=500)]
Author = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Id = Annotated[str, Field(min_length=1, max_length=100)]
StepName = Literal["start", "ramp", "pause", "resume", "stop", "ship", "rollback"]


class _Signed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    author: Author | None = None
    reason: Reason


class ExperimentBody(_Signed):
    """An experiment to be: its design, and its part of a layer."""

    design: dict[str, Any]
    layer: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "main"
    share: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = 1.0


class StepBody(_Signed):
    """A step. ``variant``: the one to ship. ``unproven``: expose a version though the log has not
    shown that it is no worse.
    """

    variant: Annotated[str, Field(max_length=64)] | None = None
    unproven: bool = False
    break_glass: bool = False


class PolicyBody(_Signed):
    """A version to be: the live one's kind and parameters but for what is given."""

    kind: Annotated[str, Field(max_length=64)] | None = None
    parameters: dict[str, Any] = {}


class PromoteBody(_Signed):
    """A version that is to be the live one. ``break_glass``: at once, where it would wait for a
    second person.
    """

    break_glass: bool = False


class EvaluateBody(_Signed):
    """On which part of the log a version is evaluated: the last so many hours."""

    hours: Annotated[float, Field(gt=0.0, le=8_760.0, allow_inf_nan=False)] = 168.0


class RollbackBody(_Signed):
    """Back to the version before, or ``to`` one; its last checkpoint, or a named one.
    ``break_glass``: at once, where ``to`` would wait for a second person.
    """

    to: Id | None = None
    checkpoint: Id | None = None
    break_glass: bool = False
