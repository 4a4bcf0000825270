"""The library's examples run on simulated deployments, through the service's own routing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import Memory
from service.orchestration.workflows.engine import Ended, Engine
from service.orchestration.workflows.routed import Routed, RoutedParts
from service.orchestration.workflows.steps import Workflow
from tests.conftest import KEY, Service


def run(service: Service, workflow: Workflow, inputs: Mapping[str, Any] | None = None) -> Ended:
    """One run to its end, on the service's own loop; without inputs its example."""
    runtime = service.runtime
    key = runtime.kept.keys.find(KEY)
    assert key is not None
    parts = RoutedParts(
        lambda: runtime.router, lambda: runtime.dispatcher, runtime.answering,
        lambda made, parent: runtime.ledger.decision(made), runtime.kept.cases.load,
        lambda: runtime.refusals, lambda: runtime.modalities.ways, runtime.clock,
    )  # fmt: skip
    example = workflow.form.example
    given = {name: each.default for name, each in workflow.form.inputs.items()}
    given |= inputs if inputs is not None else example.inputs if example is not None else {}
    engine = Engine(
        workflow, given, Routed(parts, key, f"workflow:{workflow.name}", {}), Memory(),
        Allowance(workflow.form.limits, runtime.clock.monotonic_s),
    )  # fmt: skip
    task = next(iter(runtime.scheduler._tasks.values()))
    return asyncio.run_coroutine_threadsafe(engine.run(), task.get_loop()).result(120)
