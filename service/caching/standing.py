"""Which tasks give answers for like questions and which are off, as the history left them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from service.caching.false_hits import FalseHits

log = logging.getLogger("headgate.cache")

CHANGED = "the plan's rules for it have changed"


@dataclass(frozen=True, slots=True)
class SemanticRule:
    """A task's. ``delta``: of all its questions that have a like one, so many may be answered
    wrongly; ``most_false``: of the answers that are given; ``shadow_share``: of these, how many are
    regenerated; ``most_apart``: the share of words in which two equal answers may differ;
    ``judge``: whether a proven judge is asked about those that differ.
    """

    delta: float = 0.05
    most_false: float = 0.1
    shadow_share: float = 0.05
    most_apart: float = 0.0
    judge: bool = False


@dataclass(frozen=True, slots=True)
class Switched:
    """A task put off or on: why, under which rule (None: that is not known), and whether somebody
    did it.
    """

    task: str
    on: bool
    why: str
    rule: SemanticRule | None = None
    by_hand: bool = False


class Standings:
    """Of every task that was seen; changed on the event loop alone. ``log`` keeps that a task is
    off or on again; whether that is durable.
    """

    def __init__(
        self, rules: Mapping[str, SemanticRule], log: Callable[[Switched], Awaitable[bool]]
    ) -> None:
        self.rules = rules
        self.tasks: dict[str, FalseHits] = {}
        self._log = log
        self._under: dict[str, SemanticRule | None] = dict(rules)  # the last that held
        self._unlogged: list[Switched] = []

    def of(self, task: str) -> FalseHits:
        """A task's counts; tasks come from the plan."""
        found = self.tasks.get(task)
        if found is None:
            found = self.tasks[task] = FalseHits()
        return found

    def resume(self, known: Mapping[str, Switched]) -> None:
        """Stand where the last run stood: off is off, unless other rules hold now."""
        for task, last in known.items():
            if not last.on:
                self.of(task).put_off(last.why, last.by_hand)
                self._under[task] = last.rule
        self.take_rules(self.rules)

    def take_rules(self, rules: Mapping[str, SemanticRule]) -> None:
        """Another plan is in force. A task with other rules begins anew, also where it had gone
        off by itself; what somebody put off stays off.
        """
        self.rules = rules
        for task, rule in rules.items():
            before, found = self._under.get(task), self.tasks.get(task)
            self._under[task] = rule
            if found is None or before in (None, rule) or found.by_hand:
                continue
            if found.off:
                self._unlogged.append(Switched(task, True, CHANGED, rule))
            found.again()

    def switch(self, told: Switched) -> None:
        """Somebody put a task on or off, and it is in the history. One that is put on begins
        anew; nothing happens to one that is on.
        """
        self._unlogged = [each for each in self._unlogged if each.task != told.task]
        found = self.of(told.task)
        if not told.on:
            found.put_off(told.why, True)
        elif found.off:
            found.again()

    async def turn(self) -> None:
        """Judge what came; a task whose bound is broken is off from now on. What could not be
        written into the history is offered again.
        """
        for task, rule in self.rules.items():
            found = self.tasks.get(task)
            if found is not None and (why := found.judge(rule.most_false)):
                log.warning("no answers for like questions of task %s any more: %s", task, why)
                self._unlogged.append(Switched(task, False, why, rule))
        while self._unlogged:
            first = self._unlogged[0]
            if not await self._log(first):
                break
            self._unlogged = [each for each in self._unlogged if each is not first]
