"""One answer of several: by votes, by a scorer, or by judges who compare each with each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

from learning.voting import Count, Vote, majority, weighted
from service.domain.chat import ChatRequest
from service.domain.judging import Rubric, Scored, Verdict, given
from service.domain.records import Decision
from service.orchestration.ensembles.gathering import Output
from service.orchestration.ensembles.reading import lettered
from service.orchestration.ensembles.rules import JUDGE, SCORER, VOTING, WEIGHTED, EnsembleRules
from service.orchestration.judge import conversation_of
from service.orchestration.judging import About
from service.orchestration.scorers import Judged, score
from service.orchestration.scoring import Conversation

JUDGED_FROM = 40  # the first number of the judges' calls, after those of members and of sampling
EVEN = 1e-9


class Comparer(Protocol):
    """Who scores an answer, and compares two in both orders."""

    async def score(
        self, conversation: Conversation, answer: str, rubric: str | Rubric = "",
        about: About = ...,
    ) -> Scored:  # fmt: skip
        """What an answer is worth by a rubric."""

    async def compare(
        self, conversation: Conversation, first: str, second: str, rubric: str = "",
        about: About = ...,
    ) -> Verdict:  # fmt: skip
        """0: the first is better, 1: the second, 0.5: neither; None: it could not say."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """``output`` is the answer, ``why`` in words without a word of any answer. ``letters`` and
    ``weights``: of each good output, in their order.
    """

    output: Output
    why: str
    letters: tuple[str, ...]
    weights: tuple[float, ...]
    tied: bool = False
    beside_micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What there is to choose for: the request, its decision, and how often each deployment is
    believed to be right.
    """

    decision: Decision
    request: ChatRequest
    accuracy: dict[str, float]


class Chooser:
    """Chooses by the rules of an ensemble. Needs at least one good output."""

    def __init__(self, judges: Comparer) -> None:
        self._judges = judges

    async def __call__(
        self, rules: EnsembleRules, asked: Asked, good: Sequence[Output], left_s: float
    ) -> Chosen:
        """The answer; where nothing sets one apart, the tie rule's."""
        if len(good) == 1:
            return Chosen(good[0], "it is the only answer", lettered([good[0].vote]), (1.0,))
        try:
            async with asyncio.timeout(max(left_s, 0.01)):
                if rules.by in VOTING:
                    return voted(rules, asked, good)
                if rules.by == SCORER:
                    return await self._scored(rules, asked, good)
                if rules.by == JUDGE:
                    return await self._compared(asked, good)
        except TimeoutError:
            return by_tie_rule(asked, good, f"the {rules.by} was not done by the deadline")
        return by_tie_rule(asked, good, "nothing was to set them apart")

    async def _scored(self, rules: EnsembleRules, asked: Asked, good: Sequence[Output]) -> Chosen:
        assert rules.check is not None
        conversation, check = conversation_of(asked.request), rules.check
        found = await asyncio.gather(
            *(
                score(check, each.text, conversation, _Panel(self._judges, asked, good, at))
                for at, each in enumerate(good)
            )
        )
        values = tuple(-1.0 if each.value is None else each.value for each in found)
        cost = sum(each.cost_micro_usd for each in found)
        told = ", ".join(
            f"{each.deployment.name} {'cannot be scored' if value < 0.0 else f'{value:.2f}'}"
            for each, value in zip(good, values, strict=True)
        )
        return _best(asked, good, values, f"scored by {check.scorer}: {told}", cost)

    async def _compared(self, asked: Asked, good: Sequence[Output]) -> Chosen:
        """Each with each, in both orders; a win counts 1, a tie or what could not be said a half
        for both (Copeland's count).
        """
        conversation = conversation_of(asked.request)
        pairs = list(combinations(range(len(good)), 2))
        names = tuple(dict.fromkeys(each.deployment.name for each in good))
        found = await asyncio.gather(*(
            self._judges.compare(conversation, good[one].text, good[two].text, about=_about(
                asked, names, 2 * at))
            for at, (one, two) in enumerate(pairs)
        ))  # fmt: skip
        wins = [0.0] * len(good)
        for (one, two), verdict in zip(pairs, found, strict=True):
            said = 0.5 if verdict.preference is None else verdict.preference
            wins[one] += 1.0 - said
            wins[two] += said
        unsaid = sum(each.preference is None for each in found)
        cost = sum(each.cost_micro_usd for each in found)
        if unsaid == len(pairs):
            why = f"no judge could say: {found[0].why or 'unreadable'}"
            return by_tie_rule(asked, good, why, cost)
        who = next(each.judge for each in found if each.judge)
        torn = sum(each.preference is not None and not each.consistent for each in found)
        told = ", ".join(
            f"{each.deployment.name} {won:g}" for each, won in zip(good, wins, strict=True)
        )
        why = f"compared each with each by {who}, both orders; wins of {len(good) - 1}: {told}"
        if torn or unsaid:
            why += f"; {torn} changed with the order, {unsaid} could not be said"
        return _best(asked, good, tuple(wins), why, cost)


