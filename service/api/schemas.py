"""What the routes that are not hot take and give."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Text = Annotated[str, Field(max_length=500)]
# Who says that they want it, beside the key, which is who did it.
Author = Annotated[str, Field(min_length=1, max_length=100)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FeedbackBody(_Body):
    """A rating, score or label of an answer."""

    id: Annotated[str, Field(max_length=64, description="decision id or response id")]
    metric: Annotated[str, Field(max_length=64)] = "rating"
    value: StrictBool | StrictInt | StrictFloat | StrictStr
    kind: Literal["user", "judge", "outcome", "implicit"] = "user"
    idempotency_key: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    reason: Text = ""
    tags: Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=16)] = []
    user: Annotated[
        str, Field(max_length=256, description="the end user who rates; kept as a keyed hash")
    ] = ""


class FeedbackTaken(BaseModel):
    """The rating is durable. ``applied``: whether it changes what the policy knows; where it does
    not, ``reason`` says why in a word.
    """

    feedback_id: str
    applied: bool
    reason: str = ""


class LiftBody(_Body):
    """Ends an override before its time."""

    reason: Annotated[str, Field(min_length=10, max_length=500)]
    author: Author | None = None


class EndOverrideBody(LiftBody):
    """Ends an override. ``break_glass``: at once, where it would wait for a second person."""

    break_glass: bool = False


class ShadowBody(_Body):
    """A version that is to decide beside the live one."""

    version_id: Annotated[str, Field(min_length=1, max_length=64)]
    share: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = 1.0
    mirror_share: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = 0.0
    usd_per_day: Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)] = 0.0
    judge: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    reason: Annotated[str, Field(min_length=10, max_length=500)]
    author: Author | None = None


class ReviewerBody(_Body):
    """Who claims a review, or lets go of it."""

    reviewer: Author | None = None


class RulingBody(ReviewerBody):
    """What a reviewer decides: ``verdict`` is a task, a rating, or a word of the review's kind."""

    verdict: Annotated[str, Field(min_length=1, max_length=64)]
    note: Annotated[str, Field(min_length=10, max_length=500)]
    idempotency_key: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class ErrorBody(BaseModel):
    """OpenAI's error shape."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """Every error is of this shape."""

    error: ErrorBody


Json = dict[str, Any]
