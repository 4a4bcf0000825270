"""The routes of budgets: how each stands, and the one that a key carries."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.api.access import allowed, author, signed
from service.api.four_eyes import Raises, raises_exposure
from service.api.schemas import Author, ErrorAnswer, Text
from service.api.shown import when
from service.domain.acting import Told
from service.domain.budgets import Budget, BudgetStanding, KeyBudget, Scope
from service.domain.errors import NotFound, Unprocessable
from service.domain.periods import Period
from service.domain.records import Key
from service.plan.budgets import LimitOfSpend, micro_usd
from service.runtime import Runtime

router = APIRouter(prefix="/admin")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


class KeyLimit(LimitOfSpend):
    """What a key may spend in a period."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyBudgetBody(BaseModel):
    """The budget that a key is to carry, and why."""

    model_config = ConfigDict(extra="forbid")

    period: Annotated[str, Field(max_length=16)] = ""
    hard_usd: float | None = None
    soft_usd: float | None = None
    at_cap: Annotated[str, Field(max_length=16)] = "refuse"
    reason: Text = ""
    author: Author | None = None
    break_glass: bool = False


class EndBody(BaseModel):
    """Why a key's budget is taken away."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = ""
    author: Author | None = None
    break_glass: bool = False


@router.get("/budgets", responses=_ERRORS)
async def list_budgets(request: Request) -> dict[str, Any]:
    """Every budget as it stands, the one nearest to its limit first; a tenant's key sees those of
    its tenant and of its tenant's keys.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    return {"budgets": shown_budgets(runtime, key), "time_zone": runtime.plan.budgets.time_zone,
            "usd_per_request": None if key.tenant else runtime.plan.budgets.usd_per_request,
            "reserve_output_tokens": runtime.plan.budgets.reserve_output_tokens}  # fmt: skip


@router.post("/keys/{key_id}/budget", responses=_ERRORS)
async def put_budget(request: Request, key_id: str, body: KeyBudgetBody) -> dict[str, Any]:
    """Give a key a budget, in force from its next call on; what it has spent in the period counts.
    To raise one, or take a hard cap away, raises exposure.
    """
    runtime, key = allowed(request, "administrator", tenant_scoped=True)
    found = runtime.kept.keys.named(key_id)
    if found is None or key.tenant not in ("", found.tenant):
        raise NotFound("no key of that id or name; see headgate keys list", param="key_id")
    before = runtime.budgets.book.of_keys.get(found.id)
    signer = author(body.author, key)
    budget = record(found.id, runtime.clock.wall_us(), _limit(body), signer, body.reason)
    if before is not None and not _lower(before, budget):
        raises = Raises("key.budget", found.name, [found.id, budget.hard_micro_usd])
        await raises_exposure(request, key, body, raises)
    told = Told("key.budget", found.id, body.reason, budget.author, {"key": key.id},
                None if before is None else _said(before), _recorded(budget))  # fmt: skip
    await runtime.budgets.put(budget, signed(request, key, told))
    return {"key_id": found.id, "name": found.name, **_recorded(budget)}


@router.post("/keys/{key_id}/budget/end", responses=_ERRORS)
async def end_budget(request: Request, key_id: str, body: EndBody) -> dict[str, Any]:
    """Take a key's budget away, which raises exposure; those of the plan hold for it as before."""
    runtime, key = allowed(request, "administrator", tenant_scoped=True)
    found = runtime.kept.keys.named(key_id)
    if found is not None and key.tenant not in ("", found.tenant):
        found = None
    before = runtime.budgets.book.of_keys.get(found.id) if found is not None else None
    if found is None or before is None:
        raise NotFound("no key of that id or name that carries a budget", param="key_id")
    await raises_exposure(request, key, body, Raises("key.budget", found.name, [found.id]))
    who = author(body.author, key)
    told = Told("key.budget", found.id, body.reason, who, {"key": key.id}, _said(before), None)
    ended = KeyBudget(found.id, runtime.clock.wall_us(), "", None, None, "", who, body.reason)
    await runtime.budgets.put(ended, signed(request, key, told))
    return {"key_id": found.id, "name": found.name, "period": None}


