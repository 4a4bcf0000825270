"""The run: trials in their order, a few at a time, each on disk when it ends, within its money."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from service.benchmarking.asking import Later, Refused, ask
from service.benchmarking.journal import Answer, Journal
from service.benchmarking.planning import (
    WARM_TOKENS,
    WARM_UP,
    Ask,
    Candidate,
    judge_reserve_usd,
    order,
    reserve_usd,
)
from service.benchmarking.prompts import Item
from service.benchmarking.scoring import Scorers
from service.client import AsyncClient
from service.domain.clock import Clock
from service.orchestration.scorers import Check

MOST_IN_A_ROW = 10  # failures, after which a deployment is asked no more
PATIENCE_S = 120.0  # of waiting for one trial to be possible
LONGEST_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Means:
    """What a run works with. ``tasks``: those that the service's plan has, named in the calls;
    ``judges``: those of the service who may be asked for a score.
    """

    client: AsyncClient
    clock: Clock
    scorers: Scorers
    items: Mapping[str, Item]
    candidates: Mapping[str, Candidate]
    tasks: frozenset[str]
    judges: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many calls at a time, what all may cost, and warm-up calls to each deployment."""

    concurrency: int = 4
    most_usd: float = 1.0
    warm_up: int = 1


@dataclass(slots=True)
class Ended:
    """How a run ended. ``short``: the money was not enough; ``out``: deployments that were asked
    no more, and why; ``reason``: why nothing more could be asked.
    """

    asked: int = 0
    short: bool = False
    reason: str = ""
    out: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every trial ended that could."""
        return not self.short and not self.reason


class Run:
    """Goes through the trials that the journal does not have yet."""

    def __init__(
        self, journal: Journal, means: Means, bounds: Bounds, told: Callable[[int], None]
    ) -> None:
        self._journal, self._means, self._bounds = journal, means, bounds
        self._told = told
        self._row: Counter[str] = Counter()
        self._disk = asyncio.Lock()
        self.ended = Ended()

    async def go(self) -> Ended:
        """Ask, score and keep, until there is nothing left or no going on."""
        asks = order(self._journal.design)
        known = self._journal.known
        self._told(sum(each.key in known.answers for each in asks))
        due = [each for each in asks if each.key not in known.answers]
        await self._score_kept(asks)
        if due:
            await self._warm_up()
        waiting = iter(due)  # of which each worker takes the next
        workers = [self._work(waiting) for _ in range(self._bounds.concurrency)]
        await asyncio.gather(*workers)
        return self.ended

    async def _score_kept(self, asks: Sequence[Ask]) -> None:
        """Score what was answered before an interruption and not scored."""
        known = self._journal.known
        for each in asks:
            answer = known.answers.get(each.key)
            if answer is None or answer.status != "answered" or each.key in known.scores:
                continue
            judging = judge_reserve_usd(self._means.items[each.prompt], self._means.judges)
            if judging:
                kept = known.judge_usd.get(each.key, 0.0)  # spent or not: nobody knows
                if known.spent_usd + max(judging, kept) > self._bounds.most_usd:
                    self.ended.short = True
                    return
                self._journal.judged_again(each.key, judging)
            await self._score(each, answer)

    async def _warm_up(self) -> None:
        """A short call to each, so that trials find connections open; paid and not counted."""
        check = Check("exact", "ready")
        message = {"role": "user", "content": WARM_UP}
        item = Item("warm-up", "", (message,), check, WARM_TOKENS)
        for turn in range(self._bounds.warm_up):
            for name in self._journal.design.deployments:
                key = f"warm-up|{name}|{turn}"
                if key not in self._journal.known.answers:
                    await self._one(Ask("warm-up", name, turn), item, None)

    async def _work(self, waiting: Iterator[Ask]) -> None:
        for each in waiting:
            if not self.ended.whole:
                return
            if each.deployment in self.ended.out:
                continue
            item = self._means.items[each.prompt]
            task = item.task if item.task in self._means.tasks else None
            answer = await self._one(each, item, task)
            if answer is not None and answer.status == "answered":
                await self._score(each, answer)
            if answer is not None:
                self.ended.asked += 1
                self._told(1)

    async def _one(self, each: Ask, item: Item, task: str | None) -> Answer | None:
        """Make room in the money, ask until it is answered, and keep it."""
        means, name = self._means, each.deployment
        reserve = reserve_usd(item, means.candidates[name])
        judging = judge_reserve_usd(item, means.judges)
        until_s = means.clock.monotonic_s() + PATIENCE_S
        while name not in self.ended.out and self.ended.whole:
            if self._journal.known.spent_usd + reserve + judging > self._bounds.most_usd:
                self.ended.short = True
                return None
            self._journal.asked(each.key, reserve, judging)
            try:
                answer = await ask(means.client, means.clock, item, name, each.key, task)
            except Later as later:
                self._journal.broke_off(each.key, later.sent)
                if means.clock.monotonic_s() + later.after_s > until_s:
                    self._give_up(name, later)
                    return None
                await asyncio.sleep(min(later.after_s, LONGEST_WAIT_S))
                continue
            except Refused as refused:
                self._journal.broke_off(each.key, False)
                self.ended.reason = self.ended.reason or str(refused)
                return None
            self._journal.answered(answer)
            await self._force()
            self._count(name, answer)
            return answer
        return None

    async def _score(self, each: Ask, answer: Answer) -> None:
        item = self._means.items[each.prompt]
        found = await self._means.scorers.scored(each.key, item, answer.text, each.deployment)
        self._journal.scored(found)
        await self._force()

    def _give_up(self, name: str, later: Later) -> None:
        """One that cannot be asked for long is left out; where nobody can, the run ends."""
        if later.sent:
            self.ended.reason = self.ended.reason or str(later)
        else:
            self.ended.out[name] = str(later)

    def _count(self, name: str, answer: Answer) -> None:
        self._row[name] = self._row[name] + 1 if answer.status == "failed" else 0
        if self._row[name] >= MOST_IN_A_ROW:
            self.ended.out[name] = f"{MOST_IN_A_ROW} failures in a row, the last: {answer.why}"

    async def _force(self) -> None:
        """To the disk beside the loop, so that no call's time is stretched by it."""
        async with self._disk:
            await asyncio.to_thread(self._journal.force)
