"""What operators want of a request, done to its draft: kill, force, cost caps, bounds, pins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from learning import exploration
from learning.interaction import Vector
from service.domain.catalog import typical_usd
from service.domain.clock import Clock
from service.domain.errors import EXCLUDED, KILLED, CapabilityMissing, HeadgateError, NoDeployment
from service.domain.live import LivePolicy
from service.domain.records import Override
from service.domain.will import NO_WILL, Will, limits, will_for
from service.routing.asked import RoutingTable
from service.routing.assignments import Drawn
from service.routing.eligibility import Eligibility
from service.routing.narrowing import Draft, Narrowing
from service.routing.placed import placed
from service.routing.treatments import DEPLOYMENT, TIER, VERSION, Treatment

FORCED = "forced_by_operator"
BOUNDED = "bounded_by_operator"
PINNED = "pinned_by_operator"
FORCE_NOT_ELIGIBLE = "force_not_eligible"
PIN_NOT_READY = "pin_not_ready"
COST_CAP = "cost_cap"
AGAIN_S = 60.0
NEGLIGIBLE = 1e-9  # of the policy's shares, beside the one that a variant names


class Overriding:
    """Takes effect in the order of ``Action``; touches nothing where no override applies."""

    def __init__(
        self,
        table: RoutingTable,
        narrowing: Narrowing,
        eligibility: Eligibility,
        live: LivePolicy,
        clock: Clock,
    ) -> None:
        self._catalog = table.catalog
        self._index = {each.name: i for i, each in enumerate(table.catalog)}
        self._names = tuple(each.name for each in table.catalog)
        self._narrowing, self._eligibility = narrowing, eligibility
        self._live, self._clock = live, clock

    def will(self, task: str, holding: Sequence[Override], tenant: str, tier: str) -> Will:
        """What holds for a request."""
        if not holding:
            return NO_WILL
        return will_for(task, holding, tenant, tier, self._price)

    def _price(self, deployment: str) -> float:
        index = self._index.get(deployment)
        return (
            math.inf if index is None else typical_usd(self._catalog[index], self._clock.wall_us())
        )

    def settle(self, draft: Draft) -> tuple[int, str] | None:
        """Who answers by a kill or a force, and why; None where neither settles it. Exclusions are
        taken on the way.
        """
        if draft.will.killed is not None:
            return self._kill(draft, draft.will.killed), KILLED
        self._narrowing.exclusions(draft, draft.will)
        if draft.will.forced is not None:
            index = self._force(draft, draft.will.forced)
            if index is not None:
                return index, FORCED
        return None

    def named(self, draft: Draft, index: int) -> None:
        """Refuse the deployment that a caller names where operators took it out."""
        name, will = self._names[index], draft.will
        if will.killed is not None and will.killed.deployment != name:
            raise NoDeployment(
                f"an operator sends all of this to {will.killed.deployment} now; ask for auto to "
                "be answered by it",
                code=KILLED,
                retry_after_s=AGAIN_S,
            )
        if will.killed is None and name in will.excluded:
            raise NoDeployment(
                f"{name} is excluded by an operator now; ask for auto to be routed",
                code=EXCLUDED,
                retry_after_s=AGAIN_S,
            )

    def _kill(self, draft: Draft, override: Override) -> int:
        """Nobody but the deployment named may answer; where it cannot, nobody does."""
        index = self._index.get(override.deployment)
        told = {each.deployment: each.reason for each in draft.out}
        if index is None:
            why = "the plan no longer has it"
        else:
            asked, killed = draft.asked, self._catalog[index]
            incapable = self._eligibility.incapable(killed, asked.request, asked.task, asked.demand)
            if incapable is not None and incapable != "task":
                raise CapabilityMissing(
                    f"an operator sends all of this to {override.deployment} now, which cannot "
                    f"serve this request: {asked.demand.told(incapable)}"
                )
            why = "" if incapable else told.get(override.deployment, "")
        if index is None or why:
            raise NoDeployment(
                f"an operator sends all of this to {override.deployment} now, and it cannot answer "
                f"({why}); try later",
                code=KILLED,
                retry_after_s=AGAIN_S,
            )
        draft.override_id, draft.eligible = override.id, [index]
        draft.out = [each for each in draft.out if each.deployment != override.deployment]
        return index

    def _force(self, draft: Draft, override: Override) -> int | None:
        index = self._index.get(override.deployment)
        if index is None or index not in draft.eligible:
            draft.note = FORCE_NOT_ELIGIBLE  # said in the reason: hard limits are not crossed
            return None
        draft.override_id = override.id
        self._narrow(draft, override.deployment)
        return index

    def _narrow(self, draft: Draft, forced: str) -> None:
        """Rules, options and tiers do not stand against a force; they do against its fallbacks."""
        try:
            self._narrowing.rules(draft)
            self._narrowing.options(draft)
            self._narrowing.ladder(draft)
        except HeadgateError:  # nobody but the forced one is left
            draft.eligible = []
        draft.out = [each for each in draft.out if each.deployment != forced]

    def cap(self, draft: Draft) -> None:
        """Who is predicted to cost more than a cap leaves; where none fits the cheapest stays."""
        if not draft.eligible:
            return
        scores = draft.published.chooser.scores(draft.asked.context, draft.eligible)
        fits = np.ones(len(draft.eligible), dtype=bool)
        acted = ""
        for cap in draft.will.caps:
            mine = np.array([cap.deployment in ("", self._names[i]) for i in draft.eligible])
            beyond = mine & (scores.cost_usd > cap.usd)
            if beyond.any():
                fits &= ~beyond
                acted = cap.override_id
        if not acted:
            return
        if not fits.any():
            fits[int(scores.cost_usd.argmin())] = True
        draft.override_id = acted
        use = [self._names[i] for i, fit in zip(draft.eligible, fits, strict=True) if fit]
        self._narrowing.keep(draft, use, (), COST_CAP)

    def pin(self, draft: Draft, shipped: Treatment) -> bool:
        """Let the pinned version draw, in no experiment; whether it is there to do so."""
        override = draft.will.pinned
        assert override is not None
        wanted = self._live.of(override.target)
        width = draft.asked.context.features.shape[0]
        if wanted is None or wanted.width not in (0, width):
            draft.note = draft.note or PIN_NOT_READY
            return False
        draft.version, draft.pinned = placed(wanted, self._names), override.id
        draft.drawn = Drawn((), shipped.without(VERSION).without(DEPLOYMENT).without(TIER))
        return True

    def bounded(self, draft: Draft, probabilities: Vector, named: int | None) -> Vector:
        """The probabilities within the bounds, if there are any on those that are eligible; the
        draw is made from them. Where they differ, the decision has the id of the bounds whose
        deployment moved the most. ``named``: who has all of it, but for the bounds.
        """
        names = [self._names[i] for i in draft.eligible]
        found = limits(names, draft.will.bounds)
        if found is None:
            return probabilities
        if named is not None:
            sure = np.zeros_like(probabilities)
            sure[draft.eligible.index(named)] = 1.0 - NEGLIGIBLE
            probabilities = sure + NEGLIGIBLE * probabilities
        within = exploration.between(probabilities, *found)
        if within is probabilities:
            return within
        moved = {
            bound.override_id: abs(float(within[at] - probabilities[at]))
            for at, bound in enumerate(map(draft.will.bounds.get, names)) if bound is not None
        }  # fmt: skip
        draft.override_id = max(moved, key=moved.__getitem__)
        draft.note = draft.note or BOUNDED
        return within

    def bounds(self, draft: Draft) -> bool:
        """Whether there are bounds on any that is eligible."""
        bounds = draft.will.bounds
        return bool(bounds) and any(self._names[i] in bounds for i in draft.eligible)
