"""A dispatcher over a provider that talks and judges, a log, and a mirror for one shadow."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from service.domain.catalog import Deployment
from service.domain.clock import SystemClock
from service.domain.experiments import Shadow, ShadowDecision
from service.domain.records import Attempt, Decision, Outcome
from service.orchestration.judge import INSTRUCTIONS
from service.orchestration.mirror import Mirror, MirrorParts
from service.orchestration.spend import day_of
from service.providers.base import Answer, AnswerStream, Names, Provider, ProviderFailure, Tokens
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.storage.cases import rows_of
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.shadows import ShadowStore
from tests.service.routing.world import CATALOG, KEY, World, ask
from tests.upstream import answer_json

WIDE, SEEING, SMALL, CODER = "wide", "seeing", "small", "coder"
SECRET = "canary-prompt-51c9"


class Talker(Provider):
    """A provider whose deployments say their words; asked to judge, they say the next letter."""

    dialect = "openai"

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[str, str] = {}
        self.letters: list[str] = []
        self.failing: dict[str, ProviderFailure] = {}
        self.slow: asyncio.Event | None = None
        self.judged: list[bytes] = []
        self.calls: list[str] = []

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        self.calls.append(deployment.name)
        if failure := self.failing.get(deployment.name):
            raise failure
        if self.slow is not None and deployment.name == SEEING:
            await self.slow.wait()
        if json.loads(body)["messages"][0]["content"] == INSTRUCTIONS:
            self.judged.append(body)
            return Answer(answer_json(self.letters.pop(0)), Tokens(300, 1), 1)
        said = self.words.get(deployment.name, f"words of {len(self.calls)}")
        return Answer(answer_json(said, model=names.model), Tokens(100, 50), len(said))

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        raise NotImplementedError

    async def close(self) -> None:
        return None


class Rig:
    """A dispatcher over the talker, a log, and a mirror for one shadow."""

    def __init__(self, **shadow: Any) -> None:
        self.world, self.talker, self.clock = World(), Talker(), SystemClock()
        self.database = Database(None)
        self.log = EventLog(self.database, flush_s=0.005)
        self.log.start()
        self.attempts: list[Attempt] = []
        self.outcomes: list[Outcome] = []
        self.strained = False
        bounds = Bounds((0.5, 0.5), 0.1, 2.0)
        self.dispatcher = Dispatcher(
            Means(CATALOG, {"openai": self.talker}, self.world.router.alternatives,
                  self.world.fleet, self, self.clock, bounds)
        )  # fmt: skip
        made = Shadow("s", 0, "v2", 1.0, 1.0, 1_000_000, "", "ann", "to see what it does")
        self.shadow = replace(made, **shadow)
        self.mirror = self.restarted()

    @classmethod
    def bare(cls) -> Rig:
        """Only the world."""
        made = cls.__new__(cls)
        made.world = World()
        return made

    def restarted(self) -> Mirror:
        parts = MirrorParts(
            lambda: self.dispatcher, lambda: self.world.overrides, lambda: self.strained,
            self.log, self.clock,
        )  # fmt: skip
        made = Mirror(parts)
        today_us = day_of(self.clock.wall_us())
        store = ShadowStore(self.database)
        made.watch(self.shadow, store.spent_micro_usd(self.shadow.version_id, today_us))
        made.pick = lambda _: self.shadow
        return made

    def attempt(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self.log.append(attempt)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def decide(self, text: str = SECRET, **more: Any) -> tuple[Decision, Any]:
        """A decision for WIDE."""
        request = ask(text, **({"headgate": {"deployments": [WIDE, SEEING, SMALL]}} | more))
        while True:
            decision = self.world.router.decide(request, KEY)
            if decision.deployment == WIDE:
                return decision, request

    async def answered(self, **more: Any) -> Decision:
        """One request, answered."""
        decision, request = self.decide(**more)
        answer, served = await self.dispatcher.complete(decision, request)
        self.mirror.saw(decision, request, answer, served)
        return decision

    def choose(self, decision: Decision, deployment: str = SEEING) -> ShadowDecision:
        made = ShadowDecision(decision.id, self.clock.wall_us(), "v2", 1, deployment, 0.5,
                              (WIDE, SEEING), (0.5, 0.5), 0.7, (), (), True)  # fmt: skip
        self.log.append(made)
        return made

    async def mirrored(self, deployment: str = SEEING, **more: Any) -> Decision:
        """One request answered and all that comes after it."""
        decision = await self.answered(**more)
        self.mirror.turn([self.choose(decision, deployment)])
        await self.settled()
        return decision

    async def settled(self) -> None:
        async with asyncio.timeout(5):
            while self.mirror.under_way:
                await asyncio.sleep(0.002)

    @property
    def counts(self) -> dict[str, int]:
        return {k: n for k, n in self.mirror.counts("v2").items() if n and k != "sampled"}

    def judgements(self) -> list[dict[str, Any]]:
        self.log.flush().result(5)
        return rows_of(self.database.cursor(), "SELECT * FROM judgements ORDER BY log_seq")


async def end(rig: Rig) -> None:
    await rig.mirror.stop()
    rig.log.stop()
    rig.database.close()


def judged(rig: Rig, judge: str = SMALL, cap: int = 1_000_000) -> None:
    rig.shadow = replace(rig.shadow, judge=judge, cap_micro_usd=cap)
    rig.mirror = rig.restarted()
