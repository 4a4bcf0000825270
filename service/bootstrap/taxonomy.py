"""The taxonomy of a plan: what its classifier is fitted from, and who finds tasks by it."""

from __future__ import annotations

import logging
from pathlib import Path

from learning.taxonomies import default
from learning.taxonomies.own import Wanted
from learning.taxonomy import OTHER
from service.bootstrap.shadow import strained
from service.config import child_environment
from service.domain.acting import Told, act_of
from service.feedback.classifiers import Classifiers
from service.orchestration.asking import Asker, AskParts, AskRules
from service.orchestration.spend import day_of
from service.plan.whole import Plan
from service.routing.finding import TaskFinder
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.cases import at_time, rows_of

log = logging.getLogger("headgate.learning")

LOOK_EVERY_S = 0.5
FITTED, FAILED = "classifier.fitted", "classifier.failed"


def wanted_of(plan: Plan) -> Wanted | None:
    """What the plan's classifier is fitted from; None where the one that ships does."""
    if plan.taxonomy is None:
        return None
    whole = plan.taxonomy.use == "default"
    places = {task: task for task in default.NAMES if whole}
    places |= {t.name: t.name for t in plan.tasks if t.name in default.NAMES}
    places |= {like: task.name for task in plan.tasks for like in task.like}
    examples = tuple((task.name, text) for task in plan.tasks for text in task.examples)
    if whole and not examples and all(task == place for task, place in places.items()):
        return None
    said = {*places.values(), *(task for task, _ in examples), OTHER}
    tasks = tuple(name for name in plan.task_names if name in said)
    return Wanted(version_of(plan), tasks, places, examples)


def version_of(plan: Plan) -> str:
    """What the plan calls its taxonomy."""
    named = plan.taxonomy.version if plan.taxonomy is not None else None
    return named or (default.VERSION if plan.taxonomy and not _own(plan) else "plan")


def _own(plan: Plan) -> bool:
    return any(task.examples or task.like for task in plan.tasks)


def finder_of(plan: Plan, state_dir: Path) -> TaskFinder | None:
    """Who finds the tasks of a plan's requests; with what was fitted before, where it was."""
    wish = plan.taxonomy
    if wish is None:
        return None
    wanted = wanted_of(plan)
    safe = tuple(wish.safe) or ((plan.safe_deployment,) if plan.safe_deployment else ())
    finder = TaskFinder(plan.threshold, safe, wanted)
    tasks = frozenset(plan.task_names)
    if wanted is None:
        finder.adopt(default.classifier(), tasks)
    elif (known := Classifiers(state_dir, {}).known(wanted)) is not None:
        finder.adopt(known, tasks)
    return finder


def attach_taxonomy(runtime: Runtime) -> None:
    """Have what the plan wants fitted while the service runs; rules decide until it is there."""
    kept = runtime.kept
    classifiers = Classifiers(kept.state_dir, child_environment())

    async def turn() -> None:
        finder = runtime.router.table.finder
        if finder is None or finder.wanted is None or finder.current or finder.setback:
            return
        wanted, tasks = finder.wanted, frozenset(runtime.plan.task_names)
        found = classifiers.known(wanted) or await classifiers.fitted(wanted)
        if isinstance(found, str):
            finder.setback = found
            log.error("no classifier of tasks: %s; rules decide alone", found)
            told = Told(FAILED, wanted.digest, found)
        elif finder.current is None and not finder.adopt(found, tasks):
            finder.setback = "it reads or says what this service does not know"
            told = Told(FAILED, wanted.digest, finder.setback)
        else:
            told = Told(FITTED, wanted.digest, "", detail={"version": found.version} | found.about)
        kept.log.append(act_of(None, runtime.clock.wall_us(), told))

    runtime.scheduler.put(Job("taxonomy", LOOK_EVERY_S, turn))


def attach_asking(runtime: Runtime) -> None:
    """Have a cheap deployment asked where the plan says so."""
    held: list[tuple[Plan, AskRules | None]] = []

    def rules() -> AskRules | None:
        if not held or held[0][0] is not runtime.plan:
            held[:] = [(runtime.plan, ask_rules(runtime.plan))]
        return held[0][1]

    parts = AskParts(
        router=lambda: runtime.router,
        dispatcher=lambda: runtime.dispatcher,
        rules=rules,
        strained=lambda: strained(runtime),
        clock=runtime.clock,
    )
    runtime.asker = Asker(parts, _spent_today(runtime))


def ask_rules(plan: Plan) -> AskRules | None:
    """Whom the plan asks for tasks, and how; None where nobody is."""
    ask = plan.taxonomy.ask if plan.taxonomy is not None else None
    if ask is None:
        return None
    told = {task.name: task.description for task in default.TASKS}
    told |= {task.name: task.description for task in plan.tasks if task.description}
    return AskRules(
        ask.deployment, ask.timeout_s, ask.share, ask.accuracy, round(ask.usd_per_day * 1e6), told
    )


def _spent_today(runtime: Runtime) -> int:
    """What was spent on asking before a restart, micro-dollars; blocks."""
    since = at_time(day_of(runtime.clock.wall_us()))
    rows = rows_of(
        runtime.kept.database.cursor(),
        "SELECT coalesce(sum(cost_micro_usd), 0) AS spent FROM attempts "
        "WHERE role = 'classify' AND ts >= ?",
        [since],
    )
    return int(rows[0]["spent"])
