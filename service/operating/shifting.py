"""A bounded share taken from a slow deployment for a while, and given back: by an override."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.alerts import Alert
from service.domain.errors import HeadgateError, NotFound
from service.domain.records import Override
from service.domain.will import Action
from service.feedback.promoting import Signature
from service.monitoring.watch import Shifted
from service.operating.overrides import HEADGATE, OverrideDesk
from service.operating.wanted import Wanted

LEAST = 0.01  # of the draws: enough to see when it is well again
PATIENCE_S = 3.0  # for the log; what acts already is told of, durable or not
_A_PERSONS = (Action.KILL, Action.FORCE, Action.BOUNDS, Action.EXCLUDE)


@dataclass(frozen=True, slots=True)
class ShareShift:
    """``share``: the greatest share of any task that a deployment has now; ``floor``: what the
    policy leaves it at least.
    """

    desk: OverrideDesk
    share: Callable[[str], float]
    floor: Callable[[], float]

    async def lay(
        self, deployment: str, keep_share: float, lasts_s: float, alert: Alert
    ) -> Shifted | str:
        """Bound it, everywhere; where a person has laid something on it, that stands alone."""
        theirs = next((each for each in self.desk.holding if _of(each, deployment)), None)
        if theirs is not None:
            return f"{theirs.author} has laid {theirs.action} on it, so its share is left alone"
        least, now = max(self.floor(), LEAST), self.share(deployment)
        if now <= least:
            return f"it gets {now:.3g} of any task at most already, so its share is left alone"
        greatest = max(now * keep_share, least)
        wanted = Wanted(
            Action.BOUNDS, deployment, greatest=greatest, lasts_s=lasts_s, ticket=alert.id
        )
        laying = asyncio.ensure_future(
            self.desk.lay(wanted, Signature(HEADGATE, f"alert {alert.rule}: {alert.text}"))
        )
        laying.add_done_callback(_seen)
        trouble: Exception | None = None
        try:
            await asyncio.wait_for(asyncio.shield(laying), PATIENCE_S)
        except (HeadgateError, TimeoutError) as error:
            trouble = error
        return self.found(alert) or f"its share could not be bounded: {trouble}"

    def found(self, alert: Alert) -> Shifted | None:
        """What was laid for an alert and is in force, by its ticket, which a renewal keeps."""
        held = self._held(alert)
        if held is None:
            return None
        return Shifted(held.id, 1.0 if held.greatest is None else held.greatest, held.expires_us)

    def _held(self, alert: Alert) -> Override | None:
        mine = [
            each
            for each in self.desk.holding
            if each.ticket == alert.id and each.action == Action.BOUNDS
        ]
        return min(mine, key=lambda each: each.author != HEADGATE, default=None)

    async def lift(self, alert: Alert, why: str) -> str:
        """Give its share back, unless a person has renewed the bound; what came of it, in words."""
        held = self._held(alert)
        if held is None:
            return "its bound had ended already"
        if held.author != HEADGATE:
            return (
                f"{held.author} has renewed its bound (override {held.id}), which stands until it "
                "ends or is lifted"
            )
        try:
            await self.desk.lift(held.id, Signature(HEADGATE, f"alert {alert.id}: {why}"))
        except NotFound:
            return "its bound had ended already"
        return "its share is no longer bounded"


def _of(override: Override, deployment: str) -> bool:
    return override.deployment == deployment and override.action in _A_PERSONS


def _seen(laying: asyncio.Future[Override]) -> None:
    if not laying.cancelled():
        laying.exception()  # what went wrong was told; what is in force is found by its ticket
