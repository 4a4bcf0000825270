"""Mirrored calls: after the answer, under a cap, and without harm to live calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from service.domain.records import ErrorKind, Mode, Role
from service.orchestration import mirror as subject
from service.providers.base import ProviderFailure
from service.storage.cases import rows_of
from tests.service.orchestration.rig import SECRET, SEEING, WIDE, Rig, judged


async def test_one_attempt_more_and_nothing_else_of_the_request_changes(rig: Rig) -> None:
    await rig.mirrored()
    first, beside = rig.attempts
    assert (first.deployment, first.role, first.number) == (WIDE, Role.FIRST, 1)
    assert (beside.deployment, beside.role, beside.number) == (SEEING, Role.SHADOW, 2)
    (outcome,) = rig.outcomes
    assert (outcome.attempts, outcome.usage, outcome.mode) == (1, first.usage, Mode.RANDOMISED)
    assert rig.counts == {"mirrored": 1}
    assert rig.mirror.spent_micro_usd("v2") == beside.usage.cost_micro_usd == 200
    assert not rig.mirror._held and not rig.mirror._chosen, "the prompt is let go of"


async def test_whichever_comes_first_the_answer_or_the_choice(rig: Rig) -> None:
    decision, request = rig.decide()
    rig.mirror.turn([rig.choose(decision)])
    answer, served = await rig.dispatcher.complete(decision, request)
    rig.mirror.saw(decision, request, answer, served)
    assert len(rig.attempts) == 1
    rig.mirror.turn([])
    await rig.settled()
    assert rig.counts == {"mirrored": 1}


async def test_the_deployment_that_served_is_not_called_again(rig: Rig) -> None:
    await rig.mirrored(WIDE)
    assert rig.counts == {"the same deployment": 1} and len(rig.attempts) == 1


async def test_a_mirror_that_fails_changes_nothing(rig: Rig) -> None:
    rig.talker.failing[SEEING] = ProviderFailure(ErrorKind.SERVER, status=500)
    await rig.mirrored()
    assert rig.counts == {"failed": 1} and rig.mirror.spent_micro_usd("v2") == 0
    assert rig.attempts[1].error_kind is ErrorKind.SERVER and len(rig.outcomes) == 1
    del rig.talker.failing[SEEING]
    await rig.mirrored()
    assert rig.counts == {"failed": 1, "mirrored": 1}


async def test_a_slow_mirror_holds_up_no_live_call_and_ends_at_its_time(rig: Rig) -> None:
    rig.talker.slow = asyncio.Event()
    decision = await rig.answered()
    rig.mirror.turn([rig.choose(decision)])
    assert rig.mirror.under_way == 1
    for _ in range(20):
        waiting = await rig.answered()
        rig.mirror.turn([rig.choose(waiting)])
    assert len(rig.outcomes) == 21 and rig.mirror.under_way == 1, "one at a time under one cap"
    await asyncio.sleep(0.55)
    assert rig.attempts[21].error_kind is ErrorKind.TIMEOUT
    assert rig.dispatcher.hedges.hedges == 0
    await rig.mirror.stop()
    assert not rig.mirror._held
    assert rig.attempts[-1].error_kind is ErrorKind.CANCELLED, "cut off by the stop, and recorded"


@pytest.mark.parametrize("bound", ["held", "bytes"])
async def test_what_is_held_is_bounded(
    rig: Rig, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bound == "held":
        monkeypatch.setattr(subject, "MOST_HELD", 2)
        for _ in range(5):
            await rig.answered()
        assert len(rig.mirror._held) == 2 and rig.counts == {"no room": 3}
    else:
        monkeypatch.setattr(subject, "MOST_BYTES", 1_000)
        await rig.answered(text="x " * 1_000)
        assert not rig.mirror._held and rig.counts == {"too long": 1}


async def test_what_waits_too_long_is_let_go_of(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.answered()
    monkeypatch.setattr(subject, "LATE_S", -1.0)
    rig.mirror.turn([])
    assert not rig.mirror._held and len(rig.attempts) == 1


async def test_nothing_is_held_where_nothing_is_mirrored(rig: Rig) -> None:
    rig.mirror.pick = None
    await rig.answered()
    rig.mirror.pick = lambda _: None
    await rig.answered()
    assert not rig.mirror._held and rig.mirror.counts("v2") == {}


def _no_room(batches: object) -> None:
    raise OSError("no space left on device")


async def test_live_calls_come_first(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.strained = True
    await rig.mirrored()
    rig.strained = False
    rig.world.override("exclude", SEEING)
    await rig.mirrored()
    rig.world.overrides.clear()
    await rig.mirrored("gone")
    with monkeypatch.context() as full:
        full.setattr(rig.database, "write", _no_room)
        rig.choose(rig.decide()[0])
        async with asyncio.timeout(30):
            while rig.log.healthy:
                await asyncio.sleep(0.002)
        await rig.mirrored()
    assert rig.counts == {
        "the gateway is busy": 1, "excluded by an operator": 1, "no longer in the plan": 1,
        "the log cannot be written": 1,
    }  # fmt: skip
    assert {each.role for each in rig.attempts} == {Role.FIRST}


async def test_half_of_a_rate_limit_is_left_to_live_calls(rig: Rig) -> None:
    await rig.mirrored("slow-lane", max_tokens=50)  # two calls a minute: the first leaves half
    await rig.mirrored("slow-lane", max_tokens=50)
    assert rig.counts == {"mirrored": 1, "the provider's rate limit": 1}


async def test_a_barred_deployment_is_not_called(rig: Rig) -> None:
    rig.talker.failing[SEEING] = ProviderFailure(ErrorKind.SERVER, status=500)
    for _ in range(40):
        await rig.mirrored()
    told = rig.counts
    assert told["the deployment is barred or busy"] > 0 and told["failed"] < 40
    assert len([a for a in rig.attempts if a.role is Role.SHADOW]) == told["failed"]


async def test_the_cap_is_overshot_by_one_call_at_most_and_holds_over_a_restart(rig: Rig) -> None:
    rig.shadow = replace(rig.shadow, cap_micro_usd=1_450)  # 200 a call, about 520 reserved
    rig.mirror = rig.restarted()
    for _ in range(6):
        await rig.mirrored()
    spent = rig.mirror.spent_micro_usd("v2")
    assert spent == 1_000 and rig.counts == {"mirrored": 5, "the day's cap": 1}
    rig.log.flush().result(5)
    rig.mirror = rig.restarted()
    assert rig.mirror.spent_micro_usd("v2") == spent
    await rig.mirrored()
    assert rig.counts == {"the day's cap": 1}


async def test_once_stopped_no_further_call_is_made(rig: Rig) -> None:
    judged(rig)
    rig.talker.slow = asyncio.Event()
    decision = await rig.answered()
    rig.mirror.turn([rig.choose(decision)])
    waiting = await rig.answered()
    rig.mirror.turn([rig.choose(waiting)])
    await asyncio.sleep(0)
    rig.mirror.forget("v2")
    rig.talker.slow.set()
    await rig.settled()
    assert [a.role for a in rig.attempts].count(Role.SHADOW) == 1 and not rig.talker.judged
    assert not rig.mirror._held


async def test_no_prompt_is_written_anywhere(rig: Rig) -> None:
    judged(rig)
    rig.talker.words, rig.talker.letters = {SEEING: SECRET}, ["A", "B"]
    await rig.mirrored()
    rig.log.flush().result(5)
    for table in ("attempts", "judgements", "shadow_decisions"):
        assert SECRET not in str(rows_of(rig.database.cursor(), f"SELECT * FROM {table}"))
