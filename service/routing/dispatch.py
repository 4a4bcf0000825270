"""From a decision to an answer: the drawn deployment first, the others after a failure."""

from __future__ import annotations

import asyncio
import logging

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import response_id
from service.domain.errors import BudgetExceeded
from service.domain.records import Attempt, Decision, ErrorKind, Mode, Outcome, Role, Usage
from service.providers.base import Answer, AnswerStream, Names, Provider, ProviderFailure
from service.routing.billing import Seen, seen_before, seen_in_time, usage_of
from service.routing.eligibility import permitted
from service.routing.ended import KEYED, Ended, tell
from service.routing.exhaustion import FINAL, Failed, next_target, verdict
from service.routing.hedging import HedgeBudget
from service.routing.purse import purse_of
from service.routing.run import Bounds, Call, Means, Poor, Records, Run, Served
from service.routing.streaming import Head, ServedStream

__all__ = ["Bounds", "Dispatcher", "Means", "Records", "Served", "ServedStream"]

log = logging.getLogger("headgate.routing")

HEDGED = (Mode.RANDOMISED, Mode.STICKY)


class Dispatcher:
    """Makes the calls, records each as an attempt, and the whole as an outcome."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.clock = means.clock
        self.idle_s, self.stream_s = means.bounds.stream_idle_s, means.bounds.stream_s
        self.hedges = HedgeBudget(means.bounds.hedging.spend_share)
        self._by_name = {each.name: each for each in means.catalog}

    # whole answers ----------------------------------------------------------------------------

    async def complete(
        self, decision: Decision, request: ChatRequest, first: Role = Role.FIRST
    ) -> tuple[Answer, Served]:
        """A whole answer; raises HeadgateError when every attempt failed."""
        run = self.begin(decision, request)
        run.first = first
        hedged = decision.task in self.means.bounds.hedging.tasks and decision.mode in HEDGED
        try:
            while True:
                call = self.call(run)
                if hedged:
                    call, result = await self._hedged(run, call)
                else:
                    result = await self.whole(run, call)
                if isinstance(result, Answer):
                    return result, self._served_whole(run, call)
                served = self._go_on(run, result)
                if served is not None:
                    return served.answer, self._served_whole(run, served.call)
        except (asyncio.CancelledError, BudgetExceeded) as ended:
            self.turned_away(run, ended)
            raise
        finally:
            run.put_by()

    async def whole(self, run: Run, call: Call) -> Answer | ProviderFailure:
        """One call to its end, recorded; a failure is a result, since another call may follow."""
        names, body, provider = self._prepared(run, call)
        try:
            async with asyncio.timeout(call.timeout_s):
                answer = await provider.complete(call.endpoint, body, names)
            score = self.means.accept(run.request, answer)
        except ProviderFailure as failure:
            return self._failed(run, call, failure, seen_before(failure))
        except TimeoutError:
            return self._failed(run, call, ProviderFailure(ErrorKind.TIMEOUT), seen_in_time())
        except asyncio.CancelledError:
            self._failed(run, call, ProviderFailure(ErrorKind.CANCELLED), seen_in_time())
            raise
        except Exception:  # whatever a dialect stumbles over is a failed call, not a failed request
            log.exception("a call to %s failed in an unknown way", call.deployment.name)
            return self._failed(run, call, ProviderFailure(ErrorKind.MALFORMED), seen_in_time())
        seen = Seen(True, answer.content_chars, answer.tokens, images=answer.images)
        if score < self.means.bounds.least_score:
            if run.poor is None or score > run.poor.score:
                run.poor = Poor(score, call, answer)
            return self._failed(run, call, ProviderFailure(ErrorKind.QUALITY, status=200), seen)
        self._attempt(run, call, seen, None, 200)
        return answer

    async def _hedged(self, run: Run, call: Call) -> tuple[Call, Answer | ProviderFailure]:
        """A call, and a second one elsewhere if the first takes longer than most; who answers
        first is taken, the other is cancelled and billed.
        """
        calls = {asyncio.create_task(self.whole(run, call)): call}
        ended: list[tuple[Call, Answer | ProviderFailure]] = []
        try:
            after_s = self.means.fleet.p95_s(call.deployment.name, call.started_s)
            done, _ = await asyncio.wait(calls, timeout=after_s)
            if not done and (second := self._hedge(run, call)) is not None:
                calls[asyncio.create_task(self.whole(run, second))] = second
            waiting = set(calls)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                ended += [(calls[task], task.result()) for task in done]
                for each in ended:
                    if isinstance(each[1], Answer) or each[1].kind in FINAL:
                        return each  # what one refused is not for another to answer
            return ended[-1]
        finally:
            for task in calls:
                task.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    def _hedge(self, run: Run, first: Call) -> Call | None:
        """The second call of a hedge, where there is somebody to ask and money for it."""
        now_s = self.clock.monotonic_s()
        others = [d for d in self._now_free(run, now_s) if d.name != first.deployment.name]
        others.sort(key=lambda other: other.provider == first.deployment.provider)
        if not others or run.attempts >= run.most or not self.hedges.affordable:
            return None
        if not self.means.fleet.retries.spend(now_s):
            return None
        self.hedges.hedges += 1
        return self.call(run, others[0], Role.HEDGE)

    async def aside(self, run: Run, target: Deployment, role: Role) -> Answer | ProviderFailure:
        """One call beside the answer, recorded: nothing follows it, and it ends no request. Raises
        BudgetExceeded where a budget of the house has no room for it.
        """
        run.purse = purse_of(self.means.budgets, run.decision, run.request)
        try:
            return await self.whole(run, self.call(run, target, role))
        finally:
            run.put_by()

    def _served_whole(self, run: Run, call: Call) -> Served:
        overhead_s = self.outcome(run, call, 200, None, None)
        return self.told(run, call, overhead_s)

    # streams ----------------------------------------------------------------------------------

    async def open(self, decision: Decision, request: ChatRequest) -> ServedStream:
        """A stream whose first content has come; until then every deployment may be tried."""
        run = self.begin(decision, request)
        try:
            while True:
                call = self.call(run)
                result = await self._opened(run, call)
                if isinstance(result, ServedStream):
                    return result
                self._go_on(run, result)
        except BaseException as ended:
            run.put_by()
            if isinstance(ended, asyncio.CancelledError | BudgetExceeded):
                self.turned_away(run, ended)
            raise

    async def _opened(self, run: Run, call: Call) -> ServedStream | ProviderFailure:
        names, body, provider = self._prepared(run, call)
        stream: AnswerStream | None = None
        head = Head()
        try:
            async with asyncio.timeout(call.timeout_s):
                stream = await provider.stream(call.endpoint, body, names)
                await head.read(stream)
            now_s = self.clock.monotonic_s()
            self.means.fleet.heard(call.deployment.name, now_s - call.started_s, now_s)
            return ServedStream(self, run, call, stream, head)
        except ProviderFailure as failure:
            return self._failed(run, call, failure, seen_before(failure, head.seen.sent))
        except TimeoutError:
            return self._failed(run, call, ProviderFailure(ErrorKind.TIMEOUT), head.sent())
        except asyncio.CancelledError:
            self._failed(run, call, ProviderFailure(ErrorKind.CANCELLED), head.sent())
            raise
        except Exception:
            log.exception("a stream of %s failed in an unknown way", call.deployment.name)
            return self._failed(run, call, ProviderFailure(ErrorKind.MALFORMED), head.sent())
        finally:
            if stream is not None and not head.ready:
                await stream.close()

    # the steps --------------------------------------------------------------------------------

    def begin(self, decision: Decision, request: ChatRequest) -> Run:
        now_s = self.clock.monotonic_s()
        bounds = self.means.bounds
        asked = request.options.deadline_s
        deadline_s = now_s + (min(asked, bounds.deadline_s) if asked else bounds.deadline_s)
        ladder = bounds.ladders.of(decision.task)
        most = max(len(bounds.attempts_s), len(ladder.tiers) if ladder else 0)
        self.means.fleet.retries.requested(now_s)
        target = self._by_name[decision.deployment]
        purse = purse_of(self.means.budgets, decision, request)
        return Run(decision, request, now_s, deadline_s, target, most, purse=purse)

    def turned_away(self, run: Run, ended: BaseException) -> None:
        """The caller has left, or a budget has no room for the first call."""
        refused = isinstance(ended, BudgetExceeded)
        kind = None if refused else ErrorKind.CANCELLED
        self.outcome(run, None, BudgetExceeded.status if refused else 499, kind, None)

    def call(self, run: Run, target: Deployment | None = None, role: Role | None = None) -> Call:
        """A call is to be made: reserved where budgets are, counted where limits are, its time
        set; raises BudgetExceeded.
        """
        now_s = self.clock.monotonic_s()
        bounds, fleet = self.means.bounds, self.means.fleet
        target = permitted(run.decision, target or run.target, role)
        beside = role is not None and role.beside
        hold = run.purse.reserve(target, beside) if run.purse is not None else None
        ladder = bounds.ladders.of(run.decision.task)
        timeout_s = ladder.timeout_s(target.name) if ladder is not None else None
        if timeout_s is None:
            timeout_s = bounds.attempts_s[min(run.attempts, len(bounds.attempts_s) - 1)]
        run.attempts += 1
        tokens = run.tokens
        endpoint = fleet.windows.pick(target, tokens, now_s) or target.ends[0]
        sent = fleet.windows.sent(endpoint, tokens, now_s)
        return Call(
            number=run.attempts,
            started_s=now_s,
            deployment=target,
            endpoint=endpoint,
            timeout_s=max(min(timeout_s, run.deadline_s - now_s), 0.001),
            role=role or (run.first if run.attempts == 1 else Role.FALLBACK),
            probe=fleet.began(target.name, now_s),
            stream=run.request.stream,
            sent=sent,
            counted_tokens=tokens,
            hold=hold,
        )

    def _prepared(self, run: Run, call: Call) -> tuple[Names, bytes, Provider]:
        trace = self.means.traceparent(run.decision.id, call.number)
        names = Names(response_id(run.decision.id), call.deployment.name, trace)
        body = run.request.for_upstream(call.deployment.model)
        return names, body, self.means.providers[call.deployment.dialect]

    def _others(self, run: Run) -> list[Deployment]:
        if run.others is None:
            run.others = self.means.alternatives(run.decision)
        return run.others

    def _failed(
        self, run: Run, call: Call, failure: ProviderFailure, seen: Seen
    ) -> ProviderFailure:
        self._attempt(run, call, seen, failure.kind, failure.status, failure.retry_after_s)
        if failure.kind is not ErrorKind.CANCELLED:
            run.failures.append(
                Failed(call.deployment, failure, self._other_key(run, call, failure))
            )
        return failure

    def _other_key(self, run: Run, call: Call, failure: ProviderFailure) -> bool:
        """Whether only a key of several failed, and another has room."""
        if failure.kind not in KEYED or len(call.deployment.ends) < 2:
            return False
        windows = self.means.fleet.windows
        return not windows.exhausted(call.deployment, run.tokens, self.clock.monotonic_s())

    def _go_on(self, run: Run, failure: ProviderFailure) -> Poor | None:
        """After a failure: set the next target; or the best answer that there was, if it was
        poor; raises when there is neither.
        """
        now_s = self.clock.monotonic_s()
        following = None
        final = failure.kind in FINAL
        if final:  # whatever else failed at the same moment
            run.failures.sort(key=lambda each: each.failure.kind in FINAL)
        if not final and run.attempts < run.most and now_s < run.deadline_s:
            pinned = run.decision.mode is Mode.PINNED
            others = [] if pinned else self._now_free(run, now_s)
            following = next_target(run.failures, others)
            if following is not None and not self._may_follow(run, following, now_s):
                following = None
        if following is not None:
            run.target = following
            return None
        if run.poor is not None:
            return run.poor
        names = [each.deployment.name for each in run.failures]
        error = verdict(run.failures, self.means.fleet.free_in_s(names, now_s))
        self.outcome(run, None, error.status, failure.kind, None)
        raise error from None

    def _may_follow(self, run: Run, target: Deployment, now_s: float) -> bool:
        """Whether one more call may be made, and to this deployment."""
        return self.open_to(run, target, now_s) and self.means.fleet.retries.spend(now_s)

    def open_to(self, run: Run, target: Deployment, now_s: float) -> bool:
        fleet = self.means.fleet
        full = fleet.windows.exhausted(target, run.tokens, now_s)
        if full or fleet.refusal(target.name, now_s):
            return False
        if run.purse is not None and not run.purse.fits(target):
            return False
        return self.means.allowed(run.decision, target.name)  # what was laid since counts

    def _now_free(self, run: Run, now_s: float) -> list[Deployment]:
        """The others that may be called at this moment, those that are crowded or mute last."""
        others = [each for each in self._others(run) if self.open_to(run, each, now_s)]
        others.sort(key=lambda each: bool(self.means.fleet.bar(each.name, now_s)))
        return others

    def _attempt(
        self,
        run: Run,
        call: Call,
        seen: Seen,
        kind: ErrorKind | None,
        status: int,
        retry_after_s: float | None = None,
    ) -> Usage:
        now_s = self.clock.monotonic_s()
        latency_s = now_s - call.started_s
        run.upstream_s += latency_s
        at_us = self.clock.wall_us()
        usage = usage_of(call.deployment, run.decision.tokens_in, seen, kind, at_us)
        run.cost.append(usage)
        tell(self.means.fleet, call, usage, Ended(kind, retry_after_s, now_s))
        if run.purse is not None:
            run.purse.settle(call.hold, usage.cost_micro_usd, call.role.beside)
        if self.means.budgets is not None:
            self.means.budgets.paid(run.decision, call.deployment.name, call.role, usage)
        raced = kind is ErrorKind.CANCELLED and run.attempts > 1 and not call.role.beside
        if call.role is Role.HEDGE or raced:
            self.hedges.paid(usage.cost_micro_usd)
        self.means.records.attempt(
            Attempt(
                decision_id=run.decision.id,
                number=call.number,
                at_us=at_us,
                deployment=call.deployment.name,
                provider=call.deployment.provider,
                role=call.role,
                status=status,
                error_kind=kind,
                ttft_s=seen.ttft_s,
                latency_s=latency_s,
                usage=usage,
            )
        )
        return usage

    def heard(self, call: Call, now_s: float) -> None:
        """A stream goes on."""
        self.means.fleet.heard(call.deployment.name, None, now_s)

    def served(self, run: Run, call: Call, seen: Seen, kind: ErrorKind | None) -> Served:
        """A stream has ended, whole or not."""
        self._attempt(run, call, seen, kind, 200)
        status = 200 if kind is None else 499 if kind is ErrorKind.CANCELLED else 502
        overhead_s = self.outcome(run, call, status, kind, seen.ttft_s)
        return self.told(run, call, overhead_s)

    def told(self, run: Run, call: Call, overhead_s: float) -> Served:
        """What to tell the caller."""
        name, drawn = call.deployment.name, run.decision.deployment
        ladder = self.means.bounds.ladders.of(run.decision.task)
        tier = ladder.tier(name) if ladder is not None else None
        return Served(
            call.deployment,
            run.mode(call),
            run.attempts,
            run.total,
            overhead_s,
            drawn if name != drawn else "",
            1 + (tier if tier is not None else call.number - 1),
        )

    def outcome(
        self,
        run: Run,
        call: Call | None,
        status: int,
        kind: ErrorKind | None,
        ttft_s: float | None,
    ) -> float:
        latency_s = self.clock.monotonic_s() - run.started_s
        overhead_s = max(latency_s - run.upstream_s, 0.0)
        self.hedges.spent(run.total.cost_micro_usd)
        self.means.records.outcome(
            Outcome(
                decision_id=run.decision.id,
                at_us=self.clock.wall_us(),
                deployment=call.deployment.name if call else None,
                mode=run.mode(call),
                status=status,
                error_kind=kind,
                latency_s=latency_s,
                ttft_s=ttft_s,
                overhead_s=overhead_s,
                attempts=run.attempts,
                usage=run.total,
            )
        )
        return overhead_s
