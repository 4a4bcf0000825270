"""Mirrored calls: what another version would have called is called too, after the answer."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from service.domain.catalog import Amounts, Deployment, worst_micro_usd
from service.domain.chat import ChatRequest
from service.domain.clock import Clock, new_id
from service.domain.errors import BudgetExceeded
from service.domain.escalation import EARLIER_RUNG, IN_NO_RUNG, LATER_RUNG
from service.domain.experiments import Judgement, Shadow, ShadowDecision
from service.domain.records import Decision, Override, Role
from service.domain.will import will_for
from service.orchestration import judge
from service.orchestration.spend import DaySpend
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher, Served
from service.routing.eligibility import ANSWER_RESERVE
from service.routing.run import Run
from service.storage.event_log import EventLog

log = logging.getLogger("headgate.shadow")

MOST_AT_ONCE = 2
MOST_HELD, MOST_BYTES = 32, 200_000  # prompts with their answers, and of each of them
MOST_CHOSEN = 2_000
LATE_S = 60.0
DEADLINE_S = 60.0  # of one call
LEAST_LEFT = 0.5  # of what a key may be sent a minute: the rest is for live calls alone
# Who left for one of these, may judge.
MAY_READ = frozenset(
    {"later_tier", "in_no_tier", "bounds", "task", "unsure", LATER_RUNG, EARLIER_RUNG, IN_NO_RUNG}
)


@dataclass(frozen=True, slots=True)
class MirrorParts:
    """What mirroring stands on. ``strained``: whether the gateway has more to do than it likes."""

    dispatcher: Callable[[], Dispatcher]
    holding: Callable[[], Sequence[Override]]
    strained: Callable[[], bool]
    log: EventLog
    clock: Clock


@dataclass(frozen=True, slots=True)
class Held:
    """An answered request. The only place where its prompt is kept, and no longer than needed."""

    decision: Decision
    request: ChatRequest
    answer: bytes
    served: str
    attempts: int
    at_s: float
    catalog: Sequence[Deployment] = ()  # of the plan under which it was decided


@dataclass(slots=True)
class _Watched:
    """A shadow that mirrors: its day's spend, what came of its calls, whether one is under way."""

    shadow: Shadow
    spend: DaySpend
    counts: Counter[str]
    working: bool = False


@dataclass(slots=True)
class _Work:
    """One request on its way beside the answer. ``number``: of the last attempt for it."""

    watched: _Watched
    held: Held
    number: int
    cost_micro_usd: int = 0


class _Skipped(Exception):
    """A call that is not made; its words are counted."""


