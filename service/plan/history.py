"""The plan's published history: how long its days are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.plan.words import Strict


class HistoryPlan(Strict):
    """``keep_days``: days of traffic that stay in the published history; none: all of them.

    The live file keeps its rows. A restore gives back what the published history holds.
    """

    keep_days: Annotated[int, Field(ge=7, le=3_650)] | None = None
