"""May an answer that a deployment once gave be given for this request, by what is in force now?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from service.domain.live import LivePolicy
from service.domain.records import Override
from service.domain.will import will_for
from service.routing.asked import Asked, RoutingTable
from service.routing.eligibility import Eligibility
from service.routing.fleet import Fleet


class StillPermitted:
    """By capabilities, regions, data policies, rules, tiers, the request's options, kills, forces
    and exclusions. Who is ill, full or too dear is not asked: nobody is called.
    """

    def __init__(
        self,
        table: RoutingTable,
        fleet: Fleet,
        live: LivePolicy,
        holding: Callable[[], Sequence[Override]],
    ) -> None:
        self._table, self._live, self._holding = table, live, holding
        self._eligibility = Eligibility(table.catalog, fleet)
        self._index = {each.name: i for i, each in enumerate(table.catalog)}

    def __call__(self, asked: Asked, deployment: str) -> bool:
        """Whether it may."""
        index = self._index.get(deployment)
        if index is None:
            return False
        each = self._table.catalog[index]
        request, options = asked.request, asked.request.options
        unable = self._eligibility.incapable(each, request, asked.task, asked.demand)
        if unable is not None and not (unable == "task" and request.model == deployment):
            return False
        if not self._willed(asked, deployment):
            return False
        if request.model in self._index:  # a pin: by that one, over rules, tiers and options
            return request.model == deployment
        if options.deployments and deployment not in options.deployments:
            return False
        if deployment in options.exclude:
            return False
        if not self._ruled(asked, deployment) or not self._laddered(asked, deployment):
            return False
        if options.min_quality is None:
            return True
        scores = self._live.current.chooser.scores(asked.context, [index])
        return bool(scores.quality[0] >= options.min_quality)

    def _willed(self, asked: Asked, deployment: str) -> bool:
        holding = self._holding()
        if not holding:
            return True
        who = asked.caller
        will = will_for(asked.task, holding, who.tenant, who.tier)
        if will.killed is not None:
            return will.killed.deployment == deployment
        if deployment in will.excluded:
            return False
        pinned = asked.request.model in self._index
        return pinned or will.forced is None or will.forced.deployment == deployment

    def _ruled(self, asked: Asked, deployment: str) -> bool:
        for rule in self._table.rules:
            if rule.task is not None and rule.task != asked.task:
                continue
            if rule.condition is None or rule.condition(asked.names):
                return (not rule.use or deployment in rule.use) and deployment not in rule.exclude
        return True

    def _laddered(self, asked: Asked, deployment: str) -> bool:
        finder = self._table.finder
        if asked.unsure and finder is not None and finder.safe:
            return deployment in finder.safe
        ladder = self._table.ladders.of(asked.task)
        return ladder is None or ladder.tier(deployment) is not None
