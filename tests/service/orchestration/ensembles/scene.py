"""An ensemble over a scripted provider: who says what, in which order, how late."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import replace
from typing import Any

from service.domain.catalog import Deployment
from service.domain.ensembles import Ensembled
from service.domain.records import Decision
from service.orchestration.ensembles.choosing import Chooser
from service.orchestration.ensembles.fusing import TOLD
from service.orchestration.ensembles.rules import Comparing, EnsembleRules
from service.orchestration.ensembles.standing import Standings
from service.orchestration.ensembles.way import EnsembleWay, WayParts
from service.orchestration.judge import said_by
from service.orchestration.judging import Judges
from service.orchestration.mirror import MirrorParts
from service.orchestration.spend import SharedSpend
from service.providers.base import Answer, Names, ProviderFailure, Tokens
from service.routing.budgets import Budgets
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.router import Router
from service.routing.run import Served
from tests.service.orchestration.judges import Bench, Referee
from tests.service.routing.world import KEY, World, ask, deployment
from tests.upstream import answer_json

ALWAYS = Comparing(share=0.0, routed=0.0, gain=1.0)  # never the single, whatever it costs
Says = str | ProviderFailure | asyncio.Event


class Cast(Referee):
    """Deployments say their lines in turn; an event is waited for, a failure raised."""

    def __init__(self) -> None:
        super().__init__({})
        self.lines: dict[str, list[Says]] = defaultdict(list)
        self.bodies: list[dict[str, Any]] = []
        self.fused: list[dict[str, Any]] = []
        self.cancelled: list[str] = []

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        told = json.loads(body)
        if len(told["messages"]) == 2 and told["messages"][0]["content"] == TOLD:
            self.fused.append(json.loads(told["messages"][1]["content"]))
        elif told["messages"][0]["role"] == "system":
            return await super().complete(deployment, body, names)
        self.calls.append(deployment.name)
        self.bodies.append(told)
        says = self.lines[deployment.name].pop(0)
        while isinstance(says, asyncio.Event):
            try:
                await says.wait()
            except asyncio.CancelledError:
                self.cancelled.append(deployment.name)
                raise
            says = self.lines[deployment.name].pop(0)
        if isinstance(says, ProviderFailure):
            raise says
        return Answer(answer_json(says, model=names.model), Tokens(100, 50), len(says))


class Stage(Bench):
    """A router, a dispatcher, judges and one ensemble over the cast."""

    def __init__(
        self, rules: EnsembleRules, beliefs: dict[str, float], judges: tuple[str, ...] = (),
        deadline_s: float = 5.0, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        catalog = tuple(
            deployment(name, prior_quality=quality, **more.get(name, {}))
            for name, quality in beliefs.items()
        )
        self.world = World(of=(catalog, ()), clock=self.clock)
        self.talker: Cast = Cast()
        self.budgets = Budgets(self.clock, lambda key: key)
        means = Means(
            catalog, {"openai": self.talker}, self.world.router.alternatives, self.world.fleet,
            self, self.clock, Bounds((deadline_s,), 0.5, deadline_s), budgets=self.budgets,
        )  # fmt: skip
        self.dispatcher = Dispatcher(means)
        mirror = MirrorParts(
            lambda: self.dispatcher, lambda: self.world.overrides, lambda: False, self.log,
            self.clock,
        )  # fmt: skip
        self.judges = Judges(mirror, SharedSpend(0, self.clock), salt="fixed")
        self.rule(judges=judges)
        self.rows: list[Ensembled] = []
        self.standings = Standings(self.log.append, self.clock)
        self.standings.take_rules([rules])
        parts = WayParts(
            lambda: self.dispatcher, lambda: frozenset({"auto"}), lambda: 1.0,
            Chooser(self.judges), self.rows.append, self.clock,
        )  # fmt: skip
        self.way = EnsembleWay(parts, self.standings)
        self.served: Served | None = None  # the last one

    @property
    def router(self) -> Router:
        return self.world.router

    def say(self, *lines: tuple[str, Says]) -> None:
        for name, says in lines:
            self.talker.lines[name].append(says)

    def decided(self, text: str = "How much?", **more: Any) -> tuple[Decision, Any]:
        request = ask(text, **more)
        return self.router.decide(request, KEY), request

    async def asks(self, text: str = "How much?", **more: Any) -> tuple[str, Ensembled]:
        """One request answered by the ensemble: what was said, and the row."""
        decision, request = self.decided(text, **more)
        assert self.way.wants(decision, request), self.rows[-1].why if self.rows else "no ensemble"
        return await self.answered_by_ensemble(decision, request)

    async def answered_by_ensemble(self, decision: Decision, request: Any) -> tuple[str, Ensembled]:
        answer, self.served = await self.way.complete(decision, request)
        return said_by(answer.body) or "", self.rows[-1]


def rules(**more: Any) -> EnsembleRules:
    """One for every request of the task ``other``."""
    fields: dict[str, Any] = {
        "name": "e", "tasks": ("other",), "within": 1.0, "answers": "number", "comparing": ALWAYS,
    }  # fmt: skip
    return replace(EnsembleRules("e"), **(fields | more))
