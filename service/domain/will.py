"""What the operators want for a request now, resolved from the overrides in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.records import Caller, Decision, Override


class Action(StrEnum):
    """What an override does, the first before the later ones."""

    KILL = "kill"
    EXCLUDE = "exclude"
    FORCE = "force"
    COST_CAP = "cost_cap"
    BOUNDS = "bounds"
    PIN = "pin"
    KILL_EXPERIMENT = "kill_experiment"
    FREEZE = "freeze"
    RAISE_CACHING = "raise_caching"


@dataclass(frozen=True, slots=True)
class Bound:
    """The least and the greatest share that a deployment has of each draw."""

    least: float
    greatest: float
    override_id: str


@dataclass(frozen=True, slots=True)
class Cap:
    """The greatest predicted cost of a request, of one deployment or (empty) of all."""

    usd: float
    deployment: str
    override_id: str


@dataclass(frozen=True, slots=True)
class Will:
    """Who is excluded and which experiments count as not running (each to the override's id); the
    force, the kill and the pin that hold, if any; caps, and bounds by deployment.
    """

    excluded: Mapping[str, str]
    forced: Override | None
    killed: Override | None = None
    caps: tuple[Cap, ...] = ()
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    pinned: Override | None = None
    ended: Mapping[str, str] = field(default_factory=dict)


NO_WILL = Will({}, None)


class Asking(Protocol):
    """Who asks, and for which task: as a decision knows it."""

    @property
    def caller(self) -> Caller:
        """Who."""

    @property
    def task(self) -> str:
        """For which."""


def _alike(deployment: str) -> float:
    return 0.0


def will_for(
    task: str,
    holding: Sequence[Override],
    tenant: str = "",
    tier: str = "",
    price: Callable[[str], float] = _alike,
) -> Will:
    """Resolve the overrides in force, in the order in which they were laid.

    Of one scope the later replaces the earlier. Of several scopes the one of less risk holds, so a
    narrower one beats a wider one only towards less: the cheaper deployment by ``price``, the lower
    cap, the lower share. Of equal risk the narrower holds, then the later. Exclusions and ended
    experiments add up.
    """
    if not holding:
        return NO_WILL
    by: dict[str, list[Override]] = {}
    for each in holding:
        if applies(each, task, tenant, tier):
            by.setdefault(each.action, []).append(each)
    if not by:
        return NO_WILL
    none: list[Override] = []
    return Will(
        excluded={each.deployment: each.id for each in by.get(Action.EXCLUDE, none)},
        forced=_one(by.get(Action.FORCE, none), price),
        killed=_one(by.get(Action.KILL, none), price),
        caps=_caps(by.get(Action.COST_CAP, none)),
        bounds=bounds_of(by.get(Action.BOUNDS, none)),
        pinned=_one(by.get(Action.PIN, none), _alike),
        ended={each.target: each.id for each in by.get(Action.KILL_EXPERIMENT, none)},
    )


def applies(override: Override, task: str, tenant: str, tier: str) -> bool:
    """Whether a request of that task, tenant and tier lies in an override's scope."""
    return (
        (not override.task or override.task == task)
        and (not override.tenant or override.tenant == tenant)
        and (not override.tier or override.tier == tier)
    )


def frozen(decision: Decision, holding: Sequence[Override], answered_by: str | None = None) -> bool:
    """Whether nothing is to be learned now of what a decision's request came to: of who was drawn,
    or of who answered in its place.
    """
    who, of = decision.caller, ("", decision.deployment, answered_by)
    return any(
        each.action == Action.FREEZE
        and applies(each, decision.task, who.tenant, who.tier)
        and each.deployment in of
        for each in holding
    )


def raised_for(task: str, holding: Sequence[Override], tenant: str, tier: str) -> bool:
    """Whether caching is raised for such a request."""
    return any(
        each.action == Action.RAISE_CACHING and applies(each, task, tenant, tier)
        for each in holding
    )


def frozen_whole(holding: Sequence[Override]) -> bool:
    """Whether nothing at all is to be learned now."""
    return any(
        each.action == Action.FREEZE
        and not (each.task or each.tenant or each.tier or each.deployment)
        for each in holding
    )


def scope_of(override: Override) -> tuple[str, str, str]:
    """Task, tenant and tier, each empty where all are meant."""
    return override.task, override.tenant, override.tier


def breadth(override: Override) -> int:
    """How many of task, tenant and tier are left open: the less, the narrower."""
    return sum(not part for part in scope_of(override))


def limits(
    names: Sequence[str], bounds: Mapping[str, Bound]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The least and the greatest share of each of ``names``; None where no bounds are on them."""
    found = [bounds.get(name) for name in names]
    if not any(found):
        return None
    least = np.array([bound.least if bound else 0.0 for bound in found])
    return least, np.array([bound.greatest if bound else 1.0 for bound in found])


def _latest(found: Sequence[Override]) -> list[Override]:
    """Of each scope and deployment the last one laid, the last of all first."""
    kept: dict[tuple[object, ...], Override] = {}
    for each in reversed(found):
        kept.setdefault((scope_of(each), each.deployment), each)
    return list(kept.values())


def _one(found: Sequence[Override], price: Callable[[str], float]) -> Override | None:
    if len(found) < 2:
        return found[0] if found else None
    kept: dict[tuple[str, str, str], Override] = {}
    for each in reversed(found):
        kept.setdefault(scope_of(each), each)
    return min(kept.values(), key=lambda each: (price(each.deployment), breadth(each)))


def _caps(found: Sequence[Override]) -> tuple[Cap, ...]:
    return tuple(
        Cap(each.usd, each.deployment, each.id) for each in _latest(found) if each.usd is not None
    )


def bounds_of(found: Sequence[Override]) -> dict[str, Bound]:
    """Bounds by deployment, of overrides that all apply: the least of what each asks for."""
    bounds: dict[str, Bound] = {}
    for each in _latest(found):
        before = bounds.get(each.deployment)
        least = 0.0 if each.least is None else each.least
        greatest = 1.0 if each.greatest is None else each.greatest
        if before is not None:
            if each.least is None or 0.0 < before.least < least:
                least = before.least
            greatest = min(greatest, before.greatest)
        lower = before is None or greatest < before.greatest
        chosen = each.id if before is None or lower else before.override_id
        bounds[each.deployment] = Bound(min(least, greatest), greatest, chosen)
    return bounds
