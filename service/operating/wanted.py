"""What somebody wants of an override: checked field by field, then as bounds on what all leave."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from service.domain.catalog import typical_usd
from service.domain.errors import Conflict, InvalidRequest, Unprocessable
from service.domain.records import Override
from service.domain.will import Action, scope_of, will_for
from service.plan.whole import Plan

DEFAULT_S = 4 * 3_600.0
LONGEST_S = 7 * 86_400.0
MOST = 100  # in force at once: each costs every request of its scope a comparison
MOST_AT_ALL = 200  # with what stops traffic, for which there is room when all else is full
MOST_OF_A_TENANT = 20  # for one, where its own key lays them
REDUCING = (Action.EXCLUDE, Action.FREEZE, Action.KILL_EXPERIMENT)
_SUM = 1e-9  # shares are given as decimal fractions
_NAMES_ONE = (Action.KILL, Action.EXCLUDE, Action.FORCE, Action.BOUNDS)
_NAMES_NONE = (Action.PIN, Action.KILL_EXPERIMENT, Action.RAISE_CACHING)
_TARGETED = (Action.PIN, Action.KILL_EXPERIMENT)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An override that somebody wants; what its action does not take stays as it is here.

    ``target``: the version's id of a pin (or the beginning of it), the experiment of a
    kill_experiment; ``least`` and ``greatest``: shares of the draws; ``usd``: a request.
    """

    action: str
    deployment: str = ""
    task: str = ""
    tenant: str = ""
    tier: str = ""
    target: str = ""
    least: float | None = None
    greatest: float | None = None
    usd: float | None = None
    lasts_s: float = DEFAULT_S
    ticket: str = ""


def check(wanted: Wanted, plan: Plan) -> Wanted:
    """What is wanted, with the plan's safe deployment where a kill names none; raises
    InvalidRequest or Unprocessable that names the field and the mend.
    """
    if wanted.action not in list(Action):
        raise Unprocessable(
            f"there is no action {wanted.action[:40]!r}{_near(wanted.action, list(Action))}",
            param="action",
        )
    if wanted.action == Action.RAISE_CACHING and (plan.cache is None or plan.cache.raised is None):
        raise Unprocessable(
            "raise_caching: the plan does not say to what; name it under cache.raised",
            param="action",
        )
    deployment = wanted.deployment
    if wanted.action == Action.KILL and not deployment:
        deployment = plan.safe_deployment or ""
    _deployment(wanted.action, deployment, plan)
    if wanted.task and wanted.task not in plan.task_names:
        known = ", ".join(plan.task_names)
        raise InvalidRequest(f"no task of that name; known: {known}", param="task")
    if wanted.tier and wanted.tier not in plan.tiers:
        known = f"known: {', '.join(plan.tiers)}" if plan.tiers else "the plan has no tiers"
        raise InvalidRequest(f"no tier of that name; {known}", param="tier")
    _target(wanted)
    _numbers(wanted)
    lasting(wanted.lasts_s)
    return replace(wanted, deployment=deployment)


def lasting(seconds: float) -> float:
    """A time that an override may last, seconds; raises Unprocessable."""
    if not 0.0 < seconds <= LONGEST_S:
        raise Unprocessable(
            "expires_in_s: an override ends by itself within seven days; renew it where its reason "
            "stands longer",
            param="expires_in_s",
        )
    return seconds


def _deployment(action: str, deployment: str, plan: Plan) -> None:
    names = [each.name for each in plan.deployments]
    known = f"known: {', '.join(names)}"
    if deployment and action in _NAMES_NONE:
        raise Unprocessable(
            f"{action} takes no deployment; give task, tenant or tier", param="deployment"
        )
    if not deployment and action in _NAMES_ONE:
        mend = ", or name the plan's safe_deployment" if action == Action.KILL else ""
        raise InvalidRequest(f"{action} needs a deployment{mend}; {known}", param="deployment")
    if deployment and deployment not in names:
        raise InvalidRequest(f"no deployment of that name; {known}", param="deployment")


