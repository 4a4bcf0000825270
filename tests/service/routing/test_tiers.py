"""Tiers, the retry budget, cool-downs and poor answers, through the router and the dispatcher."""

from __future__ import annotations

import json

import pytest

from service.domain.clock import SystemClock
from service.domain.errors import NoDeployment, UpstreamExhausted
from service.domain.records import ErrorKind, Mode
from service.providers.base import Answer, Tokens
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.fleet import FleetRules
from service.routing.ladder import Ladder, Ladders, Tier
from tests.service.routing.test_dispatch import Book, Script, fails
from tests.service.routing.world import CATALOG, KEY, World, ask

LADDERS = Ladders(
    {"other": Ladder([Tier(("seeing",), 0.2), Tier(("wide", "small"), 0.3), Tier(("coder",), 1.0)])}
)


class Scene:
    """A router and a dispatcher with tiers, both on the machine's clock."""

    def __init__(self, rules: FleetRules | None = None, **acts: object) -> None:
        self.world, self.script, self.book = (
            World(rules=rules, ladders=LADDERS, clock=SystemClock()),
            Script(acts),
            Book(),
        )
        bounds = Bounds((0.3, 0.2, 0.1), 0.1, 0.9, LADDERS)
        self.dispatcher = Dispatcher(
            Means(CATALOG, {"openai": self.script}, self.world.router.alternatives,
                  self.world.fleet, self.book, SystemClock(), bounds)
        )  # fmt: skip

    async def serve(self, **more: object):  # type: ignore[no-untyped-def]
        request = ask(**more)
        self.decision = self.world.router.decide(request, KEY)
        return await self.dispatcher.complete(self.decision, request)


async def test_only_the_primary_is_drawn_and_the_tiers_follow_in_order() -> None:
    scene = Scene(seeing=fails(ErrorKind.SERVER), wide=fails(ErrorKind.SERVER))
    _, served = await scene.serve()
    assert scene.decision.deployment == "seeing" and scene.decision.propensity == 1.0
    out = {d.deployment: d.reason for d in scene.decision.disqualified}
    assert out == {
        "wide": "later_tier", "small": "later_tier", "coder": "task", "slow-lane": "in_no_tier",
    }  # fmt: skip
    assert scene.script.calls[0] == "seeing" and set(scene.script.calls) <= {
        "seeing",
        "wide",
        "small",
    }
    assert served.tier == 2 and served.mode is Mode.FALLBACK


async def test_a_tier_has_its_own_time() -> None:
    scene = Scene(seeing="hang")
    await scene.serve()
    assert scene.book.attempts[0].error_kind is ErrorKind.TIMEOUT
    assert 0.15 < scene.book.attempts[0].latency_s < 0.29


async def test_an_ejected_primary_is_skipped_without_a_call() -> None:
    scene = Scene(seeing=fails(ErrorKind.SERVER))
    for _ in range(5):
        await scene.serve()
    scene.script.calls.clear()
    _, served = await scene.serve()
    assert "seeing" not in scene.script.calls and served.mode is Mode.RANDOMISED
    assert served.tier == 2
    assert ("seeing", "ejected") in {(d.deployment, d.reason) for d in scene.decision.disqualified}
    with pytest.raises(NoDeployment, match="out of service") as caught:
        await scene.serve(model="seeing")
    assert caught.value.retry_after_s is not None and 25.0 < caught.value.retry_after_s <= 30.0


async def test_a_rate_limit_is_waited_for_in_full() -> None:
    scene = Scene(seeing=fails(ErrorKind.RATE_LIMIT, retry_after_s=500.0))
    await scene.serve()
    scene.script.calls.clear()
    for _ in range(20):
        await scene.serve()
    assert "seeing" not in scene.script.calls


async def test_extra_calls_end_with_the_budget() -> None:
    rules = FleetRules(retry_share=0.1, retry_reserve=3.0, most_ejected=0.0, panic_below=1.0)
    acts = dict.fromkeys(["seeing", "wide", "small"], fails(ErrorKind.CUT))
    scene, failed = Scene(rules, **acts), 0
    for _ in range(60):
        try:
            await scene.serve()
        except (UpstreamExhausted, NoDeployment):
            failed += 1
    assert failed == 60
    assert len(scene.script.calls) - 60 <= 3 + 6 + 1  # the reserve, a tenth, half a call a second
    assert len(scene.book.outcomes) == 60  # each with its terminal row


def poor(text: str) -> Answer:
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    return Answer(json.dumps(body).encode(), Tokens(10, 5), len(text))


async def test_an_answer_of_the_wrong_form_goes_to_the_next_tier() -> None:
    scene = Scene(seeing=poor("no json"), wide=poor("{}"), small=poor("{}"))
    _, served = await scene.serve(response_format={"type": "json_object"})
    assert served.tier == 2 and scene.book.attempts[0].error_kind is ErrorKind.QUALITY
    assert scene.book.attempts[0].usage.cost_micro_usd > 0  # it was answered, so it is billed
    assert scene.world.fleet.standings(0.0)[2].state == "closed"


async def test_a_poor_answer_is_better_than_none() -> None:
    scene = Scene(seeing=poor("no json"), wide=fails(ErrorKind.SERVER), small=fails(ErrorKind.CUT))
    answer, served = await scene.serve(response_format={"type": "json_object"})
    assert b"no json" in answer.body and served.deployment.name == "seeing"
    assert scene.book.outcomes[0].status == 200


async def test_the_fallbacks_of_a_force_keep_to_rules_options_and_tiers() -> None:
    scene = Scene(wide=fails(ErrorKind.SERVER))
    scene.world.override("force", "wide")
    _, served = await scene.serve(headgate={"exclude": ["small"]})
    assert scene.decision.mode is Mode.OVERRIDE and served.deployment.name == "seeing"
    assert [d.name for d in scene.world.router.alternatives(scene.decision)] == ["seeing"]


async def test_no_fallback_goes_over_the_limits_of_its_key() -> None:
    scene = Scene()
    full, fleet = CATALOG[-1], scene.world.fleet  # 500 tokens a minute
    fleet.windows.sent(full, 400, scene.dispatcher.clock.monotonic_s())
    request = ask()
    decision = scene.world.router.decide(request, KEY)
    run = scene.dispatcher.begin(decision, request)
    run.others = [full, CATALOG[1]]
    assert scene.dispatcher._now_free(run, scene.dispatcher.clock.monotonic_s()) == [CATALOG[1]]
