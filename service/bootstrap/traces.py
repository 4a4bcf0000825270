"""The tracer as the plan wants it, joined to the ledger; nobody else loads OpenTelemetry."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from service.plan.traces import TracePlan
from service.runtime import Runtime
from service.tracing.tracer import Tracer, TraceRules

SPANS = "service.tracing.spans"  # by name, so that a service without traces never loads it


def attach_traces(runtime: Runtime, environment: Mapping[str, str]) -> None:
    """Give the ledger its tracer, or none. At a reload the tracer goes on where the plan's part is
    as it was; where it is not, another takes over, and the one before sends what it has and ends.
    """
    ledger, wanted = runtime.ledger, _wanted(runtime.plan.traces, environment)
    before = ledger.tracer
    if before is not None and before.rules == wanted:
        before.collector.know(runtime.catalog)
        return
    ledger.tracer = None
    if before is not None:
        before.end()
    if wanted is not None:
        make = importlib.import_module(SPANS).OtlpCollector
        ledger.tracer = Tracer(wanted, make(wanted, runtime.catalog))


def _wanted(plan: TracePlan, environment: Mapping[str, str]) -> TraceRules | None:
    if plan.endpoint is None:
        return None
    text = environment.get(plan.headers_env, "") if plan.headers_env else ""
    headers = tuple(plan.headers(text).items())
    return TraceRules(plan.endpoint, headers, plan.sample, plan.to_providers)
