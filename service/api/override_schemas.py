"""What the routes of overrides take and give."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas import Author

Name = Annotated[str, Field(max_length=64)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Lasting = Annotated[float, Field(gt=0.0, le=7 * 86_400.0, allow_inf_nan=False)]


class _Signed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=10, max_length=500)]
    author: Author | None = None
    break_glass: bool = False


class OverrideBody(_Signed):
    """A person's will over the policy; it ends by itself."""

    action: Name
    deployment: Name = ""
    task: Name | None = None
    tenant: Annotated[str, Field(max_length=128)] | None = None
    tier: Name | None = None
    version: Name | None = None
    experiment: Annotated[str, Field(max_length=128)] | None = None
    least: Share | None = None
    greatest: Share | None = None
    usd: Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)] | None = None
    expires_in_s: Lasting = 4 * 3_600.0
    ticket: Annotated[str, Field(max_length=200)] = ""


class DryRunBody(OverrideBody):
    """An override to be tried on what was logged in the last hours."""

    hours: Annotated[float, Field(ge=1.0, le=168.0, allow_inf_nan=False)] = 6.0


class RenewBody(_Signed):
    """Goes on with an override."""

    expires_in_s: Annotated[Lasting, Field(ge=60.0)] = 4 * 3_600.0


class OverrideShown(BaseModel):
    """An override. ``ended_at`` and what follows it are null while it is in force."""

    id: str
    action: str
    deployment: str | None
    task: str | None
    tenant: str | None
    tier: str | None
    version: str | None
    experiment: str | None
    least: float | None
    greatest: float | None
    usd: float | None
    words: str
    reason: str
    author: str
    ticket: str | None
    renews: str | None
    set_at: str
    expires_at: str
    left_s: float
    ended_at: str | None = None
    how: str | None = None
    ended_by: str | None = None
    end_reason: str | None = None


class OverridesShown(BaseModel):
    """Overrides, and the tag of what is in force."""

    overrides: list[OverrideShown]
    version: str


class DryRunShown(BaseModel):
    """What it would have done, and the tag with which it may be laid unless something changes."""

    version: str
    override: OverrideShown
    report: dict[str, Any]