def _target(wanted: Wanted) -> None:
    named = {Action.PIN: "version", Action.KILL_EXPERIMENT: "experiment"}
    if wanted.action in _TARGETED and not wanted.target:
        field = named[Action(wanted.action)]
        raise Unprocessable(f"{wanted.action} needs the {field} that is meant", param=field)
    if wanted.target and wanted.action not in _TARGETED:
        raise Unprocessable(
            f"{wanted.action} takes no version and no experiment; leave it out", param="target"
        )


def _numbers(wanted: Wanted) -> None:
    bounded = wanted.action == Action.BOUNDS
    for name, value in (("least", wanted.least), ("greatest", wanted.greatest)):
        if value is None:
            continue
        if not bounded:
            raise Unprocessable(f"{wanted.action} takes no {name}; bounds does", param=name)
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise Unprocessable(f"{name}: a share of the draws, from 0 to 1", param=name)
    if bounded and wanted.least is None and wanted.greatest is None:
        raise Unprocessable("bounds needs least, greatest or both", param="least")
    if bounded and wanted.greatest == 0.0:
        raise Unprocessable("greatest: for no share at all exclude it", param="greatest")
    if bounded and (wanted.least or 0.0) > (1.0 if wanted.greatest is None else wanted.greatest):
        raise Unprocessable(
            f"least {wanted.least:g} is above greatest {wanted.greatest:g}", param="least"
        )
    capped = wanted.action == Action.COST_CAP
    if capped and not (wanted.usd is not None and math.isfinite(wanted.usd) and wanted.usd > 0.0):
        raise Unprocessable(
            "cost_cap needs usd: the greatest predicted cost of a request, US dollars above 0",
            param="usd",
        )
    if wanted.usd is not None and not capped:
        raise Unprocessable(f"{wanted.action} takes no usd; cost_cap does", param="usd")


def check_room(
    override: Override, holding: Sequence[Override], plan: Plan, tenant: str = ""
) -> None:
    """Refuse what cannot hold together with what is in force, with the numbers; raises Conflict.
    ``tenant``: of the key that asks for it.
    """
    most = MOST_AT_ALL if _stops(override, tenant) else MOST
    own = [each for each in holding if tenant and each.tenant == tenant]
    for those, limit, of in ((own, MOST_OF_A_TENANT, f" of {tenant}"), (holding, most, "")):
        if len(those) >= limit:
            raise Conflict(
                f"{len(those)} overrides{of} are in force, and {limit} are the most; lift some",
                code="too_many_overrides",
            )
    if override.action != Action.BOUNDS:
        return
    together = [*holding, override]
    for task, tenant, tier in _scopes(together):
        if not _meets(override, (task, tenant, tier)):
            continue
        fresh = [each for each in holding if not _replaced(each, override)]
        standing = will_for(task, fresh, tenant, tier).bounds.get(override.deployment)
        if standing and (override.least or 0.0) > standing.greatest + _SUM:
            raise Conflict(
                f"least {override.least:g} is above the greatest share {standing.greatest:g} that "
                f"override {standing.override_id} leaves {override.deployment}; lift that first",
                code="bounds_infeasible",
            )
        _sums(together, (task, tenant, tier), plan)


def _stops(override: Override, tenant: str) -> bool:
    """Whether it is an operator's way to stop traffic: a kill, or an exclusion for all tenants."""
    wide = override.action == Action.EXCLUDE and not override.tenant
    return not tenant and (override.action == Action.KILL or wide)


def _replaced(old: Override, new: Override) -> bool:
    """Whether the new one takes the old one's place: the same scope and deployment."""
    same = scope_of(old) == scope_of(new) and old.deployment == new.deployment
    return old.action == new.action and same


