"""Answering by climbing: the way of requests that begin cheap and go on where that pays."""

from __future__ import annotations

from collections.abc import Callable

from learning.stopping import StopRule
from service.domain.chat import ChatRequest
from service.domain.escalation import WAY, ClimbStart
from service.domain.records import Decision
from service.orchestration.escalation.climb import CascadeRules, Climb, Ground
from service.providers.base import Answer
from service.routing.run import Served
from service.routing.several import Several


class Cascade:
    """A way of answering. ``rule`` is swapped whole by whoever learns it."""

    name = WAY

    def __init__(
        self, rules: CascadeRules, ground: Ground, ended: Callable[[ClimbStart, str], None]
    ) -> None:
        self.rules, self.ground = rules, ground
        self.rule = StopRule({})
        self._ended = ended

    def wants(self, decision: Decision, request: ChatRequest) -> bool:
        """Whether it climbs: what begins at the last rung is answered by a plain call."""
        return decision.climb is not None and decision.climb.began.climbs

    async def complete(self, decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        """The answer of the rung at which it ended."""
        start = decision.climb
        assert start is not None
        with Several(self.ground.dispatcher(), decision, request) as run:
            climb = Climb(self.ground, self.rules, self.rule, run, (decision, start, request))
            answer, served = await climb.served()
        self._ended(start, served.deployment.name)
        return answer, served
