"""The refits of the classifier by people's labels, joined to the runtime."""

from __future__ import annotations

from learning.snapshot import Frozen
from service.config import child_environment
from service.people.relearning import Relearner, RelearnParts, Wished
from service.runtime import Runtime
from service.scheduler import Job

FITTER = "service.feedback.label_fitter"


def attach_relearning(runtime: Runtime) -> None:
    """Give the queue of review what learns from its labels; after the queue itself."""
    kept = runtime.kept
    runtime.people.relearner = Relearner(
        RelearnParts(
            log=kept.log,
            cursor=kept.database.cursor,
            clock=runtime.clock,
            state_dir=kept.state_dir,
            environment=child_environment(),
            fitter=FITTER,
            wished=lambda: wished(runtime),
            adopt=lambda frozen: adopt(runtime, frozen),
            least_labels=lambda: _least(runtime),
            told=runtime.telemetry.relearned,
        )
    )
    runtime.people.relearner.resume()
    runtime.scheduler.put(relearn_job(runtime))


def wished(runtime: Runtime) -> Wished | None:
    """What the plan's classifier is to be; no plan wants one yet."""
    return None


def adopt(runtime: Runtime, frozen: Frozen | None) -> bool:
    """Put a classifier in force; there is nobody yet who would ask it."""
    return False


def relearn_job(runtime: Runtime) -> Job:
    async def turn() -> None:
        if runtime.people.relearner is not None:
            await runtime.people.relearner.turn()

    asked = runtime.plan.review.classification
    return Job("labels", asked.refit_minutes * 60.0 if asked is not None else 0.0, turn)


def _least(runtime: Runtime) -> int:
    asked = runtime.plan.review.classification
    return asked.least_labels if asked is not None else 100