class Mirror:
    """Lives on the event loop. A mirror that fails changes nothing for anybody."""

    def __init__(self, parts: MirrorParts) -> None:
        self._parts = parts
        # Which shadow mirrors a decision's call; None while none mirrors at all.
        self.pick: Callable[[Decision], Shadow | None] | None = None
        # Told of every judgement.
        self.judged: Callable[[Judgement, Decision], None] = lambda judgement, decision: None
        self._watched: dict[str, _Watched] = {}
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._chosen: OrderedDict[str, ShadowDecision] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """Requests whose calls are being mirrored or judged."""
        return len(self._tasks)

    def watch(self, shadow: Shadow, spent_micro_usd: int) -> None:
        """Mirror for a shadow from now on; so much of its cap is spent today."""
        spend = DaySpend(shadow.cap_micro_usd, self._parts.clock, spent_micro_usd)
        self._watched[shadow.version_id] = _Watched(shadow, spend, Counter())

    def forget(self, version_id: str) -> None:
        """No further call for it; one that is under way runs to its end, and is not judged."""
        self._watched.pop(version_id, None)

    def counts(self, version_id: str) -> dict[str, int]:
        """What came of a shadow's sampled calls since the start."""
        found = self._watched.get(version_id)
        return dict(sorted(found.counts.items())) if found else {}

    def spent_micro_usd(self, version_id: str) -> int | None:
        """What a shadow has spent today; None where it does not mirror."""
        found = self._watched.get(version_id)
        return found.spend.spent_micro_usd if found else None

    # from the request path --------------------------------------------------------------------

    def saw(self, decision: Decision, request: ChatRequest, answer: Answer, served: Served) -> None:
        """A caller has been answered, whole."""
        if self.pick is None:
            return
        try:
            self._hold(decision, request, answer, served)
        except Exception:  # the answer is out: nothing may come after it
            log.exception("a request could not be held for its mirror")

    def _hold(
        self, decision: Decision, request: ChatRequest, answer: Answer, served: Served
    ) -> None:
        shadow = self.pick(decision) if self.pick is not None else None
        watched = self._watched.get(shadow.version_id) if shadow is not None else None
        if watched is None:
            return
        watched.counts["sampled"] += 1
        size = sum(memoryview(raw).nbytes for raw in request.fields.values()) + len(answer.body)
        if len(self._held) >= MOST_HELD or size > MOST_BYTES:
            watched.counts["too long" if size > MOST_BYTES else "no room"] += 1
            return
        self._held[decision.id] = Held(
            decision, request, answer.body, served.deployment.name, served.attempts,
            self._parts.clock.monotonic_s(), self._parts.dispatcher().means.catalog,
        )  # fmt: skip

    # from the shadows' turn -------------------------------------------------------------------

    def turn(self, chosen: Sequence[ShadowDecision]) -> None:
        """Take what was chosen since the last turn, and begin what can be begun."""
        for each in chosen:
            self._chosen[each.decision_id] = each
            if len(self._chosen) > MOST_CHOSEN:
                self._chosen.popitem(last=False)
        now_s = self._parts.clock.monotonic_s()
        for decision_id, held in list(self._held.items()):
            choice = self._chosen.get(decision_id)
            watched = self._watched.get(choice.version_id) if choice else None
            if choice is not None and watched is None:  # stopped meanwhile
                self._drop(decision_id)
            elif now_s - held.at_s > LATE_S:
                if watched is not None:
                    watched.counts["too late"] += 1
                self._drop(decision_id)
            elif choice and watched and not watched.working and len(self._tasks) < MOST_AT_ONCE:
                self._drop(decision_id)
                self._begin(watched, held, choice)

    def _drop(self, decision_id: str) -> None:
        self._held.pop(decision_id, None)
        self._chosen.pop(decision_id, None)

    def _begin(self, watched: _Watched, held: Held, choice: ShadowDecision) -> None:
        watched.working = True
        work = _Work(watched, held, held.attempts)
        task = asyncio.create_task(self._beside(work, choice))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, watched))

    def _ended(self, watched: _Watched, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        watched.working = False
        self.turn(())

    async def stop(self) -> None:
        """Cancel what is under way, each call recorded, and let go of every prompt."""
        self.pick = None
        self._held.clear()
        self._chosen.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # the calls --------------------------------------------------------------------------------

    async def _beside(self, work: _Work, choice: ShadowDecision) -> None:
        counts = work.watched.counts
        try:
            if choice.deployment == work.held.served:
                raise _Skipped("the same deployment")
            target = self._target(choice.deployment, work.held)
            answer = await self._call(work, target, work.held.request, Role.SHADOW)
            counts["mirrored" if answer is not None else "failed"] += 1
            if answer is not None and work.watched.shadow.judge:
                await self._judge(work, target.name, answer)
        except _Skipped as skipped:
            counts[str(skipped)] += 1
        except Exception:
            counts["stumbled"] += 1
            log.exception("a mirrored call stumbled")

    def _target(self, name: str, held: Held) -> Deployment:
        """As it is now; what it promised of prompts must be as it was at the decision."""
        catalog = self._parts.dispatcher().means.catalog
        found = next((each for each in catalog if each.name == name), None)
        if found is None:
            raise _Skipped("no longer in the plan")
        was = next((each for each in held.catalog if each.name == name), None)
        if was is None or (was.region, was.data_policy) != (found.region, found.data_policy):
            raise _Skipped("its region or data policy has changed")
        return found

    async def _call(
        self, work: _Work, target: Deployment, request: ChatRequest, role: Role
    ) -> Answer | None:
        """One call under the cap, its cost durable before the next may begin; None: it failed."""
        spend, dispatcher = work.watched.spend, self._parts.dispatcher()
        decision = _sized(work.held.decision, request) if role is Role.JUDGE else work.held.decision
        now_s = self._parts.clock.monotonic_s()
        run = Run(decision, request, now_s, now_s + DEADLINE_S, target, 1, work.number)
        self._may_call(work, target, run.tokens)
        if not spend.reserve(reserve_micro_usd(target, decision, self._parts.clock.wall_us())):
            raise _Skipped("the day's cap")
        work.number += 1
        try:
            result = await dispatcher.aside(run, target, role)
        except BudgetExceeded:
            raise _Skipped("a budget") from None
        finally:
            cost = sum(each.cost_micro_usd for each in run.cost)
            work.cost_micro_usd += cost
            spend.settle(cost)
        await asyncio.wrap_future(self._parts.log.flush(soon=False))
        return result if isinstance(result, Answer) else None

    def _may_call(self, work: _Work, target: Deployment, tokens: int) -> None:
        """Live calls come first: nothing is sent where they are held back, or soon would be."""
        shadow, task = work.watched.shadow, work.held.decision.task
        fleet, now_s = self._parts.dispatcher().means.fleet, self._parts.clock.monotonic_s()
        if self._watched.get(shadow.version_id) is not work.watched:
            raise _Skipped("stopped")
        if not self._parts.log.healthy:
            raise _Skipped("the log cannot be written")
        if self._parts.strained():
            raise _Skipped("the gateway is busy")
        who = work.held.decision.caller
        will = will_for(task, self._parts.holding(), who.tenant, who.tier)
        if target.name in will.excluded:
            raise _Skipped("excluded by an operator")
        if will.killed is not None and will.killed.deployment != target.name:
            raise _Skipped("an operator sends all to another deployment")
        if fleet.bar(target.name, now_s):
            raise _Skipped("the deployment is barred or busy")
        if fleet.windows.left(target, tokens, now_s) < LEAST_LEFT:
            raise _Skipped("the provider's rate limit")

    async def _judge(self, work: _Work, mirrored: str, answer: Answer) -> None:
        held, shadow = work.held, work.watched.shadow
        target = self._target(shadow.judge, held)
        if why := unfit(held, target.name, mirrored):
            raise _Skipped(f"not judged: {why}")
        served, other = judge.said_by(held.answer), judge.said_by(answer.body)
        if served is None or other is None:
            raise _Skipped("not judged: an answer without words")
        questions = [
            judge.question(held.request, *pair) for pair in ((served, other), (other, served))
        ]
        both = 2 * reserve_micro_usd(
            target, _sized(held.decision, questions[0]), self._parts.clock.wall_us()
        )
        if questions[0].shape.tokens_in + ANSWER_RESERVE > target.context_window:
            raise _Skipped("not judged: too long for the judge")
        if not work.watched.spend.affords(both):
            raise _Skipped("not judged: the day's cap")
        before, letters, skipped = work.cost_micro_usd, list[str | None](), ""
        for question in questions:
            try:
                said = await self._call(work, target, question, Role.JUDGE)
            except _Skipped as stop:
                skipped = str(stop)
                break
            letters.append(judge.letter(said.body) if said is not None else None)
            if letters[-1] is None:
                work.watched.counts["judge failed" if said is None else "judge unreadable"] += 1
                break
        if not letters and skipped:
            raise _Skipped(f"not judged: {skipped}")
        preference, consistent = judge.verdict(letters)
        work.watched.counts["judged"] += preference is not None
        judgement = Judgement(
            new_id(), held.decision.id, self._parts.clock.wall_us(), shadow.version_id,
            held.served, mirrored, target.name, preference, consistent,
            work.cost_micro_usd - before,
        )  # fmt: skip
        self._parts.log.append(judgement)
        self.judged(judgement, held.decision)


def unfit(held: Held, name: str, mirrored: str) -> str:
    """Why a deployment may not compare the two answers; empty where it may.

    Nobody judges himself, and nobody reads a prompt that was not to be sent to him: he must have
    been eligible, or have left for nothing but the tiers, the caller's bounds or his own tasks.
    """
    if name in (held.served, mirrored):
        return "the judge is one of the two"
    out = {each.deployment: each.reason for each in held.decision.disqualified}
    options = held.request.options
    named = not options.deployments or name in options.deployments
    known = name in held.decision.candidates.names or out.get(name) in MAY_READ
    if not known or not named or name in options.exclude:
        return "the judge may not see this prompt"
    return "" if judge.judgeable(held.request) else "more than words"


def _sized(decision: Decision, request: ChatRequest) -> Decision:
    """The decision with the sizes of another request that is made for it."""
    shape = request.shape
    return replace(decision, tokens_in=shape.tokens_in, tokens_out_limit=shape.tokens_out_limit)


def reserve_micro_usd(target: Deployment, decision: Decision, at_us: int) -> int:
    """What a call may cost: by the caller's limit of the answer, else the deployment's, else a
    usual answer's length.
    """
    most = target.max_output_tokens
    limit = decision.tokens_out_limit or most or ANSWER_RESERVE
    out = min(limit, most) if most else limit
    return worst_micro_usd(target.price_at(at_us), Amounts(decision.tokens_in, out, images=1))
