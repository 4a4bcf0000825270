"""Deployments as they stand: health, speed, errors, money, and how the policy holds each."""

from __future__ import annotations

from dataclasses import dataclass

from learning.policies.base import STATES
from service.console.reading.serving import tones
from service.domain.records import Override
from service.monitoring.live import WINDOW_S
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Stands:
    """One deployment over the last five minutes; durations in seconds."""

    name: str
    tone: int
    provider: str
    health: str  # good, warn or bad
    breaker: str
    why: str
    free_in_s: float
    ejections: int
    in_flight: int
    limit: int
    throttled: float
    calls: int
    errors: int
    kinds: tuple[tuple[str, int], ...]
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    ttft_s: float | None
    usd_per_minute: float
    state: str
    meaning: str
    shares: tuple[tuple[str, float], ...]  # by task
    overrides: tuple[Override, ...]

    @property
    def error_share(self) -> float | None:
        """Of its calls; None without one."""
        return self.errors / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Fixed:
    """What the plan says of a deployment."""

    model: str
    context_window: int
    capabilities: tuple[str, ...]
    input_usd_per_mtok: float
    output_usd_per_mtok: float


BREAKERS = {"closed": "closed", "open": "open", "half_open": "half open"}


def deployments(runtime: Runtime) -> list[Stands]:
    """All, in the order of the plan."""
    board, tone, states = runtime.board, tones(runtime), runtime.live.current.states()
    now_s = runtime.clock.monotonic_s()
    health = {each.deployment: each for each in runtime.fleet.standings(now_s)}
    live = {each.deployment: each for each in board.standings()}
    up_s = max(1.0, min(WINDOW_S, now_s - board.started_s))
    holding, meanings = runtime.kept.overrides.holding(), dict(STATES)
    found = []
    for deployment in runtime.catalog:
        name = deployment.name
        if name not in health or name not in live:
            continue  # a reload is under way
        fleet, seen = health[name], live[name]
        share = seen.errors / seen.calls if seen.calls else 0.0
        bad = fleet.state == "open" or share > 0.5
        grave = "bad" if bad else "warn" if fleet.bar or share > 0.05 else "good"
        found.append(
            Stands(
                name, tone[name], deployment.provider, grave, BREAKERS[fleet.state],
                fleet.why or fleet.bar, fleet.free_in_s, fleet.ejections, fleet.in_flight,
                fleet.limit, fleet.throttled, seen.calls, seen.errors, seen.kinds, seen.p50_s,
                seen.p95_s, seen.p99_s, seen.ttft_s, 60.0 * seen.cost_micro_usd / 1e6 / up_s,
                states.get(name, ""), meanings.get(states.get(name, ""), ""),
                tuple((w.task, w.share) for w in runtime.weights.current if w.deployment == name),
                tuple(o for o in holding if o.deployment == name),
            )
        )  # fmt: skip
    return found


def fixed(runtime: Runtime, name: str) -> Fixed | None:
    """Of the plan; None where it knows none of that name."""
    found = next((each for each in runtime.catalog if each.name == name), None)
    if found is None:
        return None
    price = found.price_at(runtime.clock.wall_us())
    return Fixed(
        found.model, found.context_window, tuple(sorted(found.capabilities)),
        price.input_micro_usd_mtok / 1e6, price.output_micro_usd_mtok / 1e6,
    )  # fmt: skip
