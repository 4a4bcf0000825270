"""One request on its way up: each answer looked at, the next rung asked where that pays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from learning.stopping import Lots, Signals, Step, StopRule, best_step
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import Clock
from service.domain.errors import BudgetExceeded
from service.domain.escalation import GO_ON, STOP, Began, By, ClimbStart, RungVerdict, Trigger
from service.domain.lots import lot_for
from service.domain.records import Decision, ErrorKind, Role
from service.orchestration.escalation.assessing import (
    asking_logprobs,
    fault,
    logprob,
    without_logprobs,
)
from service.orchestration.escalation.verifying import About, verified
from service.orchestration.judge import conversation_of, judgeable, said_by
from service.orchestration.judging import About as Judged
from service.orchestration.judging import Judges
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher
from service.routing.exhaustion import FINAL
from service.routing.run import Served
from service.routing.several import Heard, Several

END_LOT = "escalation.end"  # of the lot by which it is settled where a run by lot ends
JUDGE_NUMBER = 20  # the first number of a judge's call, after those for the answer
SLOWER = 1.5  # a usual call's latency times this, where its 95th percentile is not known yet


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """``worth_usd``: of an acceptable answer over one that is not; ``below``: an answer of a lower
    chance is not taken while another can be had (None: no such bound); ``explore``: each share
    that is drawn by lot; ``logprobs``: who gives them; ``verify``: who is asked whether an answer
    is right; ``judge``: whether a proven judge scores it.
    """

    worth_usd: float
    below: float | None = None
    explore: float = 0.05
    logprobs: frozenset[str] = field(default_factory=frozenset)
    verify: str = ""
    judge: bool = False


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Of one rung before it is asked: the chance, the dollars and the seconds of a usual call."""

    chance: float
    cost_usd: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class Ground:
    """What climbing stands on. ``judge``: the proven judge, or none; ``foresee``: of each rung."""

    dispatcher: Callable[[], Dispatcher]
    foresee: Callable[[Decision, Sequence[str]], dict[str, Foreseen]]
    judges: Judges
    judge: Callable[[], str]
    record: Callable[[RungVerdict], None]
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Seen:
    """A call that has ended, and what was seen of it."""

    level: int
    heard: Heard
    trigger: Trigger
    signals: Signals
    chance: float | None
    check_micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class _Act:
    act: str
    by: By
    level: int = 0
    gain_usd: float = 0.0
    probability: float = 1.0
    skipped: tuple[str, ...] = ()


