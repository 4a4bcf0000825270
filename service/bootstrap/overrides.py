"""The operator's hand joined to the runtime: overrides, and what freezes held back."""

from __future__ import annotations

import logging

from service.config import child_environment
from service.domain.records import Override
from service.domain.will import Action
from service.operating.dry_run import DryRun, DryRunParts
from service.operating.overrides import OperatingParts, OverrideDesk
from service.operating.thawing import TURN_S, Thaw, ThawParts
from service.runtime import Runtime
from service.scheduler import Job

log = logging.getLogger("headgate")

EXPIRE_S = 0.5
FOLLOW_S = 5.0


def attach_overrides(runtime: Runtime) -> None:
    """Give a runtime its desk; after its experiments, whose versions and followers it shares."""
    kept, experiments = runtime.kept, runtime.experiments
    desk = OverrideDesk(
        OperatingParts(
            store=kept.overrides,
            log=kept.log,
            clock=runtime.clock,
            plan=lambda: runtime.plan,
            live=lambda: runtime.live,
            versions=experiments.versions,
            experiments=experiments.desk,
            want=experiments.followers.want,
            release=experiments.followers.release,
        )
    )
    runtime.operating = desk
    runtime.trying = DryRun(
        DryRunParts(
            desk=desk,
            versions=experiments.versions,
            clock=runtime.clock,
            plan=lambda: runtime.plan,
            catalog=lambda: runtime.catalog,
            live=lambda: runtime.live.current.mark.version_id,
            state_dir=kept.state_dir,
            publish=runtime.publish,
            environment=child_environment(),
        )
    )
    experiments.desk.killed = lambda: killed(kept.overrides.holding())
    thaw = Thaw(
        ThawParts(
            store=kept.overrides,
            log=kept.log,
            clock=runtime.clock,
            learner=runtime.learner,
            freeze=runtime.learner.parts.freeze,
            cursor=kept.database.cursor,
            case=runtime.case,
        )
    )
    runtime.scheduler.put(Job("expiry", EXPIRE_S, desk.expire))
    runtime.scheduler.put(Job("pins", FOLLOW_S, desk.follow))
    runtime.scheduler.put(Job("thaw", TURN_S, thaw.turn))


def killed(holding: tuple[Override, ...]) -> dict[str, str]:
    """Experiments that an operator ended for a while, and what is said of them."""
    return {
        each.target: f"an operator killed it for now (override {each.id}: {each.reason})"
        for each in holding
        if each.action == Action.KILL_EXPERIMENT
    }


def resume_pins(runtime: Runtime) -> None:
    """After a restart, once the learner runs: have pinned versions learn beside again; blocks."""
    for each in runtime.kept.overrides.holding():
        if each.action == Action.PIN and runtime.live.of(each.target) is None:
            try:
                runtime.experiments.followers.asked(each.target, f"override {each.id}").result(60)
            except Exception as error:  # it is tried again by the clock
                log.error("the pinned version %s cannot be followed: %s", each.target, error)
                runtime.notices.append(f"the pinned version {each.target} cannot be followed yet")
