"""Several calls of one decision: each its attempt, all paid, one outcome, whatever ends it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from service.domain.budgets import Budget, Scope
from service.domain.clock import SystemClock
from service.domain.errors import BudgetExceeded, UpstreamExhausted
from service.domain.periods import Period
from service.domain.records import ErrorKind, Mode, Role
from service.routing.budgets import BudgetRules, Budgets
from service.routing.dispatch import Dispatcher
from service.routing.fleet import FleetRules
from service.routing.purse import Worst
from service.routing.several import Several
from tests.conftest import HandClock
from tests.service.routing.test_dispatch import fails
from tests.service.routing.test_tiers import Scene, poor
from tests.service.routing.world import CATALOG, KEY, ask

BY_NAME = {each.name: each for each in CATALOG}


def begun(scene: Scene, **more: object) -> Several:
    request = ask(**more)  # type: ignore[arg-type]
    scene.decision = scene.world.router.decide(request, KEY)
    return Several(scene.dispatcher, scene.decision, request)


async def test_calls_one_after_another_and_side_by_side_are_numbered_and_summed() -> None:
    scene = Scene(wide=fails(ErrorKind.SERVER))
    with begun(scene) as several:
        first = await several.ask(BY_NAME["seeing"], Role.FIRST)
        assert first.good and several.calls == 1 and several.left_s > 0.0
        wide, small = await asyncio.gather(
            several.ask(BY_NAME["wide"], Role.ESCALATION),
            several.ask(BY_NAME["small"], Role.ESCALATION, ask("Which is better?" * 50)),
        )
        assert not wide.good and wide.failure is not None and small.good
        served = several.serve(small)
    assert served.attempts == 3
    assert sorted(a.number for a in scene.book.attempts) == [1, 2, 3]
    (outcome,) = scene.book.outcomes
    paid = sum(a.usage.cost_micro_usd for a in scene.book.attempts)
    assert outcome.usage.cost_micro_usd == paid == several.total.cost_micro_usd > 0
    assert served.mode is Mode.ESCALATION and outcome.deployment == "small"


async def test_a_poor_answer_is_heard_with_its_failure() -> None:
    scene = Scene(seeing=poor("no object"))
    with begun(scene, response_format={"type": "json_object"}) as several:
        heard = await several.ask(BY_NAME["seeing"], Role.FIRST)
        assert heard.answer is not None and not heard.good
        assert heard.failure is not None and heard.failure.kind is ErrorKind.QUALITY
        several.serve(heard)
    assert len(scene.book.outcomes) == 1


async def test_where_nobody_answers_the_error_is_dispatchs_own() -> None:
    scene = Scene(seeing=fails(ErrorKind.SERVER), wide=fails(ErrorKind.SERVER))
    with begun(scene) as several:
        for name in ("seeing", "wide"):
            await several.ask(BY_NAME[name], Role.FIRST)
        error = several.fail()
    assert isinstance(error, UpstreamExhausted)
    assert "seeing: server, wide: server" in str(error)
    (outcome,) = scene.book.outcomes
    assert outcome.status == 503 and outcome.attempts == 2


async def test_a_caller_who_leaves_is_recorded_once_with_all_that_was_spent() -> None:
    scene = Scene(wide="hang")

    async def work() -> None:
        with begun(scene) as several:
            await several.ask(BY_NAME["seeing"], Role.FIRST)
            await several.ask(BY_NAME["wide"], Role.ESCALATION)

    task = asyncio.create_task(work())
    while len(scene.script.calls) < 2:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [a.error_kind for a in scene.book.attempts] == [None, ErrorKind.CANCELLED]
    (outcome,) = scene.book.outcomes
    assert outcome.status == 499 and outcome.mode is Mode.ESCALATION
    assert outcome.usage.cost_micro_usd == sum(a.usage.cost_micro_usd for a in scene.book.attempts)


async def test_waiting_for_others_is_none_of_the_gateways_own_time() -> None:
    """A call and a check side by side: what is left of a clock turned by hand is ours."""
    scene, clock = Scene(), HandClock()
    scene.dispatcher.clock = clock
    with begun(scene) as several:
        heard = await several.ask(BY_NAME["small"], Role.ENSEMBLE)
        clock.advance(0.25)  # ours
        with several.elsewhere():
            clock.advance(1.0)
            with several.elsewhere():
                clock.advance(2.0)
            clock.advance(4.0)
        served = several.serve(heard)
    assert served.overhead_s == pytest.approx(0.25)


async def test_calls_after_failures_end_with_the_budget_of_extra_calls() -> None:
    scene = Scene(FleetRules(retry_share=0.0, retry_reserve=2.0))
    with begun(scene) as several:
        assert [several.may_follow(BY_NAME["wide"]) for _ in range(4)] == [True, True, False, False]
        several.serve(await several.ask(BY_NAME["seeing"], Role.FIRST))


@pytest.mark.parametrize("short", [0, 1], ids=["room", "none"])
@pytest.mark.parametrize("own", [False, True], ids=["plan", "caller"])
async def test_what_bounds_a_request_bounds_a_question_about_its_answers(
    own: bool, short: int
) -> None:
    """A fuser's prompt is another one, of the same money: what was spent before it counts."""
    first, other = ask("hello there", max_tokens=50), ask("there hello", max_tokens=50)
    worst = Worst(first, first.shape.tokens_in, 1_000, SystemClock().wall_us())
    scene, book = Scene(), Budgets(SystemClock())
    with begun(scene) as several:
        heard = await several.ask(BY_NAME["seeing"], Role.FIRST)
        several.serve(heard)
    spent = heard.usage.cost_micro_usd
    most = worst.of(BY_NAME["seeing"]) + spent - short
    if own:
        more = {"max_cost_usd": most / 1e6}
        first, other = (
            ask(t, max_tokens=50, headgate=more) for t in ("hello there", "there hello")
        )
    else:
        each = Budget("one", Scope.GLOBAL, Period.REQUEST, hard_micro_usd=most)
        book.follow(BudgetRules((each,)))
    scene.dispatcher = Dispatcher(replace(scene.dispatcher.means, budgets=book))
    decision = scene.world.router.decide(first, KEY)
    with Several(scene.dispatcher, decision, first) as several:
        heard = await several.ask(BY_NAME["seeing"], Role.FIRST)
        if short:
            with pytest.raises(BudgetExceeded):
                await several.ask(BY_NAME["seeing"], Role.FUSION, other)
        else:
            await several.ask(BY_NAME["seeing"], Role.FUSION, other)
            assert not several.affords(BY_NAME["seeing"]), "and what it spent counts after it"
        several.serve(heard)


async def test_a_call_can_be_given_less_time() -> None:
    scene = Scene(seeing="hang")
    with begun(scene) as several:
        heard = await several.ask(BY_NAME["seeing"], Role.FIRST, timeout_s=0.01)
        assert heard.failure is not None and heard.failure.kind is ErrorKind.TIMEOUT
        assert heard.call.timeout_s == 0.01
        several.fail()
