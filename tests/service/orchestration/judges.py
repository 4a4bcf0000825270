"""A world with judges: a provider that reads the real question and answers it in character."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from service.domain.catalog import Deployment
from service.domain.judging import rubrics
from service.orchestration.judging import Judges, JudgingRules
from service.orchestration.mirror import MirrorParts
from service.orchestration.rubrics import SHIPPED
from service.orchestration.simulated import Asked, answered, asked
from service.orchestration.spend import SharedSpend
from service.providers.base import Answer, Names, Tokens
from service.providers.simulated_judge import JudgeCharacter
from service.routing.dispatch import Bounds, Dispatcher, Means
from tests.service.orchestration.rig import SMALL, WIDE, Rig, Talker
from tests.service.routing.world import CATALOG
from tests.upstream import answer_json

SAID = [{"role": "user", "text": "Which planet is closest to the Sun?"}]


class Referee(Talker):
    """Judges by character; ``says`` instead, where it is given."""

    def __init__(self, judges: Mapping[str, JudgeCharacter]) -> None:
        super().__init__()
        self.judges = judges
        self.says: Callable[[Asked], str] | None = None
        self.questions: list[tuple[str, Asked]] = []
        self.worth: Callable[[str, str], tuple[float, tuple[str, ...]]] = lambda p, t: (0.5, ())

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        question = asked(json.loads(body)["messages"])
        if question is None or deployment.name in self.failing:
            return await super().complete(deployment, body, names)
        self.questions.append((deployment.name, question))
        await asyncio.sleep(0)
        said = (
            self.says(question)
            if self.says is not None
            else answered(question, deployment.name, self.worth, self.judges)
        )
        return Answer(answer_json(said), Tokens(300, 4), len(said))


class Bench(Rig):
    """A rig whose provider judges, with the judges over it."""

    def __init__(self, of: Mapping[str, JudgeCharacter] | None = None, **rules: Any) -> None:
        super().__init__()
        self.talker: Referee = Referee(of or {})
        bounds = Bounds((0.5, 0.5), 0.1, 2.0)
        self.dispatcher = Dispatcher(
            Means(CATALOG, {"openai": self.talker}, self.world.router.alternatives,
                  self.world.fleet, self, self.clock, bounds)
        )  # fmt: skip
        parts = MirrorParts(
            lambda: self.dispatcher, lambda: self.world.overrides, lambda: self.strained,
            self.log, self.clock,
        )  # fmt: skip
        self.judges = Judges(parts, SharedSpend(0, self.clock), salt="fixed")
        self.rule(**rules)

    def rule(self, cap: int = 10_000_000, **more: Any) -> None:
        """The plan's word."""
        fields: dict[str, Any] = {"judges": (SMALL, WIDE), "rubrics": rubrics(SHIPPED, ())}
        self.judges.take_rules(JudgingRules(**(fields | more)), cap)
