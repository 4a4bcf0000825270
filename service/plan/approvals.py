"""The plan's part on a second person: whether acts that raise exposure wait for one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.plan.words import Strict


class ApprovalPlan(Strict):
    """``four_eyes``: such acts wait until another person approves; so long at most."""

    four_eyes: bool = False
    expires_h: Annotated[float, Field(gt=0.0, le=168.0, allow_inf_nan=False)] = 24.0
