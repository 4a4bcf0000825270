"""Who may answer: exclusions, rules, variants, options and tiers, each naming whom it took out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.domain.errors import EXCLUDED, CapabilityMissing, NoDeployment
from service.domain.escalation import ClimbStart
from service.domain.experiments import Assigned
from service.domain.guesses import NO_SAFE, UNSURE
from service.domain.live import Published
from service.domain.records import Disqualified
from service.domain.staying import Stay
from service.domain.will import NO_WILL, Will
from service.routing.asked import Asked, RoutingTable, cost_dial
from service.routing.assignments import NOTHING, Drawn
from service.routing.eligibility import only
from service.routing.fleet import Fleet
from service.routing.placed import Placed
from service.routing.treatments import (
    EXCLUDE,
    MAX_COST,
    MIN_QUALITY,
    QUALITY_COST,
    USE,
)

LATER_TIER = "later_tier"
SPARED = "soft_budget"  # dearer than the cheapest, while a budget is spent to its soft limit
UNWELL = {"ejected", "probing", "silent", "cooling", "busy", "filling", "throttled"}


@dataclass(slots=True)
class Draft:
    """A decision in the making. ``drawn``: what its experiments have for it; ``assigned``: what
    is recorded of that; ``version``: the policy that a variant or an operator names; ``will``: what
    operators want of it.
    """

    id: str
    asked: Asked
    published: Published
    now_s: float
    eligible: list[int]
    out: list[Disqualified]
    override_id: str | None = None
    note: str = ""
    drawn: Drawn = NOTHING
    assigned: tuple[Assigned, ...] = ()
    version: Placed | None = None
    will: Will = NO_WILL
    pinned: str | None = None  # the override whose version draws
    stay: Stay | None = None  # whether its session should leave
    credit: tuple[int, float] | None = None  # who holds it, and what its warm cache saves, in USD
    foreseen: tuple[str, tuple[str, ...]] = ("", ())  # what was done by the chances, and to whom
    climb: ClimbStart | None = None


class Narrowing:
    """Takes out of a draft who may not answer it."""

    def __init__(self, table: RoutingTable, fleet: Fleet) -> None:
        self.table, self._fleet = table, fleet
        self._names = tuple(each.name for each in table.catalog)

    def exclusions(self, draft: Draft, will: Will) -> None:
        """What operators excluded."""
        if not will.excluded:
            return
        was = len(draft.eligible)
        self.keep(draft, (), tuple(will.excluded), "override")
        if len(draft.eligible) < was:
            gone = [d.deployment for d in draft.out if d.deployment in will.excluded]
            draft.override_id = will.excluded[gone[-1]]

    def rules(self, draft: Draft) -> None:
        """What the plan's first rule that holds says."""
        if not self.table.rules:
            return
        for rule in self.table.rules:
            if rule.task is not None and rule.task != draft.asked.task:
                continue
            if rule.condition is None or rule.condition(draft.asked.names):
                self.keep(draft, rule.use, rule.exclude, "rule")
                return

    def options(self, draft: Draft) -> None:
        """What the request itself says; raises where nobody is left."""
        options = draft.asked.request.options
        if options.deployments or options.exclude:
            self.keep(draft, options.deployments, options.exclude, "caller")
        if not draft.eligible:
            raise self.nobody(draft)
        if options.max_cost_usd is None and options.min_quality is None:
            return
        scores = draft.published.chooser.scores(draft.asked.context, draft.eligible)
        fits = np.ones(len(draft.eligible), dtype=bool)
        if options.max_cost_usd is not None:
            cost = scores.cost_usd
            if draft.credit is not None and draft.credit[0] in draft.eligible:
                cost = cost.copy()
                cost[draft.eligible.index(draft.credit[0])] -= draft.credit[1]
            fits &= cost <= options.max_cost_usd
        if options.min_quality is not None:
            fits &= scores.quality >= options.min_quality
        use = [self._names[i] for i, fit in zip(draft.eligible, fits, strict=True) if fit]
        if not use:
            raise CapabilityMissing(
                "no deployment is predicted to stay within headgate.max_cost_usd and to reach "
                "headgate.min_quality for this request; relax one of them",
                param="headgate",
                code="no_deployment_fits",
            )
        self.keep(draft, use, (), "bounds")

    def unsure(self, draft: Draft) -> None:
        """A request whose task is not sure goes on by the safe ones; by whom there is where none of
        them is left, which is told.
        """
        finder = self.table.finder
        if finder is None or not finder.safe:
            return
        kept, out = only(draft.eligible, self.table.catalog, finder.safe, (), UNSURE)
        if kept:
            draft.eligible, draft.out = kept, draft.out + out
        else:
            draft.note = NO_SAFE

    def ladder(self, draft: Draft) -> None:
        """Only the first tier that has anybody left is drawn from; the others wait behind it."""
        ladder = self.table.ladders.of(draft.asked.task)
        if ladder is None:
            return
        first, later = ladder.first([self._names[i] for i in draft.eligible])
        if not first and any(each.reason == UNSURE for each in draft.out):
            return  # the tiers are those of a task that it may not be of
        if not first:
            raise self.nobody(draft)
        outside = [self._names[i] for i in draft.eligible if self._names[i] not in first | later]
        if outside:
            self.keep(draft, (), outside, "in_no_tier")
        if later:
            self.keep(draft, (), sorted(later), LATER_TIER)

    def variant(self, draft: Draft) -> None:
        """What the variants of its experiments say. Where that would leave nobody it is let be: an
        experiment may never fail a request.
        """
        treatment = draft.drawn.treatment
        for name, reason in ((USE, "experiment"), (EXCLUDE, "experiment")):
            listed = treatment.get(name)
            if listed is None:
                continue
            use, exclude = (listed, ()) if name == USE else ((), listed)
            kept, out = only(draft.eligible, self.table.catalog, use, exclude, reason)
            if kept:
                draft.eligible, draft.out = kept, draft.out + out
        dial = treatment.get(QUALITY_COST)
        if dial is not None and draft.asked.request.options.quality_cost is None:
            context = replace(draft.asked.context, cost_dial=cost_dial(dial))
            draft.asked = replace(draft.asked, context=context)

    def unknown_to_version(self, draft: Draft, known: Sequence[int]) -> None:
        """A version from before a deployment was added cannot choose it."""
        if len(known) < len(draft.eligible):
            use = [self._names[i] for i in known]
            self.keep(draft, use, (), "unknown_to_version")

    def thresholds(self, draft: Draft) -> None:
        """The variants' bounds on what is predicted, for those that reach them."""
        least, most = (draft.drawn.treatment.get(name) for name in (MIN_QUALITY, MAX_COST))
        if least is None and most is None:
            return
        scores = draft.published.chooser.scores(draft.asked.context, draft.eligible)
        fits = np.ones(len(draft.eligible), dtype=bool)
        if least is not None:
            fits &= scores.quality >= least
        if most is not None:
            fits &= scores.cost_usd <= most
        use = [self._names[i] for i, fit in zip(draft.eligible, fits, strict=True) if fit]
        if use:
            self.keep(draft, use, (), "experiment")

    def keep(self, draft: Draft, use: Sequence[str], exclude: Sequence[str], reason: str) -> None:
        """Keep what ``use`` names (all when empty) and ``exclude`` does not."""
        kept, out = only(draft.eligible, self.table.catalog, use, exclude, reason)
        draft.eligible = kept
        draft.out += out

    def nobody(self, draft: Draft) -> Exception:
        """The error that says why nobody may answer."""
        reasons = {each.reason for each in draft.out}
        ill = {
            each.deployment for each in draft.out
            if each.reason in UNWELL or each.reason == "rate_limit"
        }  # fmt: skip
        if "override" in reasons and ill <= set(draft.will.excluded):
            return NoDeployment(
                "every deployment that could serve this is excluded by an operator now",
                code=EXCLUDED,
                retry_after_s=60.0,
            )
        if "rate_limit" in reasons:
            return NoDeployment(
                "every deployment that could serve this is at its provider's rate limit",
                code="deployments_rate_limited",
                retry_after_s=self._fleet.windows.free_in_s(draft.now_s),
            )
        if unwell := [each.deployment for each in draft.out if each.reason in UNWELL]:
            return NoDeployment(
                "every deployment that could serve this is out of service or full now",
                code="deployments_unavailable",
                retry_after_s=self._fleet.free_in_s(unwell, draft.now_s),
            )
        demand = draft.asked.demand
        told = "; ".join(f"{each.deployment}: {demand.told(each.reason)}" for each in draft.out)
        return CapabilityMissing(f"no deployment can serve this request ({told})")
