"""A workflow as a model: the last user message is its input, an output of it the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from service.domain.catalog import Deployment
from service.domain.chat import NO_OPTIONS, ChatRequest, Options
from service.domain.clock import response_id
from service.domain.errors import (
    BUDGET,
    BudgetExceeded,
    HeadgateError,
    InvalidRequest,
    UpstreamExhausted,
)
from service.domain.records import Caller, Candidates, Decision, Key, Mode, PolicyMark
from service.orchestration.workflows.engine import Ended, spent
from service.orchestration.workflows.functions import shown
from service.orchestration.workflows.running import Run, Wanted
from service.providers.base import Answer, Tokens
from service.routing.run import Served
from service.runtime import Runtime

PREFIX = "workflow:"
IGNORED = ("session_id", "conversation", "cache")  # options that a run may well do without
ENDED = {"limit": "workflow_limit", "failed": "workflow_failed", "cancelled": "cancelled"}


class WorkflowFailed(UpstreamExhausted):
    """A workflow did not come to its answer."""

    code = "workflow_failed"


def named(runtime: Runtime, key: Key) -> list[str]:
    """The models that a key may name so."""
    rules = runtime.workflows.rules
    return [
        f"{PREFIX}{name}" for name in runtime.workflows.names(key)
        if rules.workflows[name].form.chat_input is not None
    ]  # fmt: skip


async def answered(
    runtime: Runtime, request: ChatRequest, key: Key, parent: str
) -> tuple[Decision, Answer, Served]:
    """Run the workflow that a request names. The decision is not in the log: those of its steps
    are. Raises HeadgateError.
    """
    runs = runtime.workflows
    workflow = runs.workflow(request.model.removeprefix(PREFIX), key)
    form = workflow.form
    if form.chat_input is None or form.chat_output is None:
        raise InvalidRequest(
            f"{form.name} takes no chat: start it by POST /v1/workflows/{form.name}/runs",
            param="model",
        )
    _taken(request)
    said = [each.text for each in request.messages if each.role == "user"]
    if not said:
        raise InvalidRequest("a workflow needs a user message", param="messages")
    labels: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in request.labels.items() if name in ("tags", "feature", "session")
    }  # fmt: skip
    wanted = Wanted(form.name, {form.chat_input: said[-1]}, "chat", labels=labels, parent=parent)
    run = await runs.start(wanted, key)
    ended = await runs.finished(run)
    if ended.status != "done" or ended.outputs.get(form.chat_output) is None:
        raise _failed(run, ended)
    decision = _decision(runtime, run, key, request)
    served = _served(runtime, run, ended)
    text = shown(ended.outputs[form.chat_output])
    return decision, _answer(run, decision, text, served), served


def _taken(request: ChatRequest) -> None:
    """Refuses what would be left out in silence: what narrows one call is not that of a run."""
    for name in Options.__struct_fields__:
        if name not in IGNORED and getattr(request.options, name) != getattr(NO_OPTIONS, name):
            raise InvalidRequest(
                f"headgate.{name} does not reach the steps of a workflow; its file says what each "
                "may cost, how long it may take and who may answer (limits, route)",
                param=f"headgate.{name}", code="invalid_option",
            )  # fmt: skip
    if request.needs:
        raise InvalidRequest(
            "a workflow as a model takes a text and gives one; leave out what needs "
            f"{', '.join(sorted(request.needs))}", code="not_offered",
        )  # fmt: skip
    if bytes(request.fields.get("n", b"1")) not in (b"1", b"null"):
        raise InvalidRequest("a workflow gives one answer; leave n out", param="n")


def _failed(run: Run, ended: Ended) -> HeadgateError:
    why = ended.message or "its output cannot be worked out"
    where = f" at {ended.step}" if ended.step else ""
    code = ENDED.get(ended.status, "workflow_failed")
    message = (
        f"run {run.id} of {run.workflow.name} ended{where}: {why}; see "
        f"GET /v1/workflows/runs/{run.id}"
    )
    if ended.status == "failed" and _for_money(ended):
        return BudgetExceeded(message)
    return WorkflowFailed(message, code=code)


def _for_money(ended: Ended) -> bool:
    """Whether its steps failed for budgets alone; a step of steps fails for what is in it."""
    failed = [each for each in ended.entries if each.status == "failed"]
    inner = [
        each for each in failed
        if not any(other is not each and other.path.startswith(each.path) for other in failed)
    ]  # fmt: skip
    return bool(inner) and all(each.code == BUDGET for each in inner)


def _decision(runtime: Runtime, run: Run, key: Key, request: ChatRequest) -> Decision:
    mark = PolicyMark(runtime.plan.policy.name, "", "", 0)
    return Decision(
        run.id, run.created_us, Caller(key.id, key.tenant, key.tier), "workflow", 1.0, "named", "",
        np.zeros(0, np.float32), request.shape.tokens_in, request.shape.tokens_out_limit, 0.0,
        request.stream, Candidates((request.model,), (1.0,)), (), 0.0, request.model, 1.0,
        Mode.PINNED, "workflow", mark,
    )  # fmt: skip


def _served(runtime: Runtime, run: Run, ended: Ended) -> Served:
    name = f"{PREFIX}{run.workflow.name}"
    face: Deployment = replace(runtime.catalog[0], name=name, provider="headgate", model=name)
    calls = sum(each.calls for each in ended.entries)
    return Served(face, Mode.PINNED, calls, spent(ended.entries), 0.0, "")


def _answer(run: Run, decision: Decision, text: str, served: Served) -> Answer:
    used = served.usage
    body = {
        "id": response_id(decision.id),
        "object": "chat.completion",
        "created": run.created_us // 1_000_000,
        "model": served.deployment.name,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text},
             "finish_reason": "stop"},
        ],
        "usage": {
            "prompt_tokens": used.tokens_in, "completion_tokens": used.tokens_out,
            "total_tokens": used.tokens_in + used.tokens_out,
            "cost_usd": used.cost_micro_usd / 1e6,
        },
    }  # fmt: skip
    tokens = Tokens(used.tokens_in, used.tokens_out)
    return Answer(msgspec.json.encode(body), tokens, len(text))
