"""Calls that answer as a script says, with a count of what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.domain.errors import HeadgateError, UpstreamExhausted
from service.domain.records import Usage
from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import Ask, Memory, Said
from service.orchestration.workflows.engine import Ended, Engine
from service.orchestration.workflows.format import read
from service.orchestration.workflows.steps import Workflow

Script = Callable[[Ask], Mapping[str, Any] | HeadgateError]
WORST, COST = 100, 60


class Scripted:
    """Answers at the next turn of the loop, or never (``hangs``)."""

    def __init__(self, script: Script, hangs: bool = False) -> None:
        self.script, self.hangs = script, hangs
        self.asked: list[Ask] = []
        self.under_way = self.most = self.paid = 0

    def worst_micro_usd(self, ask: Ask) -> tuple[int, int]:
        return WORST, WORST

    async def make(self, ask: Ask, bill: list[Usage]) -> Said:
        self.asked.append(ask)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(3600 if self.hangs else 0)
            told = self.script(ask)
            used = Usage(10, 5, 0, min(COST, ask.most_micro_usd))
            bill.append(used)
            self.paid += used.cost_micro_usd
            if isinstance(told, HeadgateError):
                raise told
            return Said(told, "brook", f"decision-{len(self.asked)}", used)
        finally:
            self.under_way -= 1

    def kin(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(names)


def echo(ask: Ask) -> Mapping[str, Any]:
    """Says what it was asked last."""
    return {"text": ask.body["messages"][-1]["content"], "finish": "stop"}


def down(ask: Ask) -> HeadgateError:
    """Nobody answers."""
    return UpstreamExhausted("every attempt failed")


def workflow(
    steps: str, outputs: str = "{out: {type: any, value: a.text}}", **limits: Any
) -> Workflow:
    """A small workflow of some steps."""
    told = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return read(
        "name: small\nversion: 1\npurpose: For a test.\n"
        "inputs: {topic: {type: text}, items: {type: list of text, default: []}}\n"
        f"limits: {{{told}}}\noutputs: {outputs}\nsteps:\n{steps}"
    )


async def ran(
    flow: Workflow, calls: Scripted, journal: Memory | None = None, **inputs: Any
) -> tuple[Ended, Memory]:
    """A run to its end, and its journal."""
    journal = journal or Memory()
    allowance = Allowance(flow.form.limits, asyncio.get_running_loop().time)
    engine = Engine(flow, {"topic": "rivers", "items": [], **inputs}, calls, journal, allowance)
    return await engine.run(), journal
