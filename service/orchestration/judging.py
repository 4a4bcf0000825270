"""Judging through dispatch: scores and comparisons, each asked twice, blind, capped and cached."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np

from service.domain.catalog import Deployment, family_of
from service.domain.chat import NO_OPTIONS, ChatRequest, Options
from service.domain.clock import new_id
from service.domain.judging import HALF, Drawn, Rubric, Rubrics, Scored, Verdict, digest_of, rubrics
from service.domain.records import Caller, Candidates, Decision, Mode, PolicyMark, Role
from service.domain.will import will_for
from service.orchestration.mirror import (
    DEADLINE_S,
    LEAST_LEFT,
    MAY_READ,
    MirrorParts,
    reserve_micro_usd,
)
from service.orchestration.plainly import plainly
from service.orchestration.rubrics import SHIPPED
from service.orchestration.scoring import (
    Conversation,
    compare_question,
    read_preference,
    read_score,
    score_question,
)
from service.orchestration.spend import SharedSpend
from service.providers.base import Answer
from service.routing.eligibility import ANSWER_RESERVE
from service.routing.run import Run

MOST_AT_ONCE = 8
MOST_CACHED = 2_000
AFTER_OTHERS = 10  # the first number of a judge's call, after those of the request and its mirrors
INSTRUCTED = 1  # raised when what a judge is told changes
BY_DEFAULT = rubrics(SHIPPED, ())
Question = Callable[[str], ChatRequest]
Read = Callable[[bytes, str], float | None]


@dataclass(frozen=True, slots=True)
class JudgingRules:
    """``apart``: how far both ways round may lie from one another in a consistent score."""

    judges: tuple[str, ...] = ()
    rubrics: Rubrics = BY_DEFAULT
    apart: float = 0.25
    style_blind: bool = True
    share: float = 0.0
    weight: float = 1.0
    metric: str = ""
    golden: str = ""  # digest of the set that judges are held against


@dataclass(frozen=True, slots=True)
class About:
    """Whose answers they are, and of which request, where that is known. ``families``: more that
    must not judge; ``number``: after which call of the request the judge's are numbered; ``judge``:
    the one of the panel who is meant.
    """

    deployments: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    task: str = ""
    decision: Decision | None = None
    options: Options = NO_OPTIONS
    number: int = 0
    judge: str = ""


NOBODY = About()


class _Stop(Exception):
    """A judging that is not made, or not to its end; its words say why."""


class _Asked(NamedTuple):
    """One judging under way."""

    target: Deployment
    decision: Decision
    rubric: Rubric
    digest: str


class Judges:
    """The panel. Lives on the event loop; keeps no prompt and no answer when it is done."""

    def __init__(self, parts: MirrorParts, spend: SharedSpend, salt: str = "") -> None:
        self._parts = parts
        self.spend = spend
        self.rules = JudgingRules()
        self.gate: Callable[[Decision, str], Drawn | None] = lambda decision, deployment: None
        self.counts: Counter[str] = Counter()
        self._salt = salt or secrets.token_hex(8)
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._cache: OrderedDict[bytes, Scored] = OrderedDict()

    def take_rules(self, rules: JudgingRules, cap_micro_usd: int) -> None:
        """Another plan is in force: nothing that was judged before is taken for a judgement of its
        rubrics.
        """
        self.rules = rules
        self.spend.cap_micro_usd = cap_micro_usd
        self._cache.clear()

    def digest_of(self, name: str) -> str:
        """Of a judge as it now is: its deployment, what it is told, and how answers are shown."""
        target = self._found(name)
        if target is None:
            return ""
        return digest_of(
            name, target.provider, target.model, str(INSTRUCTED), self.rules.rubrics.digest,
            str(self.rules.style_blind), f"{self.rules.apart:g}", self.rules.golden,
        )  # fmt: skip

    # asked ------------------------------------------------------------------------------------

    async def score(
        self, conversation: Conversation, answer: str, rubric: str | Rubric = "",
        about: About = NOBODY,
    ) -> Scored:  # fmt: skip
        """How good an answer is; asked with the levels ascending and descending. ``rubric``: the
        name of one, or one that is given.
        """
        known = self.rules.rubrics
        chosen = rubric if isinstance(rubric, Rubric) else known.of(about.task, rubric)
        shown = self._shown(answer)

        def asking(ascending: bool) -> tuple[Question, Read]:
            return (
                lambda code: score_question(conversation, shown, chosen, ascending, code),
                lambda body, code: read_score(body, ascending, code),
            )

        key = self._key("score", chosen, conversation, (shown,))
        judged = await self._judged(about, chosen, key, (asking(True), asking(False)))
        one, two = judged.said
        if one is None or two is None:
            return judged
        return replace(
            judged, value=(one + two) / 2.0, consistent=abs(one - two) <= self.rules.apart
        )

    async def compare(
        self, conversation: Conversation, first: str, second: str, rubric: str = "",
        about: About = NOBODY,
    ) -> Verdict:  # fmt: skip
        """Which of two answers is better; asked in both orders, and a tie where these differ."""
        chosen = self.rules.rubrics.of(about.task, rubric)
        pair = self._shown(first), self._shown(second)

        def asking(one: str, two: str, turned: bool) -> tuple[Question, Read]:
            def read(body: bytes, code: str) -> float | None:
                found = read_preference(body, code)
                return found if found is None or not turned else 1.0 - found

            return lambda code: compare_question(conversation, one, two, chosen, code), read

        key = self._key("compare", chosen, conversation, pair)
        both = asking(*pair, turned=False), asking(*pair[::-1], turned=True)
        judged = await self._judged(about, chosen, key, both)
        told = Verdict(
            None, False, judged.cost_micro_usd, judged.judge, judged.rubric,
            judged.rubric_version, judged.digest, judged.said, judged.cached, judged.why,
        )  # fmt: skip
        one, two = judged.said
        if one is None or two is None:
            return told
        return replace(told, preference=one if one == two else HALF, consistent=one == two)

    # the calls --------------------------------------------------------------------------------

    async def _judged(
        self, about: About, rubric: Rubric, key: Callable[[Deployment], bytes],
        both: Sequence[tuple[Question, Read]],
    ) -> Scored:  # fmt: skip
        """What was said either way round, or why it was not asked."""
        told = Scored(None, False, 0, "", rubric.name, rubric.version)
        try:
            target = self._fit(about)
        except _Stop as stop:
            self.counts[f"not judged: {stop}"] += 1
            return replace(told, why=str(stop))
        told = replace(told, judge=target.name, digest=self.digest_of(target.name))
        name = key(target)
        kept = self._cache.get(name)
        if kept is not None:
            self._cache.move_to_end(name)
            self.counts["from the cache"] += 1
            return replace(kept, cost_micro_usd=0, cached=True)
        asked = _Asked(target, about.decision or _alone(target, about), rubric, told.digest)
        said: list[float | None] = []
        before = Counter[str]()
        code = digest_of(self._salt, name.hex())[:6].upper()
        async with self._room:
            for turn, (question, read) in enumerate(both):
                try:
                    body = await self._call(asked, question(code), about.number + turn, before)
                    said.append(read(body, code))
                except _Stop as stop:
                    told = replace(told, why=str(stop))
                    break
                if said[-1] is None:
                    told = replace(told, why="unreadable")
                    break
        one, two = (*said, None, None)[:2]
        told = replace(told, said=(one, two), cost_micro_usd=before["cost"])
        self.counts[f"not judged: {told.why}" if told.why else "judged"] += 1
        if not told.why:
            self._cache[name] = told
            if len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
        return told

    async def _call(
        self, asked: _Asked, question: ChatRequest, number: int, costs: Counter[str]
    ) -> bytes:
        """One call under the cap; its cost becomes durable with the judging."""
        target, shape = asked.target, question.shape
        decision = replace(
            asked.decision, tokens_in=shape.tokens_in, tokens_out_limit=shape.tokens_out_limit
        )
        dispatcher, now_s = self._parts.dispatcher(), self._parts.clock.monotonic_s()
        run = Run(decision, question, now_s, now_s + DEADLINE_S, target, 1, number)
        if shape.tokens_in + ANSWER_RESERVE > target.context_window:
            raise _Stop("too long for the judge")
        self._may_call(target, decision, run.tokens)
        reserved = reserve_micro_usd(target, decision, self._parts.clock.wall_us())
        if not self.spend.reserve(reserved):
            raise _Stop("the day's cap")
        try:
            result = await dispatcher.aside(run, target, Role.JUDGE)
        finally:
            cost = sum(each.cost_micro_usd for each in run.cost)
            costs["cost"] += cost
            self.spend.settle(reserved, cost)
        if not isinstance(result, Answer):
            raise _Stop("the judge failed")
        return result.body

    def _may_call(self, target: Deployment, decision: Decision, tokens: int) -> None:
        """Live calls come first, as they do of mirrored ones."""
        fleet, now_s = self._parts.dispatcher().means.fleet, self._parts.clock.monotonic_s()
        if not self._parts.log.healthy:
            raise _Stop("the log cannot be written")
        if self._parts.strained():
            raise _Stop("the gateway is busy")
        who = decision.caller
        will = will_for(decision.task, self._parts.holding(), who.tenant, who.tier)
        if target.name in will.excluded:
            raise _Stop("excluded by an operator")
        if will.killed is not None and will.killed.deployment != target.name:
            raise _Stop("an operator sends all to another deployment")
        if fleet.bar(target.name, now_s):
            raise _Stop("the deployment is barred or busy")
        if fleet.windows.left(target, tokens, now_s) < LEAST_LEFT:
            raise _Stop("the provider's rate limit")

    # who --------------------------------------------------------------------------------------

    def _found(self, name: str) -> Deployment | None:
        catalog = self._parts.dispatcher().means.catalog
        return next((each for each in catalog if each.name == name), None)

    def _fit(self, about: About) -> Deployment:
        """The first of the panel who may judge: of no candidate's family, and the prompt was, or
        could have been, sent to it.
        """
        catalog = self._parts.dispatcher().means.catalog
        families = {_family(each) for each in catalog if each.name in about.deployments}
        families |= set(about.families)
        why = "there is no judge"
        for name in (about.judge,) if about.judge else self.rules.judges:
            target = self._found(name)
            if target is None:
                continue
            if name in about.deployments or _family(target) in families:
                why = "the judges are of the answer's family"
            elif not _may_see(about, name):
                why = "the judges may not see this prompt"
            else:
                return target
        raise _Stop(why)

    def _shown(self, answer: str) -> str:
        return plainly(answer).text if self.rules.style_blind else answer

    def _key(
        self, kind: str, rubric: Rubric, conversation: Conversation, answers: Sequence[str]
    ) -> Callable[[Deployment], bytes]:
        """Of all that makes a judgement what it is."""
        parts = msgspec.json.encode([kind, rubric.digest, list(conversation), list(answers)])

        def key(target: Deployment) -> bytes:
            made = hashlib.sha256(self.digest_of(target.name).encode())
            made.update(parts)
            return made.digest()

        return key


def _family(of: Deployment) -> str:
    return of.family or family_of(of.provider, of.model)


def _may_see(about: About, name: str) -> bool:
    """As of mirrored answers: it was eligible, or left for its tasks, the tiers or bounds alone."""
    if about.decision is None:
        return True
    out = {each.deployment: each.reason for each in about.decision.disqualified}
    options, names = about.options, about.decision.candidates.names
    if (options.deployments and name not in options.deployments) or name in options.exclude:
        return False
    return name in names or out.get(name) in MAY_READ


def _alone(target: Deployment, about: About) -> Decision:
    """What a call that belongs to no request is numbered under; it is in no log."""
    mark = PolicyMark("", "", "", 0)
    return Decision(
        new_id(), 0, Caller(""), about.task or "other", 0.0, "none", "", np.zeros(0, np.float32),
        0, 0, 0.0, False, Candidates((target.name,), (1.0,)), (), 0.0, target.name, 1.0,
        Mode.OVERRIDE, "judging", mark,
    )  # fmt: skip
