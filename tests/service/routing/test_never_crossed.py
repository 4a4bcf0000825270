"""No hard disqualifier is ever crossed: on no path, under no override, after no failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.design import Experiment, Unit, Variant
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import SystemClock
from service.domain.demands import Demand
from service.domain.errors import CapabilityMissing, HeadgateError
from service.domain.experiments import Shadow, ShadowDecision
from service.domain.expressions import parse as condition
from service.domain.live import Published
from service.domain.records import (
    Attempt,
    Decision,
    Disqualified,
    ErrorKind,
    Outcome,
    Override,
    PolicyMark,
    Role,
)
from service.orchestration.judge import INSTRUCTIONS
from service.orchestration.mirror import Mirror, MirrorParts
from service.providers.base import Answer, AnswerStream, Names, Provider, ProviderFailure, Tokens
from service.routing.asked import Requirement
from service.routing.assignments import Assignments, Running
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.eligibility import permitted
from service.routing.fleet import Failure
from service.routing.hedging import HedgeRules
from service.routing.ladder import NO_LADDERS, Ladder, Ladders, Tier
from service.routing.treatments import Treatment
from service.storage.database import Database
from service.storage.event_log import EventLog
from tests.service.routing.world import KEY, World, ask, deployment
from tests.upstream import answer_json

NAMES = ("one", "two", "three", "four")
REGIONS = ("", "eu", "us")
WORDS = (frozenset(), frozenset({"no_training"}), frozenset({"no_training", "no_retention"}))
CAN = (frozenset({"tools", "json"}), frozenset({"tools", "json", "images"}), frozenset({"json"}))
ACME = replace(KEY, id="key-2", name="acme-app", tenant="acme")
FAILURES = (ErrorKind.SERVER, ErrorKind.CONTEXT_LENGTH, ErrorKind.RATE_LIMIT, ErrorKind.CONNECTION)
ACTS = st.lists(st.sampled_from([None, None, *FAILURES]), min_size=1, max_size=6)
OF_ACME = Requirement(condition('tenant == "acme"'), None, frozenset(), Demand(frozenset({"eu"})))
OF_CODE = Requirement(None, "code", frozenset(), Demand(None, frozenset({"no_training"})))


class Chancy(Provider):
    """Fails as it is told, by turns; remembers who was called, and with what."""

    dialect = "openai"

    def __init__(self, acts: list[ErrorKind | None]) -> None:
        super().__init__()
        self.acts, self.calls = acts, list[tuple[str, bool]]()

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        judging = json.loads(body)["messages"][0]["content"] == INSTRUCTIONS
        self.calls.append((deployment.name, judging))
        act = self.acts[len(self.calls) % len(self.acts)]
        if act is not None and not judging:
            await asyncio.sleep(0)  # a hedge may begin meanwhile
            raise ProviderFailure(act, status=500)
        said = "A" if judging else f"words {len(self.calls)}"
        return Answer(answer_json(said, model=names.model), Tokens(10, 5), len(said))

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        self.calls.append((deployment.name, False))
        raise ProviderFailure(ErrorKind.SERVER, status=500)

    async def close(self) -> None:
        return None


@dataclass
class Book:
    attempts: list[Attempt] = field(default_factory=list)

    def attempt(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def outcome(self, outcome: Outcome) -> None:
        return None


def may(each: Deployment, request: ChatRequest, tenant: str, task: str) -> tuple[bool, bool]:
    """Told again from the ground up: may it answer, and may it see the prompt at all?"""
    wanted = request.options
    allowed = set(REGIONS)
    if wanted.region is not None:
        allowed &= {wanted.region} if isinstance(wanted.region, str) else set(wanted.region)
    if tenant == "acme":
        allowed &= {"eu"}
    words = set(wanted.data_policy) | ({"no_training"} if task == "code" else set())
    sees = each.region in allowed and all(word in each.data_policy for word in words)
    long = request.shape.tokens_in + min(request.shape.tokens_out_limit or 256, 256)
    can = all(need in each.capabilities for need in request.needs)
    return sees and can and long <= each.context_window, sees


@st.composite
def catalogs(draw: st.DrawFn) -> tuple[Deployment, ...]:
    return tuple(
        deployment(
            name, region=draw(st.sampled_from(REGIONS)), data_policy=draw(st.sampled_from(WORDS)),
            capabilities=draw(st.sampled_from(CAN)),
            context_window=draw(st.sampled_from((400, 8_000))),
            provider=draw(st.sampled_from(("north", "south"))),
        )
        for name in NAMES
    )  # fmt: skip


IMAGE = [{"type": "text", "text": "what is this"},
         {"type": "image_url", "image_url": {"url": "data:,"}}]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    options: dict[str, Any] = {"session_id": draw(st.sampled_from(("", "s")))}
    options["region"] = draw(st.sampled_from([None, None, "eu", ["eu", "us"]]))
    options["data_policy"] = draw(st.sampled_from([[], [], ["no_training"], ["no_retention"]]))
    options["task"] = draw(st.sampled_from([None, "code"]))
    more: dict[str, Any] = {}
    what = draw(st.sampled_from(("plain", "plain", "tools", "image", "long")))
    if what == "tools":
        more["tools"] = [{"type": "function", "function": {"name": "f"}}]
    if what == "image":
        more["messages"] = [{"role": "user", "content": IMAGE}]
    text = "word " * 500 if what == "long" else "hello there"
    options = {name: value for name, value in options.items() if value}
    model = draw(st.sampled_from(("auto", "auto", "auto", *NAMES)))
    return ask(text, model=model, headgate=options, stream=draw(st.booleans()) and False, **more)


OVERRIDES = st.lists(
    st.tuples(st.sampled_from(("force", "kill", "exclude", "bounds", "pin", "cost_cap")),
              st.sampled_from(NAMES)),
    max_size=2,
)  # fmt: skip


def lay(world: World, action: str, name: str) -> None:
    more: dict[str, Any] = {"least": 0.9, "greatest": 1.0} if action == "bounds" else {}
    more |= {"target": "v2"} if action == "pin" else {}
    more |= {"usd": 1e-9} if action == "cost_cap" else {}
    on = "" if action == "pin" else name
    world.overrides.append(
        Override(f"{action}-{name}", 0, action, on, "", "because", "me", 0, 10, **more)
    )


def stage(world: World, drawn: st.DataObject) -> None:
    """A second version, an experiment, ejected deployments: whatever there may be."""
    other = World(kind="uniform", of=(world.router.table.catalog, ()))
    world.live.others = {
        "v2": Published(other.policy.chooser(0.0), PolicyMark("default", "v2", "", 0))
    }
    if drawn.draw(st.booleans(), "experiment"):
        design = Experiment(
            slug="one", hypothesis="it is as good", goals=("success_rate",), unit=Unit.REQUEST,
            variants=(Variant("a", 0.5), Variant("b", 0.5)),
        )  # fmt: skip
        named = drawn.draw(st.sampled_from(NAMES), "variant")
        treatments = {"a": Treatment({"deployment": named}), "b": Treatment({"use": (named,)})}
        running = Running("one@1", design, "main", 0, 10_000, 100, treatments)
        world.assignments.current = Assignments([running])
    for name in drawn.draw(st.sets(st.sampled_from(NAMES)), "ejected"):  # all of them: panic
        for _ in range(20):
            how = Failure(ErrorKind.SERVER, None, False)
            world.fleet.failed(name, how, world.clock.monotonic_s())


@pytest.fixture(scope="module")
def event_log() -> Iterator[EventLog]:
    database = Database(None)
    log = EventLog(database, flush_s=0.001)
    log.start()
    yield log
    log.stop()
    database.close()


def ladders(drawn: st.DataObject) -> Ladders:
    if not drawn.draw(st.booleans(), "tiers"):
        return NO_LADDERS
    order = drawn.draw(st.permutations(NAMES), "order")
    return Ladders({"": Ladder([Tier(tuple(order[:2]), 0.5), Tier(tuple(order[2:]), 0.5)])})


async def served(
    world: World, dispatcher: Dispatcher, request: ChatRequest, mirror: Mirror
) -> Decision:
    decision = world.router.decide(request, ACME if request.user == "acme" else KEY)
    answer, how = await dispatcher.complete(decision, request)
    mirror.saw(decision, request, answer, how)
    return decision


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(catalogs(), st.lists(requests(), min_size=1, max_size=3), OVERRIDES, st.data())
def test_a_disqualified_deployment_is_never_called(
    event_log: EventLog,
    catalog: tuple[Deployment, ...],
    asked: list[ChatRequest],
    overrides: list[tuple[str, str]],
    drawn: st.DataObject,
) -> None:
    acts = drawn.draw(ACTS, "acts")
    world = World(of=(catalog, (OF_ACME, OF_CODE)), ladders=ladders(drawn))
    stage(world, drawn)
    provider, book = Chancy(acts), Book()
    bounds = Bounds((0.5, 0.5, 0.5), 0.1, 2.0, world.router.table.ladders,
                    hedging=HedgeRules(frozenset({"code", "other"}), 1.0))  # fmt: skip
    dispatcher = Dispatcher(
        Means(catalog, {"openai": provider}, world.router.alternatives, world.fleet, book,
              SystemClock(), bounds, allowed=world.router.allowed)
    )  # fmt: skip
    dispatcher.hedges.spent(10**9)  # there is money for every hedge
    world.fleet.p95_s = lambda *_: 0.0  # type: ignore[method-assign]
    judge, target = (drawn.draw(st.sampled_from(NAMES), who) for who in ("judge", "mirrored"))
    shadow = Shadow("s", 0, "v2", 1.0, 1.0, 10**9, judge, "ann", "to see what it does")
    tenant = drawn.draw(st.sampled_from(("", "acme")), "tenant")

    async def play() -> None:
        parts = MirrorParts(lambda: dispatcher, lambda: world.overrides, lambda: False,
                            event_log, SystemClock())  # fmt: skip
        mirror = Mirror(parts)
        mirror.watch(shadow, 0)
        mirror.pick = lambda _: shadow
        for at, request in enumerate(asked):
            if at == len(asked) - 1:
                for each in overrides:
                    lay(world, *each)
            before = len(provider.calls)
            mine = replace(request, user=tenant)
            task = "code" if request.options.task else "other"
            allowed = {each.name: may(each, request, tenant, task) for each in catalog}
            try:
                decision = await served(world, dispatcher, mine, mirror)
            except HeadgateError as error:
                _told_aloud(error, request, allowed, len(provider.calls) - before)
                decision = None
            if decision is not None and target in decision.candidates.names:  # as shadows choose
                names = decision.candidates.names
                mirror.turn([ShadowDecision(decision.id, 0, "v2", 1, target, 1.0, names,
                                            tuple(1.0 / len(names) for _ in names), 0.5, (), (),
                                            True)])  # fmt: skip
                while mirror.under_way:
                    await asyncio.sleep(0.001)
            for name, judging in provider.calls[before:]:
                answers, sees = allowed[name]
                assert sees if judging else answers, (name, judging)
        await mirror.stop()

    asyncio.run(play())


def _told_aloud(
    error: HeadgateError, request: ChatRequest, allowed: dict[str, tuple[bool, bool]], calls: int
) -> None:
    """Who names one that cannot is told so, by its name, and nobody is called."""
    if request.model in allowed and not allowed[request.model][0] and not calls:
        named = isinstance(error, CapabilityMissing) and request.model in error.message
        assert named or "operator" in error.message  # a kill or an exclusion is told first


@pytest.mark.parametrize("action", ["kill", "pin by name"])
def test_who_names_a_disqualified_deployment_is_refused_with_its_name(action: str) -> None:
    catalog = (deployment("here", region="eu"), deployment("there", region="us"))
    world = World(of=(catalog, ()))
    if action == "kill":
        lay(world, "kill", "there")
    model = "auto" if action == "kill" else "there"
    with pytest.raises(CapabilityMissing, match=r"there.*region \(demanded: eu\)"):
        world.router.decide(ask(model=model, headgate={"region": "eu"}), KEY)


def test_a_force_is_not_crossed_and_says_so() -> None:
    catalog = (deployment("here", region="eu"), deployment("there", region="us"))
    world = World(of=(catalog, ()))
    lay(world, "force", "there")
    decision = world.router.decide(ask(headgate={"region": "eu"}), KEY)
    assert (decision.deployment, decision.reason) == ("here", "force_not_eligible")
    assert [(d.deployment, d.reason) for d in decision.disqualified] == [("there", "region")]


def test_the_last_door_holds_whoever_comes() -> None:
    catalog = (deployment("here", region="eu"), deployment("there", region="us"),
               deployment("blind", region="eu", capabilities=frozenset()))  # fmt: skip
    world = World(of=(catalog, ()))
    tools = [{"type": "function", "function": {"name": "f"}}]
    decision = world.router.decide(ask(headgate={"region": "eu"}, tools=tools), KEY)
    for role in (None, *Role):
        with pytest.raises(CapabilityMissing, match="there"):
            permitted(decision, catalog[1], role)
    with pytest.raises(CapabilityMissing, match="blind"):
        permitted(decision, catalog[2], Role.FALLBACK)
    assert permitted(decision, catalog[2], Role.JUDGE) is catalog[2]  # asked a question of words
    assert permitted(decision, catalog[0], None) is catalog[0]
    untasked = replace(decision, disqualified=(Disqualified("here", "task"),))
    assert permitted(untasked, catalog[0], None) is catalog[0]  # a preference, no limit


def test_a_lowered_tier_does_not_lower_what_is_demanded() -> None:
    catalog = (deployment("wide", region="eu"), deployment("small", region="us"))
    paid = Requirement(condition('tier == "paid"'), None, frozenset(), Demand(frozenset({"eu"})))
    world = World(of=(catalog, (paid,)))
    key = replace(KEY, tier="paid")
    for _ in range(20):
        decision = world.router.decide(ask(headgate={"tier": "free"}), key)
        assert decision.deployment == "wide"


def test_demands_of_a_key_by_its_name_add_up_with_the_requests() -> None:
    catalog = (deployment("here", region="eu"), deployment("there", region="us"))
    mine = Requirement(None, None, frozenset({"k"}), Demand(frozenset({"eu"})))
    world = World(of=(catalog, (mine,)))
    with pytest.raises(CapabilityMissing, match="none fits all"):
        world.router.decide(ask(headgate={"region": "us"}), KEY)
    other = world.router.decide(ask(headgate={"region": "us"}), replace(KEY, name="else"))
    assert other.deployment == "there"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"data_policy": ["kindness"]}, "no_training, no_retention"), ({"region": []}, "is empty"),
     ({"region": 3}, "headgate")],
)  # fmt: skip
def test_a_demand_that_is_none_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(HeadgateError, match=said) as caught:
        World().router.decide(ask(headgate=options), KEY)
    assert caught.value.status == 400