def _limit(body: KeyBudgetBody) -> KeyLimit:
    try:
        return KeyLimit.model_validate(
            {name: getattr(body, name) for name in ("period", "hard_usd", "soft_usd", "at_cap")}
        )
    except ValidationError as error:
        first = error.errors()[0]
        param = str(first["loc"][0]) if first["loc"] else "hard_usd"
        said = str(first["msg"]).removeprefix("Value error, ")
        raise Unprocessable(f"{param}: {said}", param=param) from None


def record(key_id: str, at_us: int, limit: LimitOfSpend, who: str, reason: str) -> KeyBudget:
    """A key's budget as it is logged."""
    return KeyBudget(
        key_id, at_us, limit.period, micro_usd(limit.hard_usd), micro_usd(limit.soft_usd),
        limit.at_cap, who, reason,
    )  # fmt: skip


def _lower(before: Budget, now: KeyBudget) -> bool:
    """Whether no more may be spent than before."""
    if before.hard_micro_usd is None:
        return True
    same = before.period.value == now.period
    return same and now.hard_micro_usd is not None and now.hard_micro_usd <= before.hard_micro_usd


def _said(budget: Budget) -> dict[str, Any]:
    return {"period": budget.period.value, "hard_usd": usd(budget.hard_micro_usd),
            "soft_usd": usd(budget.soft_micro_usd), "at_cap": budget.at_cap.value}  # fmt: skip


def _recorded(budget: KeyBudget) -> dict[str, Any]:
    return {"period": budget.period, "hard_usd": usd(budget.hard_micro_usd),
            "soft_usd": usd(budget.soft_micro_usd), "at_cap": budget.at_cap}  # fmt: skip


def usd(micro: int | None) -> float | None:
    """US dollars."""
    return None if micro is None else micro / 1e6


def shown_budgets(runtime: Runtime, key: Key) -> list[dict[str, Any]]:
    """What a key may see of the budgets."""
    book, names = runtime.budgets.book, runtime.kept.keys
    found = [each for each in book.standings() if _may_see(runtime, key, each)]
    found.sort(key=lambda each: (-each.share, each.label))
    rows = [standing(each, names.name_of(each.value)) for each in found]
    for budget in book.all:
        if budget.period is Period.REQUEST and not key.tenant:
            rows.append(_said(budget) | {"name": budget.name, "scope": budget.scope.value,
                                         "of": budget.of or None})  # fmt: skip
    return rows


def _may_see(runtime: Runtime, key: Key, each: BudgetStanding) -> bool:
    if not key.tenant:
        return True
    if each.budget.scope is Scope.TENANT:
        return each.value == key.tenant
    if each.budget.scope is Scope.KEY:
        other = runtime.kept.keys.named(each.value)
        return other is not None and other.tenant == key.tenant
    return False


def standing(each: BudgetStanding, key_name: str = "") -> dict[str, Any]:
    """A budget with what is spent, reserved, left and foretold, in US dollars."""
    budget, forecast = each.budget, each.forecast
    full = budget.hard_micro_usd is not None and each.left_micro_usd == 0
    return _said(budget) | {
        "at_soft": budget.at_soft.value,
        "name": budget.name,
        "scope": budget.scope.value,
        "of": each.value or None,
        "key": key_name or None if budget.scope is Scope.KEY else None,
        "starts_at": when(each.starts_us),
        "ends_at": when(each.ends_us),
        "spent_usd": each.spent_micro_usd / 1e6,
        "reserved_usd": each.reserved_micro_usd / 1e6,
        "left_usd": each.left_micro_usd / 1e6,
        "share": round(each.share, 6),
        "calls": each.calls,
        "forecast": forecast
        and {
            "expected_usd": round(forecast.expected / 1e6, 6),
            "low_usd": round(forecast.low / 1e6, 6),
            "high_usd": round(forecast.high / 1e6, 6),
        },
        "state": "full" if full else "ahead" if each.foretold else "open",
    }
