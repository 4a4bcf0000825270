"""The refits of the classifier by people's labels, joined to the runtime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learning.snapshot import Frozen
from learning.taxonomies import default
from learning.taxonomies.own import Wanted
from learning.taxonomy import SCHEMA, Classifier
from service.bootstrap.taxonomy import wanted_of
from service.config import child_environment
from service.domain.records import Decision
from service.feedback.classifiers import Classifiers
from service.people.relearning import Relearner, RelearnParts, Wished
from service.runtime import Runtime
from service.scheduler import Job

FITTER = "service.feedback.label_fitter"


def attach_relearning(runtime: Runtime) -> None:
    """Give the queue of review what learns from its labels; after the queue and the taxonomy."""
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
    runtime.people.see_by(seen)
    runtime.people.relearner.resume()
    runtime.scheduler.put(relearn_job(runtime))


def wished(runtime: Runtime) -> Wished | None:
    """What the plan's classifier is to be; None where it wants none."""
    if runtime.router.table.finder is None:
        return None
    wanted = wanted_of(runtime.plan) or _shipped()
    return Wished(wanted.told(), wanted.tasks, SCHEMA, wanted.digest)


def _shipped() -> Wanted:
    places = {name: name for name in default.NAMES}
    return Wanted(default.VERSION, default.classifier().tasks, places, ())


def adopt(runtime: Runtime, frozen: Frozen | None) -> bool:
    """Put a classifier in force (None: the one without labels); whether it fits."""
    finder = runtime.router.table.finder
    if finder is None:
        return False
    found: Classifier | None
    if frozen is not None:
        found = Classifier.of(frozen)
    elif finder.wanted is None:
        found = default.classifier()
    else:
        found = Classifiers(runtime.kept.state_dir, {}).known(finder.wanted)
    if found is None:
        finder.current = None  # it was not fitted yet, or its file is gone: it is fitted soon
        return False
    return finder.adopt(found, frozenset(runtime.plan.task_names))


def seen(decision: Decision) -> tuple[str, NDArray[np.float32]] | None:
    """What the classifier saw of a decision's request, with the layout of that."""
    return None if decision.guess is None else (SCHEMA, decision.guess.x)


def relearn_job(runtime: Runtime) -> Job:
    async def turn() -> None:
        if runtime.people.relearner is not None:
            await runtime.people.relearner.turn()

    asked = runtime.plan.review.classification
    return Job("labels", asked.refit_minutes * 60.0 if asked is not None else 0.0, turn)


def _least(runtime: Runtime) -> int:
    asked = runtime.plan.review.classification
    return asked.least_labels if asked is not None else 100
