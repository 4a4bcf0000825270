"""What overrides would have made of a logged decision: who would have answered, how likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learning import exploration
from service.domain.records import Decision, Mode
from service.domain.will import Will, limits

Shares = Mapping[str, float]

# What a kill or a force crosses: wishes of the plan, the caller, experiments and other overrides.
_CROSSED = ("rule", "caller", "bounds", "experiment", "later_tier", "in_no_tier", "override",
            "cost_cap", "unknown_to_version")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """A logged decision, as much of it as overrides look at. ``cost_usd`` and what follows it are
    predicted, of each of ``names``; empty where no policy was asked. ``out``: why the others had
    left.
    """

    task: str
    tenant: str
    tier: str
    mode: Mode
    deployment: str
    names: tuple[str, ...]
    shares: tuple[float, ...]
    cost_usd: tuple[float, ...]
    quality: tuple[float, ...]
    latency_s: tuple[float, ...]
    error_rate: tuple[float, ...]
    out: Mapping[str, str]
    experiments: tuple[str, ...]

    @classmethod
    def of(cls, decision: Decision) -> Seen:
        """From the record."""
        who, candidates = decision.caller, decision.candidates
        return cls(
            task=decision.task,
            tenant=who.tenant,
            tier=who.tier,
            mode=decision.mode,
            deployment=decision.deployment,
            names=candidates.names,
            shares=candidates.propensities,
            cost_usd=candidates.cost_usd,
            quality=candidates.quality,
            latency_s=candidates.latency_s,
            error_rate=candidates.error_rate,
            out={each.deployment: each.reason for each in decision.disqualified},
            experiments=tuple(each.experiment for each in decision.assigned),
        )

    @property
    def logged(self) -> Shares:
        """As it was."""
        return dict(zip(self.names, self.shares, strict=True))

    def reachable(self, deployment: str, crossed: Sequence[str] = _CROSSED) -> bool:
        """Whether it could have answered, had those wishes not been."""
        return deployment in self.names or self.out.get(deployment) in crossed


def after(will: Will, seen: Seen, usual: Shares, drawn: Shares | None = None) -> Shares | None:
    """Each deployment's share of the decision under ``will``; None where it would be refused.

    ``usual``: the task's mean shares of drawn decisions, by which a request is taken to be drawn
    that was not; ``drawn``: what the pinned version, or the live one outside an experiment, would
    draw. What somebody gives up goes to the others in proportion to their shares.
    """
    if seen.mode is Mode.PINNED:
        return seen.logged if _honoured(will, seen) else None
    if will.killed is not None:
        name = will.killed.deployment
        return {name: 1.0} if seen.reachable(name, (*_CROSSED, "task")) else None
    if (
        will.forced is not None
        and will.forced.deployment not in will.excluded
        and seen.reachable(will.forced.deployment)
    ):
        return {will.forced.deployment: 1.0}
    shares = dict(seen.logged)
    if seen.mode is Mode.RANDOMISED and drawn is not None:
        shares = {name: drawn.get(name, 0.0) for name in seen.names}
    left = {name: share for name, share in shares.items() if name not in will.excluded}
    left = _within_caps(will, seen, left)
    if not left:
        return None
    whole = sum(left.values())
    if whole <= 0.0:  # who had it all is gone: drawn anew
        left = {name: usual.get(name, 0.0) for name in left}
        whole = sum(left.values())
        if whole <= 0.0:
            return dict.fromkeys(left, 1.0 / len(left))
    if len(left) < len(shares):
        left = {name: share / whole for name, share in left.items()}
    return _within_bounds(will, left) if seen.mode is Mode.RANDOMISED else left


def _honoured(will: Will, seen: Seen) -> bool:
    if will.killed is not None:
        return will.killed.deployment == seen.deployment
    return seen.deployment not in will.excluded


def _within_caps(will: Will, seen: Seen, left: dict[str, float]) -> dict[str, float]:
    if not will.caps or not seen.cost_usd or not left:
        return left
    cost = dict(zip(seen.names, seen.cost_usd, strict=True))
    fits = {
        name: share for name, share in left.items()
        if all(cost[name] <= cap.usd for cap in will.caps if cap.deployment in ("", name))
    }  # fmt: skip
    cheapest = min(left, key=lambda name: cost[name])
    return fits or {cheapest: 1.0}


def _within_bounds(will: Will, left: dict[str, float]) -> dict[str, float]:
    found = limits(list(left), will.bounds)
    if found is None:
        return left
    within = exploration.between(np.array(list(left.values())), *found)
    return dict(zip(left, within.tolist(), strict=True))


def flows(before: Shares, now: Shares) -> dict[tuple[str, str], float]:
    """From whom to whom the shares go: what is lost, to those who gain, in proportion."""
    names = {*before, *now}
    change = {name: now.get(name, 0.0) - before.get(name, 0.0) for name in names}
    gained = sum(each for each in change.values() if each > 0.0)
    if gained <= 0.0:
        return {}
    return {
        (loser, winner): -lost * won / gained
        for loser, lost in change.items() if lost < 0.0
        for winner, won in change.items() if won > 0.0
    }  # fmt: skip
