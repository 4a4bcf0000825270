"""Caching raised while an alert of latency lasts, and let down when it is over: by an override."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.alerts import Alert
from service.domain.errors import HeadgateError
from service.domain.records import Override
from service.domain.will import Action
from service.feedback.promoting import Signature
from service.operating.overrides import HEADGATE, OverrideDesk
from service.operating.wanted import Wanted

PATIENCE_S = 3.0  # for the log


@dataclass(frozen=True, slots=True)
class RaisedCaching:
    """``lasts_s``: how long at most; ``offered``: whether the plan says to what it is raised."""

    desk: OverrideDesk
    lasts_s: Callable[[], float]
    offered: Callable[[], bool]

    async def __call__(self, alert: Alert, on: bool) -> str:
        """Raise it, or let it down again, unless a person has renewed it; in words what came."""
        held = next((each for each in self.desk.holding if _of(each, alert)), None)
        try:
            if not on:
                return await self._let_down(held, alert)
            if held is not None:
                return "caching is raised already"
            if not self.offered():
                return "caching is not raised: the plan has no cache.raised"
            return await self._raise(alert)
        except (HeadgateError, TimeoutError) as error:
            return f"caching could not be {'raised' if on else 'let down'}: {error}"

    async def _raise(self, alert: Alert) -> str:
        wanted = Wanted(Action.RAISE_CACHING, lasts_s=self.lasts_s(), ticket=alert.id)
        by = Signature(HEADGATE, f"alert {alert.rule}: {alert.text}")
        async with asyncio.timeout(PATIENCE_S):
            laid = await self.desk.lay(wanted, by)
        return f"caching is raised (override {laid.id})"

    async def _let_down(self, held: Override | None, alert: Alert) -> str:
        if held is None:
            return "caching was not raised any more"
        if held.author != HEADGATE:
            return f"{held.author} has renewed override {held.id}, so caching stays raised"
        async with asyncio.timeout(PATIENCE_S):
            await self.desk.lift(held.id, Signature(HEADGATE, f"alert {alert.id} is over"))
        return "caching is as usual"


def _of(override: Override, alert: Alert) -> bool:
    return override.action == Action.RAISE_CACHING and override.ticket == alert.id
