"""Workflows made as the plan says and joined to the runtime; what a stop broke off goes on."""

from __future__ import annotations

import logging

from service.domain.errors import PlanInvalid
from service.domain.records import Decision
from service.orchestration.workflows.keeping import Shelf
from service.orchestration.workflows.planned import workflows_of
from service.orchestration.workflows.routed import RoutedParts
from service.orchestration.workflows.running import RunRules, RunsParts
from service.orchestration.workflows.runs import Runs
from service.plan.whole import Plan
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.run_store import RunStore

log = logging.getLogger("headgate.workflows")

SWEEP_S = 30.0


def rules_of(plan: Plan) -> RunRules:
    """The plan's part on runs; raises PlanInvalid."""
    wanted = plan.workflows
    found, problems = workflows_of(plan)
    if problems:
        raise PlanInvalid("the plan's workflows", problems)
    allowed = {name: tuple(given) for name, given in wanted.allowed.items()}
    return RunRules(found, allowed, wanted.keep_s, wanted.most_at_once, wanted.most_per_key)


class _Rules:
    """The rules of the plan in force: read once a plan."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._of = runtime.plan
        self._rules = rules_of(runtime.plan)

    def __call__(self) -> RunRules:
        if self._of is not self._runtime.plan:
            try:
                self._rules = rules_of(self._runtime.plan)
            except PlanInvalid as error:  # the files changed after the plan was checked
                log.error("the workflows of before stay: %s", error.message)
            self._of = self._runtime.plan
        return self._rules


def attach_workflows(runtime: Runtime, secret: bytes) -> None:
    """Give a runtime its workflows."""

    def decided(decision: Decision, parent: str) -> None:
        runtime.ledger.decision(decision)
        if (tracer := runtime.ledger.tracer) is not None:
            tracer.begin(decision.id, parent)

    def record(each: object) -> None:
        runtime.kept.log.append(each)

    routed = RoutedParts(
        router=lambda: runtime.router,
        dispatcher=lambda: runtime.dispatcher,
        answering=runtime.answering,
        decided=decided,
        case=runtime.kept.cases.recent,
        refusals=lambda: runtime.refusals,
        modal=lambda: runtime.modalities.ways,
        clock=runtime.clock,
    )
    shelf = Shelf(RunStore(runtime.kept.state_dir, runtime.clock, runtime.notices))
    parts = RunsParts(
        routed, _Rules(runtime), record, runtime.kept.keys.by_id, shelf, runtime.clock, secret
    )
    runtime.workflows = Runs(parts)
    runtime.scheduler.put(Job("workflows", SWEEP_S, runtime.workflows.sweep))