class Climb:
    """Never asks a rung below one that it has asked, but where nobody has answered at all."""

    def __init__(
        self, ground: Ground, rules: CascadeRules, rule: StopRule, run: Several,
        asked: tuple[Decision, ClimbStart, ChatRequest],
    ) -> None:  # fmt: skip
        self._ground, self._rules, self._rule, self._run = ground, rules, rule, run
        self._decision, self._start, self._request = asked
        dispatcher = ground.dispatcher()
        self._fleet, self._catalog = dispatcher.means.fleet, {
            each.name: each for each in dispatcher.means.catalog
        }  # fmt: skip
        self._foreseen = ground.foresee(self._decision, self._start.rungs)
        self._seen: list[_Seen] = []
        share = 0.0
        if self._start.began in (Began.CASCADE, Began.BY_LOT):
            share = rules.explore / (1.0 - rules.explore)  # of the runs that climb
        self._lots = Lots(share, self._start.began is Began.BY_LOT)
        self._drawn: tuple[int, bool] | None = None  # of how many acts, and whether by the rule

    async def served(self) -> tuple[Answer, Served]:
        """The answer that is taken, recorded; raises HeadgateError where there is none."""
        level, role, below = self._start.level, Role.FIRST, None
        while True:
            try:
                seen = await self._asked(level, role, below)
            except BudgetExceeded:
                if not self._seen:
                    raise
                break  # somebody else took the room meanwhile: what there is is served
            self._seen.append(seen)
            act = self._next(seen)
            self._record(seen, act)
            if act.act == STOP:
                break
            level, role = act.level, Role.ESCALATION
            below = seen.chance if seen.trigger is Trigger.NONE else None
        last = self._seen[-1].heard.failure
        if last is not None and last.kind is ErrorKind.POLICY:
            raise self._run.fail()  # what one refused is not for another to have answered
        best = self._best() or await self._anybody()
        answer, told = best.heard.answer, self._run.serve(best.heard)
        assert answer is not None
        if asking_logprobs(self._request) is not None:
            answer = replace(answer, body=without_logprobs(answer.body))
        return answer, replace(told, tier=best.level)

    # one rung ---------------------------------------------------------------------------------

    async def _asked(self, level: int, role: Role, below: float | None) -> _Seen:
        name = self._start.rungs[level - 1]
        target, sent = self._catalog[name], None
        if name in self._rules.logprobs:
            fields = asking_logprobs(self._request)
            sent = None if fields is None else replace(self._request, fields=fields)
        heard = await self._run.ask(target, role, sent)
        signals = Signals(self._foreseen[name].chance, below=below)
        if heard.answer is None:
            return _Seen(level, heard, Trigger.FAILED, signals, None)
        body = heard.answer.body
        trigger = fault(self._request, body) if heard.good else Trigger.SCHEMA
        if trigger is not Trigger.NONE:
            return _Seen(level, heard, trigger, signals, None)
        signals, cost = replace(signals, logprob=logprob(body)), 0
        if self._reachable(level)[0]:  # where nothing can follow, nothing is paid to know
            with self._run.elsewhere():
                signals, cost = await self._checked(level, target, body, signals)
        chance = self._rule.chance(name, signals)
        if self._rules.below is not None and chance < self._rules.below:
            trigger = Trigger.LOW_SCORE
        return _Seen(level, heard, trigger, signals, chance, cost)

    async def _checked(
        self, level: int, target: Deployment, body: bytes, signals: Signals
    ) -> tuple[Signals, int]:
        """With what others say of it, where the plan has them asked, and what that cost."""
        said, cost = said_by(body), 0
        if said is None or not judgeable(self._request):
            return signals, cost
        if self._rules.verify:
            about = About(self._decision, self._request, level, self._run.left_s)
            checked = await verified(self._ground.dispatcher, self._rules.verify, said, about)
            signals, cost = replace(signals, verified=checked.value), checked.cost_micro_usd
        judge = self._ground.judge() if self._rules.judge else ""
        if judge and self._run.left_s > 0.0:
            about_it = Judged(
                (target.name,), (), self._decision.task, self._decision, self._request.options,
                JUDGE_NUMBER + 2 * level, judge,
            )  # fmt: skip
            conversation = conversation_of(self._request)
            try:
                async with asyncio.timeout(self._run.left_s):
                    scored = await self._ground.judges.score(conversation, said, about=about_it)
            except (TimeoutError, BudgetExceeded):
                return signals, cost
            if scored.consistent:
                signals = replace(signals, judged=scored.value)
            cost += scored.cost_micro_usd
        return signals, cost

    # what next --------------------------------------------------------------------------------

    def _reachable(self, level: int) -> tuple[list[int], tuple[str, ...]]:
        """The rungs above that can be asked now, and why the others cannot."""
        found, skipped = [], []
        for at in range(level + 1, len(self._start.rungs) + 1):
            name = self._start.rungs[at - 1]
            why = self._barred(name)
            if why:
                skipped.append(f"{name}: {why}")
            else:
                found.append(at)
        return found, tuple(skipped)

    def _barred(self, name: str) -> str:
        target = self._catalog.get(name)
        if target is None:
            return "gone"
        slow_s = self._fleet.p95_s(name, self._ground.clock.monotonic_s())
        if slow_s is None:
            slow_s = SLOWER * self._foreseen[name].latency_s
        if slow_s > self._run.left_s:
            return "deadline"
        if not self._run.affords(target):
            return "budget"
        return "" if self._run.open_to(target) else "closed"

    def _next(self, seen: _Seen) -> _Act:
        failure = seen.heard.failure
        if failure is not None and failure.kind in FINAL:
            return _Act(STOP, By.END)
        levels, skipped = self._reachable(seen.level)
        if not levels:
            return _Act(STOP, By.END, skipped=skipped)
        onward = self._catalog[self._start.rungs[levels[0] - 1]]
        if seen.trigger is Trigger.FAILED and not self._run.may_follow(onward):
            return _Act(STOP, By.END, skipped=(*skipped, f"{onward.name}: retries"))
        below = seen.chance if seen.trigger is Trigger.NONE else None
        steps = [self._step(level, below) for level in levels]
        at, gain = best_step(seen.chance or 0.0, steps, self._rules.worth_usd)
        if seen.trigger is not Trigger.NONE:
            return _Act(GO_ON, By.TRIGGER, levels[at], gain, 1.0, skipped)
        by_rule = at + 1 if gain > 0.0 else 0
        done, probability = self._settled(len(steps) + 1, by_rule)
        by = By.LOT if self._lots.by_lot else By.RULE
        if not done:
            return _Act(STOP, by, 0, gain, probability, skipped)
        return _Act(GO_ON, by, levels[done - 1], gain, probability, skipped)

    def _settled(self, acts: int, by_rule: int) -> tuple[int, float]:
        """Which of the acts is done (0: to stop), and with which probability."""
        if not self._lots.share:
            return by_rule, 1.0
        if self._drawn is None:
            lot = lot_for(END_LOT, self._decision.id)
            done, probability = self._lots.first(acts, by_rule, lot)
            self._drawn = acts, done == by_rule
            return done, probability
        stops, probability = self._lots.later(*self._drawn, by_rule == 0)
        if not stops:  # a run by lot would have ended here: from now on the rule is alone
            self._lots = Lots(0.0, False)
        return 0 if stops else by_rule, probability

    def _step(self, level: int, below: float | None) -> Step:
        name = self._start.rungs[level - 1]
        ahead = self._foreseen[name]
        chance = self._rule.chance(name, Signals(ahead.chance, below=below))
        return Step(name, chance, ahead.cost_usd)

    # the end ----------------------------------------------------------------------------------

    def _best(self) -> _Seen | None:
        """The highest rung's answer with nothing wrong in it; else of those with something."""
        there = [each for each in self._seen if each.heard.answer is not None]
        sound = [each for each in there if each.trigger is Trigger.NONE]
        poor = [each for each in there if each.trigger is Trigger.LOW_SCORE]
        left = sound or poor or there
        return left[-1] if left else None

    async def _anybody(self) -> _Seen:
        """Nobody has answered: whoever else was eligible, as after any failure."""
        last = self._seen[-1].heard.failure
        if last is None or last.kind not in FINAL:
            tried = {each.heard.call.deployment.name for each in self._seen}
            for other in self._run.others():
                if other.name in tried or self._run.left_s <= 0.0:
                    continue
                if not self._run.may_follow(other):
                    continue
                heard = await self._run.ask(other, Role.FALLBACK)
                if heard.answer is not None:
                    signals = Signals(0.5)
                    return _Seen(1, heard, Trigger.NONE, signals, None)
                if heard.failure is not None and heard.failure.kind in FINAL:
                    break
        raise self._run.fail()

    def _record(self, seen: _Seen, act: _Act) -> None:
        heard, signals = seen.heard, seen.signals
        self._ground.record(
            RungVerdict(
                self._decision.id, self._ground.clock.wall_us(), heard.call.number, seen.level,
                heard.call.deployment.name, seen.trigger, signals.foreseen, signals.logprob,
                signals.verified, signals.judged, signals.below, seen.chance, act.act, act.by,
                self._start.rungs[act.level - 1] if act.act == GO_ON else "", act.gain_usd,
                act.probability, act.skipped, self._rule.state, self._rule.rated,
                heard.usage.cost_micro_usd, seen.check_micro_usd, heard.latency_s,
            )
        )  # fmt: skip
