"""The way of an ensemble: from a decision to one answer made of several, and why it was so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import Clock
from service.domain.ensembles import NAMED, Arm, Ensembled
from service.domain.errors import HeadgateError
from service.domain.records import Decision, Mode, Role
from service.orchestration.ensembles.choosing import Asked, Chooser, Chosen, by_tie_rule
from service.orchestration.ensembles.fusing import question
from service.orchestration.ensembles.gathering import Gathered, Gatherer, Reading, sampled
from service.orchestration.ensembles.reading import vote
from service.orchestration.ensembles.rules import (
    FUSION,
    JUDGE,
    SCORER,
    EnsembleRules,
    rules_for,
)
from service.orchestration.ensembles.standing import OFF, Standing, Standings
from service.orchestration.ensembles.worth import Lineup, Price, lineup, price
from service.orchestration.sampling import lot
from service.orchestration.scorers import PLAIN
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher
from service.routing.run import Served
from service.routing.several import Heard, Several

NAME = "ensemble"
WORDS_ALONE = frozenset({"json"})
KEEP = {FUSION: 0.4, JUDGE: 0.3, SCORER: 0.2}  # of the deadline, for what makes one answer
MOST_FALLBACKS = 2
MOST_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class WayParts:
    """What it stands on. ``plain``: the names of models that are routed without asking for a way;
    ``worth_usd``: what quality 1 is worth; ``log``: takes a row.
    """

    dispatcher: Callable[[], Dispatcher]
    plain: Callable[[], frozenset[str]]
    worth_usd: Callable[[], float]
    chooser: Chooser
    log: Callable[[Ensembled], object]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Course:
    """How a request is to be answered: the arm of its lot, the ensemble, its members, and why."""

    arm: Arm
    rules: EnsembleRules
    standing: Standing
    why: str
    probability: float = 1.0
    line: Lineup | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    """The answer and how it came to be."""

    heard: Heard
    why: str
    gathered: Gathered = field(default_factory=lambda: Gathered([], ""))
    chosen: Chosen | None = None


class EnsembleWay:
    """Lives on the event loop; keeps no prompt and no answer when it is done."""

    name = NAME

    def __init__(self, parts: WayParts, standings: Standings) -> None:
        self._parts, self.standings = parts, standings
        self.counts: Counter[str] = Counter()
        self.rows: dict[str, Ensembled] = {}  # the newest decisions' rows, for ``why``
        self.ever = False  # whether the log may hold rows

    def wants(self, decision: Decision, request: ChatRequest) -> bool:
        """Whether several are asked, or the single to compare with; where neither, it is told of
        here, since nothing more comes of it.
        """
        course = self.course(decision, request)
        if course is None:
            return False
        self.counts[course.arm] += 1
        if course.arm in (Arm.ENSEMBLE, Arm.SINGLE):
            return True
        self._keep(self._row(decision, course, 0.0))
        return False

    def course(self, decision: Decision, request: ChatRequest) -> Course | None:
        """How a request is to be answered; None where no ensemble is for it."""
        asked = request.model == NAMED
        if not asked and request.model not in self._parts.plain():
            return None
        rules = rules_for(self.standings.rules, decision.task, asked)
        if rules is None:
            return None
        standing = self.standings.of(rules, decision.task)
        why = _unfit(decision, request)
        if standing.state == OFF:
            why = f"switched off: {standing.why}"
        if why:
            return Course(Arm.ASIDE, rules, standing, why)
        at_us = self._parts.clock.wall_us()
        line = lineup(rules, decision, self._parts.dispatcher().means.catalog, at_us)
        if isinstance(line, str):
            return Course(Arm.ASIDE, rules, standing, line)
        seen = standing.beside
        cost = price(rules, line, None if seen is None else seen.multiplier)
        gain, worth = standing.gain(), self._parts.worth_usd()
        told = (
            f"expected gain {gain:.3f} is worth ${gain * worth:.6f}, the extra cost is "
            f"${cost.extra_usd:.6f}"
        )
        if gain * worth <= cost.extra_usd:
            return Course(Arm.ASIDE, rules, standing, f"not worth it: {told}", 1.0, line, cost)
        arm, probability = _arm(decision.id, rules)
        return Course(arm, rules, standing, told, probability, line, cost)

    async def complete(self, decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        """The answer, its calls recorded, and the row that says how it was made."""
        course = self.course(decision, request)
        assert course is not None and course.line is not None
        started_s = self._parts.clock.monotonic_s()
        dispatcher = self._parts.dispatcher()
        alone = course.arm is Arm.SINGLE
        drawn = _named(dispatcher, decision.deployment)
        assert drawn is not None
        asked = request if alone else sampled(request, course.rules.temperature)
        with Several(dispatcher, decision, asked) as run:
            try:
                if alone:
                    made = await self._single(run, course, drawn)
                else:
                    made = await self._several(run, course, decision, request)
            except HeadgateError as error:  # its arm is to be held to it
                latency_s = self._parts.clock.monotonic_s() - started_s
                row = self._row(decision, course, latency_s, None, run.total.cost_micro_usd)
                self._keep(replace(row, stopped=error.code, multiplier=None))
                raise
            served = run.serve(made.heard)
            if served.mode is Mode.ENSEMBLE:  # members are no tiers
                served = replace(served, tier=1)
            latency_s = self._parts.clock.monotonic_s() - started_s
            self._keep(self._row(decision, course, latency_s, made, run.total.cost_micro_usd))
        assert made.heard.answer is not None
        return made.heard.answer, served

    # the single -------------------------------------------------------------------------------

    async def _single(self, run: Several, course: Course, drawn: Deployment) -> _Made:
        assert course.line is not None
        target = course.line.single
        if run.open_to(target):
            heard = await run.ask(target, Role.ENSEMBLE)
            if heard.good:
                return _Made(heard, f"{target.name} alone, to compare with; {course.why}")
            return _Made(await _fallback(run, drawn, heard), f"{target.name} failed; {course.why}")
        return _Made(await _fallback(run, drawn, None), f"{target.name} was barred; {course.why}")

    # several ----------------------------------------------------------------------------------

    async def _several(
        self, run: Several, course: Course, decision: Decision, request: ChatRequest
    ) -> _Made:
        rules, line = course.rules, course.line
        assert line is not None
        reading = Reading(
            rules.by, lambda text: vote(rules.answers, text, rules.letters), _reaches(rules)
        )
        keep_s = max(run.left_s, 0.0) * KEEP.get(rules.by, 0.02)
        gathered = await Gatherer(run, rules.gathering, reading)(line.members, keep_s)
        if gathered.final is not None:
            raise run.fail([gathered.final])
        good = gathered.good
        if not good:
            tried = [each.heard for each in gathered.outputs if each.heard is not None]
            drawn = _named(self._parts.dispatcher(), decision.deployment)
            assert drawn is not None
            heard = await _fallback(run, drawn, tried[-1] if tried else None)
            return _Made(heard, f"none of {len(gathered.outputs)} answered", gathered)
        asked = Asked(decision, request, line.accuracy)
        if rules.by == FUSION and len(good) > 1:
            fused = await self._fused(run, rules, request, gathered)
            if fused is not None and fused.good:
                why = f"{rules.fuser} made one of {len(good)} answers"
                return _Made(fused, f"{why}; {course.why}", gathered)
            chosen = by_tie_rule(asked, good, f"{rules.fuser} made no answer of them")
        else:
            with run.elsewhere():  # judges, or nobody
                chosen = await self._parts.chooser(rules, asked, good, run.left_s)
        best = chosen.output.heard
        assert best is not None
        return _Made(best, f"{chosen.why}; {course.why}", gathered, chosen)

    async def _fused(
        self, run: Several, rules: EnsembleRules, request: ChatRequest, gathered: Gathered
    ) -> Heard | None:
        """The fuser's answer; None where it cannot be asked."""
        target = _named(self._parts.dispatcher(), rules.fuser)
        if target is None or run.left_s <= 0.0 or not run.open_to(target):
            return None
        texts = [each.text for each in gathered.good]
        asked = question(request, texts, request.options.max_cost_usd)
        try:
            return await run.ask(target, Role.FUSION, asked)
        except HeadgateError:  # no money, or it may not see this prompt
            return None

    # the row ----------------------------------------------------------------------------------

    def _row(
        self, decision: Decision, course: Course, latency_s: float, made: _Made | None = None,
        cost_micro_usd: int = 0,
    ) -> Ensembled:  # fmt: skip
        gathered = Gathered([], "") if made is None else made.gathered
        chosen = None if made is None else made.chosen
        outputs, letters, weights = gathered.outputs, {}, {}
        if chosen is not None:
            slots = [each.slot for each in gathered.good]
            letters = dict(zip(slots, chosen.letters, strict=True))
            weights = dict(zip(slots, chosen.weights, strict=True))
        call = None if made is None else made.heard.call
        beside = 0 if chosen is None else chosen.beside_micro_usd
        return Ensembled(
            decision.id, self._parts.clock.wall_us(), course.rules.name, course.rules.digest,
            course.standing.episode, decision.task, course.arm.value, course.probability,
            tuple(each.deployment.name for each in outputs),
            tuple(each.number for each in outputs), tuple(each.state for each in outputs),
            tuple(letters.get(each.slot, "") for each in outputs),
            tuple(weights.get(each.slot, 0.0) for each in outputs),
            course.rules.by, None if call is None else call.number,
            None if call is None else call.deployment.name,
            chosen is not None and chosen.tied, gathered.stopped,
            course.why if made is None else made.why, cost_micro_usd, beside,
            _multiplier(course, gathered, cost_micro_usd + beside), latency_s,
        )  # fmt: skip

    def _keep(self, row: Ensembled) -> None:
        self._parts.log(row)
        self.ever, self.rows[row.decision_id] = True, row
        if len(self.rows) > MOST_ROWS:
            del self.rows[next(iter(self.rows))]


