"""Attempts in order, fallbacks by the kind of failure, streams that never lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from msgspec import structs

from service.domain.catalog import Deployment
from service.domain.clock import SystemClock
from service.domain.errors import (
    CapabilityMissing,
    HeadgateError,
    UpstreamExhausted,
    UpstreamRefused,
)
from service.domain.records import Attempt, Decision, ErrorKind, Mode, Outcome, Override, Role
from service.providers.base import Answer, Chunk, Names, Provider, ProviderFailure, Tokens
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.exhaustion import Failed, next_target
from service.routing.run import Run
from tests.service.routing.world import CATALOG, KEY, World, ask, deployment

WIDE, SEEING, SMALL = "wide", "seeing", "small"


@dataclass
class Script(Provider):
    """A provider that does what each deployment's script says; the real dispatcher drives it."""

    dialect = "openai"
    acts: dict[str, object] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    closed: int = 0

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        self.calls.append(deployment.name)
        act = self.acts.get(deployment.name, "fine")
        if isinstance(act, ProviderFailure):
            raise act
        if act == "hang":
            await asyncio.sleep(30)
        if act in ("slow", "late"):
            await asyncio.sleep(0.1)
        if act == "late":
            raise fails(ErrorKind.CUT)
        if isinstance(act, Answer):
            return act
        return Answer(b"{}", Tokens(100, 50), 200)

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> Script._Open:
        self.calls.append(deployment.name)
        act = self.acts.get(deployment.name, [])
        if isinstance(act, ProviderFailure):
            raise act
        assert isinstance(act, list)
        return self._Open(self, act)

    async def close(self) -> None:
        return None

    @dataclass
    class _Open:
        owner: Script
        parts: list[object]

        async def __aiter__(self) -> AsyncIterator[Chunk]:
            for part in self.parts:
                if isinstance(part, ProviderFailure):
                    raise part
                if part == "hang":
                    await asyncio.sleep(30)
                assert isinstance(part, Chunk)
                yield part

        async def close(self) -> None:
            self.owner.closed += 1


