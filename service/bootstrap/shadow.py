"""The shadows and the mirror, joined to the runtime."""

from __future__ import annotations

from collections.abc import Callable

from service.experimentation.shadow import ShadowParts, Shadows
from service.orchestration.mirror import Mirror, MirrorParts
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.shadows import ShadowStore

TURN_S = 0.5
CALM = 0.5  # of the bounds beyond which load is shed: above, nothing is mirrored


def attach_shadows(runtime: Runtime) -> None:
    """Give a runtime its mirror and its shadows; those that ran go on."""
    kept, clock = runtime.kept, runtime.clock
    followers = runtime.experiments.followers
    runtime.mirror = Mirror(
        MirrorParts(
            lambda: runtime.dispatcher, kept.overrides.holding, strained(runtime), kept.log, clock
        )
    )
    runtime.shadows = Shadows(
        ShadowParts(
            store=ShadowStore(kept.database),
            log=kept.log,
            live=lambda: runtime.live,
            mirror=runtime.mirror,
            clock=clock,
            want=followers.want,
            release=followers.release,
            deployments=lambda: tuple(each.name for each in runtime.catalog),
        )
    )
    runtime.shadows.resume()
    runtime.ledger.offer = runtime.shadows.offer


def strained(runtime: Runtime) -> Callable[[], bool]:
    """Whether the gateway has more to do than it likes beside calls that nobody waits for."""
    load = runtime.load

    def now() -> bool:
        bounds = load.bounds
        late = load.lag.average_s > CALM * bounds.most_lag_s
        return load.stopping or late or load.under_way > CALM * bounds.most_under_way

    return now


def shadow_job(runtime: Runtime) -> Job:
    """Decides beside what was decided, and mirrors what was answered."""

    async def turn() -> None:
        await runtime.shadows.turn()
        for name, value in (
            ("shadow_waiting", runtime.shadows.waiting),
            ("mirrors_under_way", runtime.mirror.under_way),
        ):
            runtime.telemetry.gauge(name, float(value))
        runtime.telemetry.total("shadow_dropped", runtime.shadows.dropped)

    return Job("shadows", TURN_S, turn)