def voted(rules: EnsembleRules, asked: Asked, good: Sequence[Output]) -> Chosen:
    """The answer that most gave, or that weighs most by how often who gave it is right."""
    votes = [
        Vote(each.vote, each.slot, asked.accuracy[each.deployment.name])
        for each in good if each.vote is not None
    ]  # fmt: skip
    by_weight = rules.by == WEIGHTED
    count = weighted(votes, rules.possible) if by_weight else majority(votes)
    if count is None:
        return by_tie_rule(asked, good, f"none of {len(good)} has an answer of {rules.answers}")
    letters = lettered([each.vote for each in good])
    mine = dict(zip((each.slot for each in good), letters, strict=True))
    sums = dict(count.weights)
    weights = tuple(sums.get(each.vote or "", 0.0) for each in good)
    speaker = next(each for each in good if each.slot == count.rank)
    tied = bool(count.tied)
    why = _of_votes(count, mine[count.rank], len(votes), len(good) - len(votes), by_weight)
    return Chosen(speaker, why, letters, weights, tied)


def _of_votes(count: Count, letter: str, votes: int, mute: int, by_weight: bool) -> str:
    what = "weight" if by_weight else "votes"
    told = f"{letter} has {count.share:.0%} of the {what} of {votes}, {count.lead:.0%} ahead"
    if mute:
        told += f"; {mute} gave nothing that could be read"
    if count.tied:
        told += f"; {len(count.tied)} were even, and the most accurate voter's was taken"
    return told


def by_tie_rule(asked: Asked, good: Sequence[Output], why: str, cost: int = 0) -> Chosen:
    """The answer of whoever is believed to be right most often, of equals the first of the plan."""
    best = _first(asked, good)
    told = f"{why}; {best.deployment.name} is believed to be right most often"
    letters = lettered([each.vote for each in good])
    return Chosen(best, told, letters, (0.0,) * len(good), True, cost)


def _best(
    asked: Asked, good: Sequence[Output], values: tuple[float, ...], why: str, cost: int
) -> Chosen:
    most = max(values)
    even = [each for each, value in zip(good, values, strict=True) if value >= most - EVEN]
    best = _first(asked, even)
    letters = lettered([each.vote for each in good])
    if len(even) > 1:
        why += f"; {len(even)} were even, and the one believed right most often was taken"
    return Chosen(best, why, letters, values, len(even) > 1, cost)


def _first(asked: Asked, even: Sequence[Output]) -> Output:
    return min(even, key=lambda each: (-asked.accuracy[each.deployment.name], each.slot))


def _about(asked: Asked, names: tuple[str, ...], at: int) -> About:
    return About(
        names, (), asked.decision.task, asked.decision, asked.request.options, JUDGED_FROM + at
    )


class _Panel:
    """The judges as one rubric's scorer: no kin of whose answers stand beside each other."""

    def __init__(self, judges: Comparer, asked: Asked, good: Sequence[Output], at: int) -> None:
        names = tuple(dict.fromkeys(each.deployment.name for each in good))
        self._judges, self._about = judges, _about(asked, names, 2 * at)

    async def score(
        self, conversation: Sequence[Mapping[str, Any]], answer: str, rubric: str
    ) -> Judged:
        """As the panel says; ``rubric``: a text, or empty for the task's own."""
        by = given(rubric) if rubric else ""
        return await self._judges.score(conversation, answer, by, self._about)
