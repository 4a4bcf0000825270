"""A router on a small catalogue, for the tests of this room."""

from __future__ import annotations

import json
import random
from typing import Any

from learning.features import Featurizer
from learning.policies.base import PolicySetup
from learning.policies.registry import build
from learning.reward import RewardScale
from service.domain.catalog import Deployment, Limits, Price
from service.domain.chat import ChatRequest, parse
from service.domain.expressions import parse as condition
from service.domain.live import LivePolicy, Published
from service.domain.records import Key, Override, PolicyMark
from service.feedback.versions import arm_of
from service.routing.asked import Requirement, RoutingTable, Rule
from service.routing.assignments import AssignmentHolder
from service.routing.finding import TaskFinder
from service.routing.fleet import Fleet, FleetRules
from service.routing.ladder import NO_LADDERS, Ladders
from service.routing.predicting import Prediction
from service.routing.router import Router, RouterParts
from service.routing.sessions import Sessions
from tests.conftest import HandClock

KEY = Key("key-1", 0, "k", "caller", "", "", "d")


def deployment(name: str, **more: Any) -> Deployment:
    fields: dict[str, Any] = {
        "name": name, "dialect": "openai", "base_url": "http://127.0.0.1:1/v1", "model": name,
        "prices": (Price(1_000_000, 2_000_000),), "provider": f"of-{name}",
        "capabilities": frozenset({"tools", "json"}), "context_window": 8_000,
    }  # fmt: skip
    return Deployment(**(fields | more))


CATALOG = (
    deployment("small", context_window=1_000, provider="north"),
    deployment("wide", context_window=100_000, provider="north"),
    deployment("seeing", capabilities=frozenset({"tools", "json", "images"})),
    deployment("coder", tasks=frozenset({"code"})),
    deployment("slow-lane", limits=Limits(requests_per_minute=2, tokens_per_minute=500)),
)


class World:
    """A router and what a test may change about it."""

    def __init__(
        self,
        kind: str = "linear",
        sticky: bool = True,
        rules: FleetRules | None = None,
        ladders: Ladders = NO_LADDERS,
        clock: Any = None,
        of: tuple[tuple[Deployment, ...], tuple[Requirement, ...]] = (CATALOG, ()),
        **policy: Any,
    ) -> None:
        catalog, requirements = of
        finder: TaskFinder | None = policy.pop("finder", None)
        prediction: Prediction | None = policy.pop("prediction", None)
        self.clock = clock or HandClock()
        self.overrides: list[Override] = []
        self.fleet = Fleet(catalog, rules)
        self.windows = self.fleet.windows
        featurizer = Featurizer(["code", "other"])
        setup = PolicySetup(
            tuple(arm_of(each, 0) for each in catalog), featurizer.names, RewardScale(0.1, 60.0)
        )
        self.policy = build(kind, setup, policy)
        mark = PolicyMark("default", "v", "c", 0)
        self.live = LivePolicy(Published(self.policy.chooser(0.0), mark))
        table = RoutingTable(
            catalog=catalog,
            tasks=(("code", condition("has_code")),),
            rules=(Rule(condition('tier == "free"'), None, ("small", "wide"), ()),),
            tiers=("free", "paid"),
            policy="default",
            sticky=sticky,
            ladders=ladders,
            finder=finder,
            requirements=requirements,
        )
        self.sessions = Sessions(idle_s=100.0)
        self.assignments = AssignmentHolder()
        self.router = Router(
            table,
            RouterParts(
                live=self.live, featurizer=featurizer, fleet=self.fleet,
                sessions=self.sessions, holding=lambda: self.overrides, clock=self.clock,
                chance=random.Random(1), secret=b"secret", assignments=self.assignments,
                prediction=prediction,
            ),
        )  # fmt: skip

    def override(self, action: str, name: str, task: str = "") -> Override:
        made = Override(f"{action}-{name}", 0, action, name, task, "because", "me", 0, 10)
        self.overrides.append(made)
        return made


def ask(text: str = "hello there", **more: Any) -> ChatRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | more
    return parse(json.dumps(body).encode())