@dataclass
class Book:
    attempts: list[Attempt] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def attempt(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Stage:
    """A dispatcher over the script, with a decision for WIDE unless pinned elsewhere."""

    def __init__(self, model: str = "auto", **acts: object) -> None:
        self.world, self.script, self.book = World(), Script(acts=acts), Book()
        request = ask(model=model, headgate={"deployments": [WIDE, SEEING, SMALL]})
        while True:
            self.decision: Decision = self.world.router.decide(request, KEY)
            if self.decision.deployment in (WIDE, model):
                break
        self.request = request
        bounds = Bounds((0.3, 0.2, 0.1), 0.1, 0.6)
        self.dispatcher = Dispatcher(
            Means(CATALOG, {"openai": self.script}, self.world.router.alternatives,
                  self.world.fleet, self.book, SystemClock(), bounds,
                  allowed=self.world.router.allowed)
        )  # fmt: skip

    @property
    def kinds(self) -> list[ErrorKind | None]:
        return [a.error_kind for a in self.book.attempts]


def fails(kind: ErrorKind, **more: float) -> ProviderFailure:
    return ProviderFailure(kind, status=500, **more)  # type: ignore[arg-type]


def text(content: str, done: bool = False, tokens: Tokens | None = None) -> Chunk:
    data = f"data: {content}\n\n".encode() if content else b""
    return Chunk(data, len(content), tokens, bool(content), done=done)


async def test_the_first_answer_is_served_and_billed() -> None:
    stage = Stage()
    _, served = await stage.dispatcher.complete(stage.decision, stage.request)
    assert (served.deployment.name, served.mode, served.attempts) == (WIDE, Mode.RANDOMISED, 1)
    assert served.usage.cost_micro_usd == 200 and served.fallback_from == ""
    (attempt,), (outcome,) = stage.book.attempts, stage.book.outcomes
    assert attempt.role is Role.FIRST and attempt.error_kind is None
    assert outcome.status == 200 and outcome.usage == attempt.usage
    assert 0.0 <= outcome.overhead_s <= outcome.latency_s


@pytest.mark.parametrize(
    "kind", [ErrorKind.SERVER, ErrorKind.RATE_LIMIT, ErrorKind.CONNECTION, ErrorKind.AUTH,
             ErrorKind.MALFORMED, ErrorKind.CUT]
)  # fmt: skip
async def test_a_failure_goes_to_another_provider_first(kind: ErrorKind) -> None:
    stage = Stage(wide=fails(kind))
    _, served = await stage.dispatcher.complete(stage.decision, stage.request)
    assert stage.script.calls == [WIDE, SEEING]  # small is of the provider that just failed
    assert (served.mode, served.fallback_from) == (Mode.FALLBACK, WIDE)
    assert [a.role for a in stage.book.attempts] == [Role.FIRST, Role.FALLBACK]
    assert stage.decision.deployment == WIDE  # intent to treat keeps the drawn one
    assert stage.book.outcomes[0].deployment == SEEING


async def test_every_attempt_has_its_own_time_and_the_next_is_tried() -> None:
    stage = Stage(wide="hang")
    _, served = await stage.dispatcher.complete(stage.decision, stage.request)
    assert served.deployment.name == SEEING and stage.kinds == [ErrorKind.TIMEOUT, None]
    first = stage.book.attempts[0]
    assert 0.25 < first.latency_s < 0.6 and first.usage.estimated


async def test_when_all_fail_it_is_503_with_the_shortest_wait() -> None:
    stage = Stage(
        wide=fails(ErrorKind.RATE_LIMIT, retry_after_s=40.0),
        seeing=fails(ErrorKind.RATE_LIMIT, retry_after_s=7.0),
        small=fails(ErrorKind.RATE_LIMIT, retry_after_s=90.0),
    )  # fmt: skip
    with pytest.raises(UpstreamExhausted) as caught:
        await stage.dispatcher.complete(stage.decision, stage.request)
    assert caught.value.status == 503
    assert caught.value.retry_after_s == pytest.approx(7.0, abs=0.5)
    assert len(stage.book.attempts) == 3
    assert (stage.book.outcomes[0].status, stage.book.outcomes[0].deployment) == (503, None)


@pytest.mark.parametrize(("action", "of"), [("exclude", SMALL), ("kill", SEEING)])
async def test_what_is_laid_between_two_fallbacks_holds_for_the_second(
    action: str, of: str
) -> None:
    class Laying(Script):
        async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
            if deployment.name == SEEING:
                stage.world.overrides.append(
                    Override("laid", 0, action, of, "", "because", "me", 0, 10)
                )
            return await super().complete(deployment, body, names)

    stage = Stage(wide=fails(ErrorKind.SERVER), seeing=fails(ErrorKind.SERVER))
    script = Laying(acts=stage.script.acts)
    stage.dispatcher.means = replace(stage.dispatcher.means, providers={"openai": script})
    with pytest.raises(UpstreamExhausted):
        await stage.dispatcher.complete(stage.decision, stage.request)
    assert SMALL not in script.calls and script.calls[:2] == [WIDE, SEEING]


@pytest.mark.parametrize("kind", [ErrorKind.INVALID, ErrorKind.POLICY])
async def test_what_is_refused_is_never_sent_again(kind: ErrorKind) -> None:
    stage = Stage(wide=fails(kind))
    with pytest.raises(UpstreamRefused):
        await stage.dispatcher.complete(stage.decision, stage.request)
    assert stage.script.calls == [WIDE]


async def test_too_long_a_context_goes_to_a_larger_window_or_is_said() -> None:
    stage = Stage(model=SMALL, small=fails(ErrorKind.CONTEXT_LENGTH))
    with pytest.raises(CapabilityMissing, match="too long"):
        await stage.dispatcher.complete(stage.decision, stage.request)
    failed = [Failed(CATALOG[0], fails(ErrorKind.CONTEXT_LENGTH))]
    target = next_target(failed, [deployment("tiny", context_window=10), CATALOG[1]])
    assert target is CATALOG[1]


async def test_a_pin_is_tried_once_more_and_never_elsewhere() -> None:
    stage = Stage(model=WIDE, wide=fails(ErrorKind.SERVER))
    with pytest.raises(UpstreamExhausted):
        await stage.dispatcher.complete(stage.decision, stage.request)
    assert stage.script.calls == [WIDE, WIDE]


async def test_the_deadline_bounds_the_whole() -> None:
    stage = Stage(wide="hang", seeing="hang", small="hang")
    request = replace(
        stage.request, options=structs.replace(stage.request.options, deadline_s=0.35)
    )
    began = asyncio.get_running_loop().time()
    with pytest.raises(HeadgateError):
        await stage.dispatcher.complete(stage.decision, request)
    assert asyncio.get_running_loop().time() - began < 0.55  # and not the 0.6 of three calls
    assert [a.deployment for a in stage.book.attempts] == [WIDE, SEEING]
    assert stage.book.attempts[1].latency_s < 0.15


async def test_a_caller_who_leaves_is_recorded_with_the_cost() -> None:
    stage = Stage(wide="hang")
    task = asyncio.create_task(stage.dispatcher.complete(stage.decision, stage.request))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.kinds == [ErrorKind.CANCELLED]
    (outcome,) = stage.book.outcomes
    assert outcome.status == 499 and outcome.usage.estimated and outcome.usage.cost_micro_usd > 0


async def read(stage: Stage) -> tuple[bytes, object]:
    stream = await stage.dispatcher.open(stage.decision, stage.request)
    data = b""
    try:
        async for part in stream:
            data += part
    finally:
        await stream.close()
    return data, stream.served


async def test_a_stream_is_served_whole() -> None:
    stage = Stage(wide=[text(""), text("a"), text("b", tokens=Tokens(10, 2)), text("", done=True)])
    data, served = await read(stage)
    assert data == b"data: a\n\ndata: b\n\n"
    assert served.usage.tokens_out == 2 and not served.usage.estimated  # type: ignore[attr-defined]
    assert stage.book.attempts[0].ttft_s is not None and stage.script.closed == 1


@pytest.mark.parametrize(
    "broken",
    [
        fails(ErrorKind.SERVER),
        [fails(ErrorKind.CUT)],
        [text(""), fails(ErrorKind.CUT)],
        [text(""), "hang"],
        ["hang"],
        [text("", done=True)],
        [],
    ],
)
async def test_before_the_first_content_every_deployment_may_be_tried(broken: object) -> None:
    stage = Stage(wide=broken, seeing=[text("ok"), text("", done=True)])
    data, served = await read(stage)
    assert data == b"data: ok\n\n" and served.mode is Mode.FALLBACK  # type: ignore[attr-defined]
    assert stage.script.calls == [WIDE, SEEING]


@pytest.mark.parametrize(
    ("end", "kind"), [(fails(ErrorKind.CUT), ErrorKind.CUT), ("hang", ErrorKind.STALLED)]
)
async def test_after_it_a_break_is_an_error_and_partial_usage_is_billed(
    end: object, kind: ErrorKind
) -> None:
    stage = Stage(wide=[text("a" * 40), end], seeing=[text("never")])
    with pytest.raises(ProviderFailure):
        await read(stage)
    assert stage.script.calls == [WIDE] and stage.kinds == [kind]
    assert stage.book.attempts[0].usage.tokens_out == 10
    assert stage.book.outcomes[0].status == 502 and stage.script.closed == 1


async def test_a_stream_that_stumbles_is_a_failed_call_and_not_a_caller_who_left() -> None:
    stage = Stage(wide=[text("a"), "no chunk at all"])
    with pytest.raises(ProviderFailure):
        await read(stage)
    assert stage.kinds == [ErrorKind.MALFORMED] and stage.book.outcomes[0].status == 502


async def test_a_stream_that_just_stops_was_cut() -> None:
    stage = Stage(wide=[text("a")])
    with pytest.raises(ProviderFailure):
        await read(stage)
    assert stage.kinds == [ErrorKind.CUT] and stage.book.outcomes[0].status == 502


async def test_a_stream_that_never_ends_is_ended() -> None:
    stage = Stage(wide=[text("a")] * 10_000)
    stage.dispatcher.stream_s = -1.0  # its time is over with the first content
    with pytest.raises(ProviderFailure):
        await read(stage)
    assert stage.kinds == [ErrorKind.TIMEOUT] and stage.book.outcomes[0].status == 502


async def test_a_stream_that_the_caller_leaves_is_recorded_once() -> None:
    stage = Stage(wide=[text("abcd"), "hang"])
    stream = await stage.dispatcher.open(stage.decision, stage.request)
    async for _ in stream:
        break
    await stream.close()
    await stream.close()
    assert stage.kinds == [ErrorKind.CANCELLED] and len(stage.book.outcomes) == 1


async def test_a_call_beside_the_answer_is_recorded_and_is_no_part_of_the_request() -> None:
    stage = Stage(seeing="hang")
    stage.dispatcher.hedges.balance = 7.0
    catalog = {each.name: each for each in CATALOG}
    run = Run(stage.decision, stage.request, 0.0, SystemClock().monotonic_s() + 9.0,
              catalog[SEEING], 1, 2)  # fmt: skip
    waiting = asyncio.create_task(stage.dispatcher.aside(run, catalog[SEEING], Role.SHADOW))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    result = await stage.dispatcher.aside(run, catalog[WIDE], Role.JUDGE)
    assert isinstance(result, Answer)
    cut, whole = stage.book.attempts
    assert (cut.role, cut.number, cut.error_kind) == (Role.SHADOW, 3, ErrorKind.CANCELLED)
    assert (whole.role, whole.number, whole.error_kind) == (Role.JUDGE, 4, None)
    assert stage.book.outcomes == [] and stage.dispatcher.hedges.balance == 7.0
    assert [s.in_flight for s in stage.world.fleet.standings(0.0)] == [0] * len(CATALOG)
