"""Workflows: what can be run, the graph of each, and the runs with what their steps came to."""

from __future__ import annotations

from typing import Any

from service.console.flow import flow
from service.console.looker import Drawn, Looker, Page
from service.console.nodes import (
    Column,
    Node,
    badge,
    card,
    empty,
    figure,
    figures,
    fold,
    h,
    link,
    pairs,
    table,
)
from service.console.reading.routes import told
from service.console.reading.workflows import (
    TONES,
    in_words,
    listed,
    state_of,
    steps_of,
    workflow_of,
)
from service.console.shell import back, heading
from service.console.wording import NONE, plural, seconds, short, usd
from service.orchestration.workflows.drawing import calls
from service.orchestration.workflows.steps import Workflow

_LIST = (Column("Workflow"), Column("Version", True), Column("Inputs"),
         Column("What it is for", wide=True))  # fmt: skip
_RUNS = (Column("Run"), Column("Workflow"), Column("State"), Column("Began"), Column("Cost", True),
         Column("Took", True), Column("Ended by"))  # fmt: skip
_STEPS = (Column("Step"), Column("Does"), Column("State"), Column("Deployment"),
          Column("Calls", True), Column("Cost", True), Column("Took", True),
          Column("Failed by"))  # fmt: skip
_INPUTS = (Column("Input"), Column("Type"), Column("Default"), Column("What it is", wide=True))
_LATEST = 20  # runs shown, so that what can be run is not far below
_UNREAD = "The service does not tell this now. Try again in a moment."


async def _draw(looker: Looker) -> Drawn:
    found = await listed(looker, "/v1/workflows")
    runs = await listed(looker, "/v1/workflows/runs")
    note = "Several calls for one result, each from a file. Run one by headgate workflow run."
    return {
        "head": [heading("Workflows", note)],
        "runs": [card("The latest runs", _runs(runs))],
        "list": [card("What can be run", _list(found))],
    }


def _list(found: list[dict[str, Any]] | None) -> Node:
    if found is None:
        return h("p", _UNREAD, role="alert")
    if not found:
        return empty("No workflow can be run by your key.")
    rows = [
        (str(each["name"]), (
            link(str(each["name"]), f"/console/workflows/{each['name']}"),
            str(each.get("version", NONE)), ", ".join(each.get("inputs") or ()) or NONE,
            str(each["purpose"]),
        ))
        for each in found
    ]  # fmt: skip
    return table("Workflows", _LIST, rows)


def _runs(found: list[dict[str, Any]] | None) -> Node:
    if found is None:
        return h("p", _UNREAD, role="alert")
    if not found:
        return empty("Nothing was run yet, or nothing of it is remembered.")
    rows = [
        (str(each["id"]), (
            link(short(str(each["id"])), f"/console/workflows/runs/{each['id']}"),
            str(each["workflow"]), _state(state_of(each)), _when(each.get("created_at")),
            usd(each.get("cost_usd")), seconds(each.get("took_s")),
            str((each.get("error") or {}).get("code") or NONE),
        ))
        for each in found[:_LATEST]
    ]  # fmt: skip
    return table("The latest runs", _RUNS, rows)


def _state(state: str) -> Node:
    return badge(state, TONES.get(state, "quiet"))


def _when(at: Any) -> str:
    text = str(at or "")
    return f"{text[:19].replace('T', ' ')} UTC" if len(text) >= 19 else text or NONE


async def _one(looker: Looker) -> Drawn:
    found = await told(looker, f"/v1/workflows/{looker.of}", 60.0)
    workflow = await workflow_of(looker, str(found["source"]))
    form = workflow.form
    runs = await listed(looker, "/v1/workflows/runs")
    mine = None if runs is None else [each for each in runs if each["workflow"] == form.name]
    graph = flow(f"{form.name}. {in_words(workflow)}", steps_of(workflow), form.name)
    note = "From the top; blue steps run only under their condition."
    return {
        "head": [back("Workflows", "/console/workflows"),
                 heading(form.name, f"version {form.version}")],
        "purpose": [_purpose(workflow)],
        "graph": [card("The graph", graph, note=note)],
        "figures": [_limits(workflow)],
        "inputs": [card("Inputs", _inputs(workflow))],
        "runs": [card("Its latest runs", _runs(mine))],
        "file": [card("The file", fold("Show it", h("code", workflow.source, cls="hg-file")))],
    }  # fmt: skip