def _sums(together: Sequence[Override], scope: tuple[str, str, str], plan: Plan) -> None:
    task, tenant, tier = scope
    will = will_for(task, together, tenant, tier)
    serving = [
        each.name for each in plan.deployments
        if (not each.tasks or not task or task in each.tasks) and each.name not in will.excluded
    ]  # fmt: skip
    least = {name: will.bounds[name].least for name in serving if name in will.bounds}
    greatest = [will.bounds[name].greatest if name in will.bounds else 1.0 for name in serving]
    where = " of " + ", ".join(part for part in scope if part) if any(scope) else ""
    if sum(least.values()) > 1.0 + _SUM:
        told = " + ".join(f"{share:g} ({name})" for name, share in least.items())
        raise Conflict(
            f"the least shares{where} would be {told} = {sum(least.values()):g}, more than 1; "
            "lower one of them",
            code="bounds_infeasible",
        )
    if sum(greatest) < 1.0 - _SUM:
        told = " + ".join(
            f"{share:g} ({name})" for name, share in zip(serving, greatest, strict=True)
        )
        raise Conflict(
            f"the greatest shares{where} would leave only {told} = {sum(greatest):g} of 1; raise "
            "one of them, or leave a deployment unbounded",
            code="bounds_infeasible",
        )


def _scopes(overrides: Sequence[Override]) -> Iterable[tuple[str, str, str]]:
    """Every kind of request that the overrides tell apart: of the parts that they name, or none."""
    parts = [sorted({scope_of(each)[at] for each in overrides} | {""}) for at in range(3)]
    return [(a, b, c) for a, b, c in itertools.product(*parts)]


def _meets(override: Override, scope: tuple[str, str, str]) -> bool:
    return all(not mine or mine == its for mine, its in zip(scope_of(override), scope, strict=True))


def meet(one: Override, other: Override) -> bool:
    """Whether a request can lie in both scopes."""
    return all(
        not mine or not its or mine == its
        for mine, its in zip(scope_of(one), scope_of(other), strict=True)
    )


def reduces(override: Override, holding: Sequence[Override], plan: Plan, now_us: int = 0) -> bool:
    """Whether laying it can only lower risk: it acts before it is durable. A cap or a bound that
    takes the place of a lower one raises it, and so does a kill that is a force in other words.
    """
    if override.action in REDUCING:
        return True
    if override.action == Action.KILL:
        return _calms(override, holding, plan, now_us)
    replaced = [each for each in holding if _replaced(each, override)]
    if override.action == Action.COST_CAP and override.usd is not None:
        return all(each.usd is None or override.usd <= each.usd for each in replaced)
    if override.action == Action.BOUNDS and override.least is None:
        greatest = 1.0 if override.greatest is None else override.greatest
        return all(each.greatest is None or greatest <= each.greatest for each in replaced)
    return False


def _calms(kill: Override, holding: Sequence[Override], plan: Plan, now_us: int) -> bool:
    """Whether a kill sends everything where it can harm least: to the plan's safe deployment, or
    to the cheapest at list prices unless somebody excludes that; and not from a cheaper one.
    """
    prices = {each.name: typical_usd(each, now_us) for each in plan.catalog({})}
    price = prices.get(kill.deployment, math.inf)
    before = (
        each for each in holding
        if each.action == Action.KILL and scope_of(each) == scope_of(kill) and each.id != kill.id
    )  # fmt: skip
    if any(prices.get(each.deployment, 0.0) < price for each in before):
        return False
    if kill.deployment == plan.safe_deployment:
        return True
    excluded = {each.deployment for each in holding if each.action == Action.EXCLUDE}
    return price <= min(prices.values()) and kill.deployment not in excluded


def lifting_reduces(override: Override) -> bool:
    """Whether ending it can only lower risk."""
    return override.action in (Action.FORCE, Action.PIN, Action.RAISE_CACHING)


def _near(given: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(given[:40], known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
