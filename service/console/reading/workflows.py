"""What the API tells of workflows and runs, as their pages show it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.console.calling import Refused
from service.console.flow import Step
from service.console.looker import Looker
from service.console.reading.routes import told
from service.console.wording import plural, seconds
from service.orchestration.workflows.drawing import Drawn, drawn
from service.orchestration.workflows.format import read
from service.orchestration.workflows.steps import Workflow

TONES = {"done": "good", "running": "info", "failed": "bad", "limit": "warn", "cancelled": "warn",
         "skipped": "quiet", "waiting": "quiet", "kept": "good"}  # fmt: skip
ORDER = ("running", "failed", "cancelled", "done", "kept", "skipped")  # of several executions


async def listed(looker: Looker, path: str) -> list[dict[str, Any]] | None:
    """The items of a list; None where it cannot be had now."""
    try:
        found: list[dict[str, Any]] = (await told(looker, path))["data"]
    except Refused:
        return None
    return found


async def workflow_of(looker: Looker, source: str) -> Workflow:
    """A file read, once for each page."""
    kept = looker.kept.get("workflow")
    if kept is None or kept[0] != source:
        kept = source, await asyncio.to_thread(read, source)
        looker.kept["workflow"] = kept
    found: Workflow = kept[1]
    return found


def state_of(of: Mapping[str, Any]) -> str:
    """How a run or an execution of a step stands."""
    return str(of.get("status") or of.get("state") or "running")


def steps_of(workflow: Workflow, executed: Sequence[Mapping[str, Any]] | None = None) -> list[Step]:
    """The steps of the graph; with those of a run, each as it stands there."""
    shown = drawn(workflow)
    if executed is None:
        return [Step(e.id, e.id, e.note, "info" if e.conditional else "quiet", e.needs)
                for e in shown]  # fmt: skip
    by_step: dict[str, list[Mapping[str, Any]]] = {}
    for each in executed:
        by_step.setdefault(str(each["step"]), []).append(each)
    return [_standing(each, by_step, shown) for each in shown]


def _standing(
    of: Drawn, by_step: Mapping[str, Sequence[Mapping[str, Any]]], shown: Iterable[Drawn]
) -> Step:
    mine = by_step.get(of.id, ())
    if not mine:  # a loop or a group is as its steps are
        inner = [each for d in shown if d.inside == of.id for each in by_step.get(d.id, ())]
        state = worst(state_of(each) for each in inner) if inner else "waiting"
        return Step(of.id, of.id, state if inner else "not run", TONES.get(state, "quiet"),
                    of.needs)  # fmt: skip
    state = worst(state_of(each) for each in mine)
    took = max(float(each.get("latency_s") or 0.0) for each in mine)
    note = f"{len(mine)}× {state}" if len(mine) > 1 else state
    note += f", {seconds(took)}"
    return Step(of.id, of.id, note, TONES.get(state, "quiet"), of.needs)


def worst(states: Iterable[str]) -> str:
    """What is to be told of several."""
    found = set(states)
    return next((each for each in ORDER if each in found), "waiting")


def in_words(workflow: Workflow) -> str:
    """The graph for who cannot see it."""
    parts = [f"{each.id} after {' and '.join(each.needs) or 'the start'}"
             for each in drawn(workflow)]  # fmt: skip
    return f"{plural(len(parts), 'step')}: {'; '.join(parts)}"