def _multiplier(course: Course, gathered: Gathered, whole_micro_usd: int) -> float | None:
    """The whole cost over the single's: what its own outputs here cost, else as it was expected."""
    if course.arm is not Arm.ENSEMBLE or course.line is None or course.price is None:
        return None
    name = course.line.single.name
    own = [
        each.heard.usage.cost_micro_usd
        for each in gathered.good
        if each.heard is not None and each.deployment.name == name
    ]
    single = sum(own) / len(own) if own else course.price.single_usd * 1e6
    return whole_micro_usd / single if single > 0.0 else None


def _arm(decision_id: str, rules: EnsembleRules) -> tuple[Arm, float]:
    """The lot of a decision, and the probability of what it gave."""
    comparing = rules.comparing
    drawn = lot(decision_id, NAME)
    if drawn < comparing.share:
        return Arm.SINGLE, comparing.share
    if drawn < comparing.share + comparing.routed:
        return Arm.ROUTED, comparing.routed
    return Arm.ENSEMBLE, 1.0 - comparing.share - comparing.routed


def _unfit(decision: Decision, request: ChatRequest) -> str:
    """Why several outputs are not for this request; empty where they are."""
    if not request.needs <= WORDS_ALONE:
        return f"it needs {', '.join(sorted(request.needs - WORDS_ALONE))}: outputs are words"
    if "n" in request.fields and bytes(request.fields["n"]) not in (b"1", b"null"):
        return "it asks for several choices itself"
    if decision.assigned:
        return "it is in an experiment"
    return ""


