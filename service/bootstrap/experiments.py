"""Experiments on live traffic, made from what is kept and joined to the runtime."""

from __future__ import annotations

import logging
from collections.abc import Callable

from experiments.analysis import Options, Report, analyse
from experiments.metrics import Frame
from service.config import child_environment
from service.domain.live import LivePolicy
from service.experimentation.chronicle import TURN_S, Chronicle, ChronicleParts
from service.experimentation.desk import DeskParts, ExperimentDesk
from service.experimentation.followers import Followers
from service.experimentation.guard import LOOK_EVERY_S, Guard, GuardParts
from service.experimentation.promotions import Promotions
from service.experimentation.whole import Experimentation, best_at
from service.feedback.catching_up import CatchUp
from service.feedback.gate import Gate, GateParts
from service.feedback.promoting import VersionDesk
from service.feedback.teaching import Teacher, TeacherParts
from service.plan.whole import Plan
from service.routing.assignments import NO_HOLDOUT, AssignmentHolder, Holdout
from service.routing.treatments import DEPLOYMENT, Treatment
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.experiments import Conducted, ExperimentStore
from service.storage.frames import earlier_frame, experiment_frame
from service.storage.knowledge import KnowledgeStore

log = logging.getLogger("headgate.experiments")

FOLLOW_S = 60.0
EVALUATED_US = 7 * 86_400_000_000  # for so long an evaluation lets a version be exposed


def attach(runtime: Runtime, holder: AssignmentHolder) -> None:
    """Give a runtime its experiments, as the log left them; before requests are taken."""
    kept, clock = runtime.kept, runtime.clock
    catch_up = CatchUp(kept.state_dir, runtime.publish, child_environment())
    versions = VersionDesk(runtime.learner, kept.database.cursor, clock, catch_up)
    followers = Followers(versions.follow, versions.leave)

    gate = Gate(
        GateParts(kept.log, kept.database.cursor, clock, kept.state_dir, child_environment())
    )

    def live() -> LivePolicy:
        return runtime.live

    def frame(experiment: str, since_us: int) -> Frame:
        cursor = kept.database.cursor()
        return experiment_frame(cursor, experiment, since_us, runtime.plan.reward.metric)

    def earlier(conducted: Conducted) -> Frame:
        return earlier_frame(kept.database.cursor(), conducted, runtime.plan.reward.metric)

    parts = DeskParts(
        store=ExperimentStore(kept.database),
        log=kept.log,
        clock=clock,
        holder=holder,
        versions=versions,
        followers=followers,
        live=live,
        deployments=lambda: frozenset(each.name for each in runtime.catalog),
        unproven=lambda version: unproven(gate, runtime, version),
    )
    desk = ExperimentDesk(parts, holdout(runtime.plan))
    promotions = Promotions(desk, versions, followers, runtime.plan.experiments.watch_s)
    guard = Guard(GuardParts(desk, promotions, kept.log, clock, live, frame))
    desk.moved = guard.moved
    runtime.ledger.guarded = guard.ended
    told = chronicle(runtime, desk, versions, frame)
    teacher = Teacher(TeacherParts(kept.log, kept.database.cursor, runtime.learner, clock))
    teacher.resume()
    runtime.experiments = Experimentation(
        desk, promotions, versions, followers, guard, gate, frame, earlier, runtime.publish, told,
        teacher,
    )  # fmt: skip
    runtime.scheduler.put(Job("knowledge", TURN_S, told.turn))
    runtime.scheduler.put(Job("guardrails", LOOK_EVERY_S, guard.look))
    desk.refresh()


def chronicle(
    runtime: Runtime,
    desk: ExperimentDesk,
    versions: VersionDesk,
    frame: Callable[[str, int], Frame],
) -> Chronicle:
    """What writes the knowledge base, and the entries so far."""

    def report(mine: Conducted) -> Report:
        options = Options(best_at=best_at(mine.design))
        return analyse(mine.design, frame(mine.id, mine.started_us or 0), options)

    kept = runtime.kept
    parts = ChronicleParts(
        store=KnowledgeStore(kept.database.cursor()),
        desk=desk,
        promotions=lambda: versions.store.promotions,
        report=report,
        cursor=kept.database.cursor,
        log=kept.log,
        clock=runtime.clock,
    )
    return Chronicle(parts)


def unproven(gate: Gate, runtime: Runtime, version: str) -> str:
    """Why the log does not let a version be exposed; empty where it does, or is not asked."""
    if not runtime.plan.experiments.gate:
        return ""
    found = gate.latest(version)
    how = f"headgate policy evaluate {version}"
    if found is None:
        return f"it has not been evaluated on the log ({how})"
    if not found.passed:
        return f"{found.reason} ({how} looks again)"
    if runtime.clock.wall_us() - found.at_us > EVALUATED_US:
        return f"its evaluation is older than a week ({how})"
    return ""


def resume(runtime: Runtime) -> None:
    """After a restart, once the learner runs: versions followed, watches as they stood; blocks."""
    experiments = runtime.experiments
    for future in experiments.desk.follow_again():
        try:
            future.result(timeout=FOLLOW_S)
        except Exception as error:  # the control serves meanwhile, and it is told
            log.error("a version cannot be followed: %s", error)
            runtime.notices.append(f"a version in an experiment cannot be followed: {error}")
    experiments.guard.resume()


def take_plan(runtime: Runtime) -> None:
    """Another plan is in force."""
    experiments = runtime.experiments
    experiments.promotions.watch_s = runtime.plan.experiments.watch_s
    experiments.desk.holdout = holdout(runtime.plan)
    experiments.desk.refresh()


def holdout(plan: Plan) -> Holdout:
    """The units that no experiment touches, and what serves them."""
    asked = plan.experiments
    if not asked.holdout or asked.holdout_on is None:
        return NO_HOLDOUT
    return Holdout(asked.holdout, Treatment({DEPLOYMENT: asked.holdout_on}))