def _purpose(workflow: Workflow) -> Node:
    form = workflow.form
    return card("What it is for", h("p", form.purpose), pairs(
        ("How it executes", form.execution or NONE), ("When something fails", form.errors or NONE),
    ))  # fmt: skip


def _limits(workflow: Workflow) -> Node:
    limits, (least, most) = workflow.form.limits, calls(workflow)
    return figures(
        figure("Calls", f"{least} to {most}" if most > least else str(least), "tries not counted"),
        figure("At most", usd(limits.max_cost_usd), "a run"),
        figure("At most", seconds(limits.max_time_s), "a run"),
        figure("At most", plural(limits.max_steps, "execution"), "of steps"),
    )


def _inputs(workflow: Workflow) -> Node:
    rows = [
        (name, (name, each.type, "required" if each.needed else str(each.default)[:80],
                each.description or NONE))
        for name, each in workflow.form.inputs.items()
    ]  # fmt: skip
    return table("Inputs", _INPUTS, rows)


async def _run(looker: Looker) -> Drawn:
    run = await told(looker, f"/v1/workflows/runs/{looker.of}", 1.5)
    name = str(run["workflow"])
    steps: list[dict[str, Any]] = run.get("steps") or []
    head = [back("Workflows", "/console/workflows"), heading(name, f"run {run['id']}")]
    body: dict[str, list[Node]] = {"head": head, "figures": [_figures(run, steps)]}
    if error := run.get("error"):
        at = f" at {error['step']}" if error["step"] else ""
        body["why"] = [h("p", f"Ended{at}: {error['message']}", role="note", cls="hg-warned")]
    found = await told(looker, f"/v1/workflows/{name}", 60.0)
    workflow = await workflow_of(looker, str(found["source"]))
    graph = flow(f"{name}. {in_words(workflow)}", steps_of(workflow, steps), str(run["id"]))
    return {
        **body, "graph": [card("Its steps", graph)],
        "steps": [card("What was executed", _executed(steps))],
    }  # fmt: skip


def _figures(run: dict[str, Any], steps: list[dict[str, Any]]) -> Node:
    state = state_of(run)
    tone = {"failed": "bad", "limit": "warn", "cancelled": "warn"}.get(state, "")
    return figures(
        figure("State", state, str((run.get("error") or {}).get("code") or ""), tone),
        figure("Began", _when(run.get("created_at"))[11:19], _when(run.get("created_at"))[:10]),
        figure("Took", seconds(run.get("took_s"))),
        figure("Cost", usd(run.get("cost_usd")), f"{plural(len(steps), 'execution')} of steps"),
    )


def _executed(steps: list[dict[str, Any]]) -> Node:
    if not steps:
        return empty("No step has ended yet.")
    rows = [
        (str(each["path"]), (
            str(each["path"]), str(each.get("kind", NONE)), _state(state_of(each)),
            _asked(each), str(each.get("calls", NONE)),
            usd(each.get("cost_usd")), seconds(each.get("latency_s")),
            str(each.get("code") or NONE),
        ))
        for each in steps
    ]  # fmt: skip
    return table("Executions of steps", _STEPS, rows)


def _asked(step: dict[str, Any]) -> Node:
    """Who was asked; where that was decided is a click away."""
    name, decisions = str(step.get("deployment") or NONE), step.get("decisions") or ()
    return link(name, f"/console/decisions/{decisions[-1]}") if decisions else h("span", name)


PAGE = Page("/workflows", "Workflows", _draw)
ONE = Page("/workflows/{of}", "Workflow", _one)
RUN = Page("/workflows/runs/{of}", "Run of a workflow", _run)