def _reaches(rules: EnsembleRules) -> Callable[[str], bool]:
    """Whether a scorer that can be asked at once finds an answer good enough to stop."""
    check = rules.check
    if rules.by != SCORER or check is None or check.scorer not in PLAIN:
        return lambda text: False
    plain, enough = PLAIN[check.scorer], rules.gathering.enough

    def reaches(text: str) -> bool:
        value = plain(check, text).value
        return value is not None and value >= enough

    return reaches


async def _fallback(run: Several, drawn: Deployment, failed: Heard | None) -> Heard:
    """Who was drawn, then somebody else, as after any failure; an answer of too poor a form where
    nobody is left. Raises what plain dispatch would.
    """
    tried = [] if failed is None else [failed]
    names = {each.call.deployment.name for each in tried}
    others = [each for each in (drawn, *run.others()) if each.name not in names]
    for target in others[:MOST_FALLBACKS]:
        if tried and (run.left_s <= 0.0 or not run.may_follow(target)):
            continue
        heard = await run.ask(target, Role.FALLBACK)
        if heard.good:
            return heard
        tried.append(heard)
    poor = next((each for each in tried if each.answer is not None), None)
    if poor is not None:
        return poor
    raise run.fail(tried)


def _named(dispatcher: Dispatcher, name: str) -> Deployment | None:
    return next((each for each in dispatcher.means.catalog if each.name == name), None)
