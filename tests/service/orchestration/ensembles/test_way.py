"""The way of an ensemble: every call an attempt, one outcome, and the row that says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from service.domain.chat import Options
from service.domain.errors import BudgetExceeded, ContentRefused, UpstreamExhausted
from service.domain.records import ErrorKind, Mode, Role
from service.orchestration.ensembles.rules import Comparing, Gathering
from service.orchestration.ensembles.standing import OFF
from service.orchestration.ensembles.worth import Lineup, price
from service.providers.base import ProviderFailure
from tests.service.orchestration.ensembles.scene import ALWAYS, Stage, rules
from tests.service.orchestration.rig import end
from tests.service.routing.world import deployment

THREE = {"brook": 0.6, "mill": 0.7, "river": 0.8}
Make = Callable[..., Stage]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Stage] = []

    def build(beliefs: dict[str, float] = THREE, stage: Any = None, **more: Any) -> Stage:
        made.append(Stage(rules(**more), beliefs, **(stage or {})))
        return made[-1]

    yield build
    for each in made:
        await end(each)


def replace_cap(options: Options, usd: float) -> Options:
    return msgspec.structs.replace(options, max_cost_usd=usd)


def parallel(**more: Any) -> dict[str, Any]:
    return {"members": ("brook", "mill", "river"), "gathering": Gathering(3, 3, **more)}


async def test_three_vote_and_every_call_is_an_attempt_of_one_decision(make: Make) -> None:
    stage = make(**parallel())
    stage.say(("brook", "It is 7."), ("mill", "about 9"), ("river", "so 7.0"))
    said, row = await stage.asks()
    assert said == "so 7.0", "of the two that agree, the more accurate one speaks"
    assert row.votes == ("A", "B", "A") and row.members == ("brook", "mill", "river")
    assert row.why.startswith("A has 67% of the votes of 3, 33% ahead") and row.chosen == 3
    assert [a.role for a in stage.attempts] == [Role.ENSEMBLE] * 3
    (outcome,) = stage.outcomes
    assert outcome.mode is Mode.ENSEMBLE and outcome.attempts == 3
    assert outcome.usage.cost_micro_usd == row.cost_micro_usd == sum(
        a.usage.cost_micro_usd for a in stage.attempts
    )  # fmt: skip
    assert stage.served is not None and stage.served.tier == 1, "members are no tiers"
    assert row.multiplier == pytest.approx(3.0) and row.arm == "ensemble" and row.probability == 1.0


async def test_an_adaptive_ensemble_of_one_deployment_stops_when_it_is_sure(make: Make) -> None:
    stage = make(members=("river",), gathering=Gathering(9, 1, stop="beta", sure=0.9))
    stage.say(*[("river", "it is 4")] * 9)
    _, row = await stage.asks()
    assert len(stage.talker.calls) == 3 and row.stopped == "beta" and row.multiplier == 3.0


async def test_the_best_single_is_asked_several_times_where_no_members_are_named(
    make: Make,
) -> None:
    stage = make(gathering=Gathering(3, 3), temperature=0.7)
    stage.say(*[("river", "1")] * 3)
    await stage.asks()
    assert stage.talker.calls == ["river"] * 3
    assert [each["temperature"] for each in stage.talker.bodies] == [0.7] * 3
    stage.say(*[("river", "1")] * 3)
    await stage.asks(temperature=0)
    assert [each["temperature"] for each in stage.talker.bodies[3:]] == [0] * 3


async def test_first_k_of_n_cancels_the_others_upstream(make: Make) -> None:
    stage = make(**parallel(first=2))
    stage.say(("brook", "7"), ("mill", asyncio.Event()), ("river", "7"))
    said, row = await stage.asks()
    assert said == "7" and row.states == ("answered", "cancelled", "answered")
    assert stage.talker.cancelled == ["mill"] and row.stopped == "first 2"
    kinds = {a.deployment: a.error_kind for a in stage.attempts}
    assert kinds["mill"] is ErrorKind.CANCELLED and len(stage.attempts) == 3


async def test_a_caller_who_leaves_cancels_all_and_is_recorded(make: Make) -> None:
    stage = make(**parallel())
    stage.say(*[(name, asyncio.Event()) for name in THREE])
    decision, request = stage.decided()
    task = asyncio.create_task(stage.way.complete(decision, request))
    async with asyncio.timeout(5):
        while len(stage.talker.calls) < 3:
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(stage.talker.cancelled) == sorted(THREE)
    assert {a.error_kind for a in stage.attempts} == {ErrorKind.CANCELLED}
    assert [o.status for o in stage.outcomes] == [499] and not stage.rows


async def test_what_came_by_the_deadline_is_taken(make: Make) -> None:
    stage = make(**parallel())
    stage.say(("brook", "7"), ("mill", asyncio.Event()), ("river", asyncio.Event()))
    said, row = await stage.asks(headgate={"deadline_s": 0.3})
    assert said == "7" and "answered" in row.states and row.states[1] in ("cancelled", "failed")
    assert stage.outcomes[0].latency_s < 2.0


async def test_the_callers_cap_holds_over_all_calls(make: Make) -> None:
    """A call may cost at most about 600 millionths by its worst case; the cap has room for one."""
    stage = make(**parallel())
    stage.say(*[(name, "7") for name in THREE], ("brook", "7"))
    said, row = await stage.asks(max_tokens=50, headgate={"max_cost_usd": 0.000_300})
    assert said == "7" and 1 <= len(stage.talker.calls) < 3 and "not asked" in row.states
    decision, request = stage.decided(max_tokens=50, headgate={"max_cost_usd": 0.000_300})
    poor = replace(request, options=replace_cap(request.options, 0.000_010))
    with pytest.raises(BudgetExceeded):
        await stage.way.complete(decision, poor)
    assert stage.outcomes[-1].status == BudgetExceeded.status


async def test_where_all_fail_somebody_else_answers_or_the_error_is_dispatchs(make: Make) -> None:
    failing = ProviderFailure(ErrorKind.SERVER, status=500)
    stage = make(members=("brook", "mill"), gathering=Gathering(2, 2))
    stage.say(("brook", failing), ("mill", failing), ("river", "7"), ("river", "7"))
    stage.say(("brook", "7"), ("mill", "7"))
    said, row = await stage.asks(headgate={"deployments": ["brook", "mill", "river"]})
    assert said == "7" and row.why.startswith("none of 2 answered")
    assert row.states == ("failed", "failed") and row.deployment == stage.outcomes[0].deployment
    other = make(members=("brook", "mill"), gathering=Gathering(2, 2))
    other.say(*[(name, failing) for name in (*THREE, *THREE)])
    with pytest.raises(UpstreamExhausted):
        await other.asks()
    assert len(other.outcomes) == 1 and other.outcomes[0].mode is Mode.ENSEMBLE
    (row,) = other.rows  # so that its arm is held to what it failed to answer
    assert (row.arm, row.stopped) == ("ensemble", "upstream_unavailable")
    assert row.chosen is None and row.cost_micro_usd == other.outcomes[0].usage.cost_micro_usd


async def test_a_refused_prompt_goes_to_nobody_else(make: Make) -> None:
    stage = make(**parallel())
    refusal = ProviderFailure(ErrorKind.POLICY, status=400)
    stage.say(("brook", refusal), ("mill", asyncio.Event()), ("river", asyncio.Event()))
    with pytest.raises(ContentRefused):
        await stage.asks()
    assert sorted(stage.talker.cancelled) == ["mill", "river"]


async def test_a_share_is_answered_by_the_single_with_its_probability(make: Make) -> None:
    stage = make(comparing=replace(ALWAYS, share=0.3, routed=0.2), **parallel())
    stage.say(*[(name, "7") for name in THREE for _ in range(60)])
    arms = {"ensemble": 0, "single": 0, "routed": 0}
    for _ in range(60):
        decision, request = stage.decided()
        if stage.way.wants(decision, request):
            _, served = await stage.way.complete(decision, request)
            assert served.mode is Mode.ENSEMBLE
        row = stage.rows[-1]
        arms[row.arm] += 1
        assert row.probability == pytest.approx(
            {"ensemble": 0.5, "single": 0.3, "routed": 0.2}[row.arm]
        )
        if row.arm == "single":
            assert row.deployment == "river" and row.multiplier is None
    assert all(arms.values()), "60 lots: none of the three is missed but once in 600,000"


async def test_it_stands_aside_and_says_why(make: Make) -> None:
    dear = make(comparing=Comparing(gain=0.0), **parallel())
    decision, request = dear.decided()
    assert not dear.way.wants(decision, request)
    assert dear.rows[-1].arm == "aside" and dear.rows[-1].why.startswith("not worth it: expected")
    stage = make(**parallel())
    for more, why in (
        ({"n": 2}, "several choices"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "needs tools"),
    ):
        decision, request = stage.decided(**more)
        assert not stage.way.wants(decision, request) and why in stage.rows[-1].why
    standing = stage.standings.of(stage.standings.rules[0], "other")
    standing.state, standing.why = OFF, "it loses"
    decision, request = stage.decided()
    assert not stage.way.wants(decision, request)
    assert stage.rows[-1].why == "switched off: it loses"
    alone = make(members=("brook", "mill"), within=0.01, gathering=Gathering(2, 2))
    decision, request = alone.decided()
    assert not alone.way.wants(decision, request) and "fewer than two" in alone.rows[-1].why
    named = stage.decided(model="brook")
    assert stage.way.course(*named) is None, "a named deployment is no ensemble's"


def test_what_fuses_is_expected_to_cost_what_its_fuser_costs() -> None:
    few = tuple(deployment(name) for name in ("brook", "mill"))
    line = Lineup(few, few[0], {}, {"brook": 0.001, "mill": 0.002, "fall": 0.1})
    assert price(rules(by="fusion", fuser="fall"), line, None).extra_usd == pytest.approx(0.202)
    assert price(rules(), line, None).extra_usd == pytest.approx(0.002)
