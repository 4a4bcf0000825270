"""Outputs gathered: several calls at a time, until enough have come, and the others cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from learning.enough_votes import enough
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.errors import BudgetExceeded, HeadgateError
from service.domain.records import ErrorKind, Role
from service.orchestration.ensembles.rules import SCORER, VOTING, Gathering
from service.orchestration.judge import said_by
from service.routing.several import Heard, Several

ANSWERED, FAILED, CANCELLED, REFUSED, BARRED = (
    "answered", "failed", "cancelled", "refused", "not asked"
)  # fmt: skip
LEAST_LEFT_S = 0.05  # of the deadline, with which no further call is begun


@dataclass(frozen=True, slots=True)
class Output:
    """What became of one member's call. ``slot``: its place in the plan's order; ``vote``: what it
    says as it is read, None where nothing.
    """

    slot: int
    deployment: Deployment
    state: str
    number: int = 0
    heard: Heard | None = None
    text: str = ""
    vote: str | None = None

    @property
    def good(self) -> bool:
        """Whether it can be the answer."""
        return self.state == ANSWERED


@dataclass(frozen=True, slots=True)
class Reading:
    """How outputs are looked at while they come. ``reaches``: whether a score is good enough."""

    by: str
    vote: Callable[[str], str | None]
    reaches: Callable[[str], bool]


@dataclass(slots=True)
class Gathered:
    """All outputs in the plan's order, and why no further ones were asked for."""

    outputs: list[Output]
    stopped: str
    over_budget: BudgetExceeded | None = None
    final: Heard | None = None  # a refusal of the request itself: for nobody else to answer

    @property
    def good(self) -> list[Output]:
        """Those that can be the answer."""
        return [each for each in self.outputs if each.good]


class Gatherer:
    """One gathering. Every call is an attempt of the run, ended, failed or cancelled."""

    def __init__(self, run: Several, rules: Gathering, reading: Reading) -> None:
        self._run, self._rules, self._reading = run, rules, reading
        self._numbers: dict[int, int] = {}

    async def __call__(self, members: Sequence[Deployment], keep_s: float) -> Gathered:
        """Ask the members; ``keep_s`` of the deadline is left for what comes after."""
        waiting: dict[asyncio.Task[Output], int] = {}
        found = Gathered([], "")
        begun = 0
        try:
            while not found.stopped:
                left_s = self._run.left_s - keep_s
                while begun < len(members) and len(waiting) < self._rules.at_once:
                    if left_s < LEAST_LEFT_S and begun:
                        break
                    task = asyncio.create_task(self._ask(begun, members[begun], left_s, found))
                    waiting[task] = begun
                    begun += 1
                if not waiting:
                    found.stopped = "all" if begun == len(members) else "deadline"
                    break
                done, _ = await asyncio.wait(
                    waiting, timeout=max(left_s, LEAST_LEFT_S),
                    return_when=asyncio.FIRST_COMPLETED,
                )  # fmt: skip
                for task in sorted(done, key=waiting.__getitem__):
                    del waiting[task]
                    found.outputs.append(task.result())
                found.stopped = self._enough(found, len(members)) if done else "deadline"
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for slot in waiting.values():
            cut = Output(slot, members[slot], CANCELLED, self._numbers.get(slot, 0))
            found.outputs.append(cut)
        found.outputs.sort(key=lambda each: each.slot)
        return found

    async def _ask(self, slot: int, target: Deployment, left_s: float, found: Gathered) -> Output:
        if not self._run.open_to(target):
            return Output(slot, target, BARRED)
        self._numbers[slot] = self._run.calls + 1
        try:
            heard = await self._run.ask(target, Role.ENSEMBLE, timeout_s=max(left_s, LEAST_LEFT_S))
        except BudgetExceeded as error:
            found.over_budget = error
            return Output(slot, target, BARRED)
        except HeadgateError:
            return Output(slot, target, BARRED)
        number = heard.call.number
        if not heard.good:
            kind = None if heard.failure is None else heard.failure.kind
            if kind in (ErrorKind.POLICY, ErrorKind.INVALID):
                found.final = heard
                return Output(slot, target, REFUSED, number, heard)
            return Output(slot, target, FAILED, number, heard)
        text = said_by(heard.answer.body) if heard.answer is not None else None
        if text is None:
            return Output(slot, target, FAILED, number, heard)
        return Output(slot, target, ANSWERED, number, heard, text, self._reading.vote(text))

    def _enough(self, found: Gathered, members: int) -> str:
        """Why no further output is needed; empty where one is."""
        rules, good = self._rules, found.good
        if found.final is not None:
            return "refused"
        if rules.first and len(good) >= rules.first:
            return f"first {rules.first}" if len(found.outputs) < members else "all"
        left = members - len(found.outputs)
        if not left:
            return "all"
        if self._reading.by in VOTING:
            counts: dict[str, int] = {}
            for each in good:
                if each.vote is not None:
                    counts[each.vote] = counts.get(each.vote, 0) + 1
            return self._voted(list(counts.values()), left)
        if self._reading.by == SCORER and any(self._reading.reaches(each.text) for each in good):
            return "good enough"
        return ""

    def _voted(self, counts: list[int], left: int) -> str:
        """By the stop rule; where votes are weighed, what is decided by number may not be so by
        weight, so of them only the rule itself speaks.
        """
        if not counts:
            return ""
        told = enough(self._rules.stop or "beta", counts, left, self._rules.sure)
        if told == "decided":
            return told if self._reading.by == VOTING[0] else ""
        return told if self._rules.stop else ""


def sampled(request: ChatRequest, temperature: float | None) -> ChatRequest:
    """The request with the ensemble's temperature, where its caller gave none."""
    if temperature is None or "temperature" in request.fields:
        return request
    raw = msgspec.Raw(msgspec.json.encode(temperature))
    return replace(request, fields={**request.fields, "temperature": raw})
