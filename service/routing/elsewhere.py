"""Where to go after a failure: the others that were eligible, in the order of their use."""

from __future__ import annotations

import numpy as np

from learning.interaction import Context
from service.domain.catalog import Deployment
from service.domain.escalation import EARLIER_RUNG, LATER_RUNG
from service.domain.guesses import UNSURE
from service.domain.live import LivePolicy
from service.domain.prediction import UNLIKELY
from service.domain.records import Decision
from service.domain.will import Will
from service.routing.asked import RoutingTable
from service.routing.narrowing import LATER_TIER, SPARED

LATER = (
    LATER_TIER,
    SPARED,
    UNSURE,
    LATER_RUNG,
    EARLIER_RUNG,
)  # who may be called after a failure, though not drawn


class Elsewhere:
    """By the plan's tiers, and the live policy's order within one."""

    def __init__(self, table: RoutingTable, live: LivePolicy) -> None:
        self._table, self._live = table, live
        self._names = tuple(each.name for each in table.catalog)
        self._index = {name: i for i, name in enumerate(self._names)}

    def after(self, decision: Decision, will: Will) -> list[Deployment]:
        """The others, in the order of the tiers, the policy's best first within a tier. Whether
        each may be called is asked at the call.
        """
        if will.killed is not None and will.killed.deployment == decision.deployment:
            return []
        out = decision.disqualified
        unlikely = [each.deployment for each in out if each.reason == UNLIKELY]
        later = [each.deployment for each in out if each.reason in LATER]
        others = [
            self._index[name]
            for name in (*decision.candidates.names, *later, *unlikely)
            if name != decision.deployment and name in self._index
            and (name not in will.excluded if will.killed is None
                 else name == will.killed.deployment)
        ]  # fmt: skip
        others = self._best_first(decision, others)
        unsure = {each.deployment for each in out if each.reason == UNSURE}
        ladder = self._table.ladders.of(decision.task)
        if ladder is not None and not unsure:
            tiers = {i: ladder.tier(self._names[i]) for i in others}
            others = [i for i in others if tiers[i] is not None]
            others.sort(key=lambda i: tiers[i] or 0)
        if unsure:  # the safe ones first
            others.sort(key=lambda i: self._names[i] in unsure)
        if unlikely:  # better than no answer, and worse than any other
            others.sort(key=lambda i: self._names[i] in unlikely)
        return [self._table.catalog[i] for i in others]

    def _best_first(self, decision: Decision, others: list[int]) -> list[int]:
        if len(others) < 2:
            return others
        context = Context(
            decision.features, decision.tokens_in, decision.tokens_out_limit, decision.cost_dial
        )
        utility = self._live.current.chooser.scores(context, others).utility
        return [others[i] for i in np.argsort(-utility, kind="stable")]
