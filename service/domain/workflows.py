"""The records of workflows: a run that has ended, and each execution of a step. No texts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run that has ended. ``digest``: of the file's text; ``mode``: sync, async, stream or chat;
    ``state``: done, failed, limit or cancelled; ``resumed``: how often it went on after a stop.
    """

    id: str
    at_us: int
    began_us: int
    key_id: str
    tenant: str
    workflow: str
    version: int
    digest: str
    mode: str
    state: str
    code: str
    step: str
    steps: int
    calls: int
    tokens_in: int
    tokens_out: int
    cost_micro_usd: int
    latency_s: float
    resumed: int


@dataclass(frozen=True, slots=True)
class WorkflowStep:
    """One execution of a step: ``path`` tells which item of a map (@) and turn of a loop (#);
    ``decisions``: of its calls.
    """

    run_id: str
    at_us: int
    workflow: str
    path: str
    step: str
    kind: str
    state: str
    code: str
    deployment: str
    decisions: tuple[str, ...]
    calls: int
    tokens_in: int
    tokens_out: int
    cost_micro_usd: int
    began_s: float
    latency_s: float
