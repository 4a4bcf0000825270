"""Workflows, runs and estimates as they are shown to who may see them."""

from __future__ import annotations

from typing import Any

from service.api import shown
from service.orchestration.workflows.asks import Entry
from service.orchestration.workflows.engine import Ended, spent
from service.orchestration.workflows.estimating import Estimate
from service.orchestration.workflows.running import Run, ended_of
from service.orchestration.workflows.steps import Step, Workflow
from service.storage.run_store import KeptRun


def entry(workflow: Workflow) -> dict[str, Any]:
    """One of a list."""
    form = workflow.form
    return {
        "name": form.name,
        "version": form.version,
        "purpose": form.purpose,
        "chat": form.chat_input is not None,
        "inputs": {name: str(each.kind) for name, each in form.inputs.items()},
        "outputs": {name: str(each.kind) for name, each in form.outputs.items()},
        "steps": sum(1 for _ in workflow.walk()),
    }


def whole(workflow: Workflow) -> dict[str, Any]:
    """A workflow with its graph and its file."""
    form = workflow.form
    return entry(workflow) | {
        "execution": form.execution,
        "errors": form.errors,
        "inputs": {
            name: each.model_dump(exclude_none=True) | {"required": each.needed}
            for name, each in form.inputs.items()
        },
        "outputs": {name: each.model_dump() for name, each in form.outputs.items()},
        "chat_input": form.chat_input,
        "chat_output": form.chat_output,
        "limits": form.limits.model_dump(),
        "graph": [_node(each) for each in workflow.steps],
        "digest": workflow.digest,
        "source": workflow.source,
        "example": None if form.example is None else form.example.model_dump(),
    }


def _node(step: Step) -> dict[str, Any]:
    form = step.form
    node: dict[str, Any] = {
        "id": step.id, "kind": step.kind, "needs": list(step.needs), "when": form.when,
        "model": getattr(form, "model", None), "map": form.map and form.map.model_dump(),
        "fallback": form.fallback is not None, "timeout_s": form.timeout_s,
        "description": form.description,
    }  # fmt: skip
    if step.body:
        node["steps"] = [_node(each) for each in step.body]
    return node


def run(found: Run) -> dict[str, Any]:
    """A run in memory."""
    head = {
        "id": found.id,
        "object": "headgate.workflow_run",
        "workflow": found.workflow.name,
        "version": found.workflow.form.version,
        "mode": found.mode,
        "status": found.state,
        "created_at": shown.when(found.created_us),
        "ended_at": None if found.ended_us is None else shown.when(found.ended_us),
        "resumed": found.resumed,
        "kept": found.kept,
    }
    entries = found.journal.entries if found.ended is None else found.ended.entries
    return head | _how(found.ended) | {"steps": [_step(each) for each in entries]} | _used(entries)


def kept(found: KeptRun, entries: list[Entry]) -> dict[str, Any]:
    """A run on disk."""
    head = {
        "id": found.id,
        "object": "headgate.workflow_run",
        "workflow": found.workflow,
        "mode": found.mode,
        "status": found.state,
        "created_at": shown.when(found.created_us),
        "ended_at": None if found.ended_us is None else shown.when(found.ended_us),
        "kept_until": None if found.keep_until_us is None else shown.when(found.keep_until_us),
        "resumed": found.resumed,
        "kept": True,
    }
    steps = {"steps": [_step(each) for each in entries]}
    return head | _how(ended_of(found)) | steps | _used(entries)


def _how(ended: Ended | None) -> dict[str, Any]:
    if ended is None:
        return {"outputs": None, "error": None}
    error = None
    if ended.status != "done":
        error = {"code": ended.code, "message": ended.message, "step": ended.step}
    return {"outputs": dict(ended.outputs), "error": error, "took_s": ended.took_s}


def _used(entries: Any) -> dict[str, Any]:
    total = spent(entries)
    return {
        "cost_usd": total.cost_micro_usd / 1e6,
        "usage": {
            "prompt_tokens": total.tokens_in, "completion_tokens": total.tokens_out,
            "total_tokens": total.tokens_in + total.tokens_out, "calls": sum(
                each.calls for each in entries
            ),
        },
    }  # fmt: skip


def _step(each: Entry) -> dict[str, Any]:
    return {
        "path": each.path, "step": each.step, "kind": each.kind, "status": each.status,
        "code": each.code, "message": each.message, "deployment": each.deployment,
        "decisions": list(each.decisions), "calls": each.calls,
        "cost_usd": each.usage.cost_micro_usd / 1e6, "began_s": round(each.began_s, 6),
        "latency_s": round(each.latency_s, 6),
    }  # fmt: skip


def estimate(found: Estimate) -> dict[str, Any]:
    """What a run is expected to take."""
    return {
        "object": "headgate.workflow_estimate",
        "cost_usd": {
            "mean": found.cost_usd, "low": found.cost_low_usd, "high": found.cost_high_usd,
        },
        "time_s": {"mean": found.time_s, "low": found.time_low_s, "high": found.time_high_s},
        "steps": [
            {"step": each.step, "executions": each.executions, "cost_usd": each.cost_usd,
             "learned_from": each.learned_from}
            for each in found.steps
        ],
        "learned_from": found.learned_from,
    }  # fmt: skip
