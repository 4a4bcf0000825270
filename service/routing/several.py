"""A run of several calls for one answer: each an attempt of the same decision, one outcome at the
end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.errors import BudgetExceeded, HeadgateError
from service.domain.records import Decision, Role, Usage
from service.providers.base import Answer, ProviderFailure
from service.routing.dispatch import Dispatcher
from service.routing.exhaustion import Failed, verdict
from service.routing.purse import purse_of
from service.routing.run import OF_SEVERAL, Call, Run, Served


@dataclass(frozen=True, slots=True)
class Heard:
    """How one call ended. ``answer``: what came, also where its form was too poor to be served
    (then ``failure`` tells so); ``usage``: what the call took.
    """

    call: Call
    answer: Answer | None
    failure: ProviderFailure | None
    latency_s: float
    usage: Usage

    @property
    def good(self) -> bool:
        """Whether an answer came whose form can be served."""
        return self.answer is not None and self.failure is None


class Several:
    """The calls for one decision, one after another or side by side. End it by ``serve`` or by
    ``fail``; as a context it also ends it where its caller leaves or a budget has no room.
    """

    def __init__(self, dispatcher: Dispatcher, decision: Decision, request: ChatRequest) -> None:
        self._dispatcher = dispatcher
        self._run = dispatcher.begin(decision, request)
        self._failures: list[Failed] = []
        self._ended = False
        self._waits, self._since_s = 0, 0.0

    def __enter__(self) -> Several:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, asyncio.CancelledError | BudgetExceeded) and not self._ended:
            self._ended = True
            self._dispatcher.turned_away(self._run, error)
        self._run.put_by()

    @property
    def left_s(self) -> float:
        """Seconds until the request's deadline; below zero once it has passed."""
        return self._run.deadline_s - self._dispatcher.clock.monotonic_s()

    @property
    def total(self) -> Usage:
        """What all calls took so far."""
        return self._run.total

    @property
    def calls(self) -> int:
        """How many were begun."""
        return self._run.attempts

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """While others are waited for, those who check an answer too: time side by side counts
        once, and none of it is the gateway's own.
        """
        clock = self._dispatcher.clock
        if not self._waits:
            self._since_s = clock.monotonic_s()
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1
            if not self._waits:
                self._run.upstream_s += clock.monotonic_s() - self._since_s

    def others(self) -> list[Deployment]:
        """The other deployments that were eligible, as a fallback would take them."""
        return self._dispatcher.means.alternatives(self._run.decision)

    def open_to(self, target: Deployment) -> bool:
        """Whether this deployment may be called at this moment: limits, breaker, budgets, and
        what operators have laid since.
        """
        return self._dispatcher.open_to(self._run, target, self._dispatcher.clock.monotonic_s())

    def may_follow(self, target: Deployment) -> bool:
        """Whether this deployment may be called after a failure: open, and within the fleet's
        budget of extra calls. Where it may, the call counts as made.
        """
        retries, now_s = self._dispatcher.means.fleet.retries, self._dispatcher.clock.monotonic_s()
        return self.open_to(target) and retries.spend(now_s)

    def affords(self, target: Deployment) -> bool:
        """Whether what bounds the request's spend has room for a call to this deployment."""
        return self._run.purse is None or self._run.purse.fits(target)

    async def ask(
        self,
        target: Deployment,
        role: Role,
        request: ChatRequest | None = None,
        timeout_s: float | None = None,
    ) -> Heard:
        """One call to its end, recorded. ``request``: another one than the caller's (a question
        about its answers, say, with the same cap), sized by itself unless it has the same shape.
        Raises BudgetExceeded where there is no room for it, NoDeployment where it was not eligible.
        """
        part = self._part(request)
        purse, own = self._run.purse, part.purse if part.purse is not self._run.purse else None
        before = 0 if purse is None else purse.spent + purse.reserved
        if own is not None:
            own.spent = before  # what bounds a request bounds all its calls
        try:
            call = self._dispatcher.call(part, target, role)
            self._run.attempts = part.attempts
            self._run.several = OF_SEVERAL.get(role, self._run.several)
            if timeout_s is not None:
                call = replace(call, timeout_s=max(min(call.timeout_s, timeout_s), 0.001))
            with self.elsewhere():
                told = await self._dispatcher.whole(part, call)
        finally:
            self._run.cost += part.cost
            if own is not None:
                own.close()
                if purse is not None:
                    purse.spent += own.spent - before
        failure = told if isinstance(told, ProviderFailure) else None
        answer = told if isinstance(told, Answer) else part.poor and part.poor.answer
        self._failures += part.failures
        latency_s = self._dispatcher.clock.monotonic_s() - call.started_s
        return Heard(call, answer or None, failure, latency_s, part.total)

    def serve(self, heard: Heard) -> Served:
        """The request has ended with this answer."""
        self._ended = True
        overhead_s = self._dispatcher.outcome(self._run, heard.call, 200, None, None)
        return self._dispatcher.told(self._run, heard.call, overhead_s)

    def fail(self, refused: Sequence[Heard] = ()) -> HeadgateError:
        """The request has ended without one: the error to raise, as plain dispatch would say it.
        ``refused``: whose failure counts last, if not the last one's.
        """
        last = [each.failure for each in refused if each.failure is not None]
        failures = sorted(self._failures, key=lambda each: each.failure in last)
        names = [each.deployment.name for each in failures]
        fleet, now_s = self._dispatcher.means.fleet, self._dispatcher.clock.monotonic_s()
        error = verdict(failures, fleet.free_in_s(names, now_s))
        self._ended = True
        kind = failures[-1].failure.kind
        self._dispatcher.outcome(self._run, None, error.status, kind, None)
        return error

    def _part(self, request: ChatRequest | None) -> Run:
        """The run of one call: its own failures and costs, the whole's number and deadline."""
        run = self._run
        part = replace(run, cost=[], failures=[], upstream_s=0.0, poor=None)
        if request is not None:
            shape, part.request = request.shape, request
        if request is not None and request.shape is not run.request.shape:
            part.decision = replace(
                run.decision, tokens_in=shape.tokens_in, tokens_out_limit=shape.tokens_out_limit,
            )  # fmt: skip
            means = self._dispatcher.means
            part.purse = purse_of(means.budgets, part.decision, request)
        return part
