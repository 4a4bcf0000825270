"""The routes of kept answers: what they bring, and answers taken back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed, author, person, signed
from service.api.schemas import Author, ErrorAnswer, Text
from service.caching.desk import Caching
from service.caching.false_hits import FalseHits
from service.caching.semantic import Semantic
from service.caching.shelf import Which
from service.caching.standing import SemanticRule, Switched
from service.caching.switching import noticed, switch_act
from service.domain.acting import Told
from service.domain.errors import Conflict, NotFound, StorageUnavailable, Unprocessable
from service.domain.records import Decision, Mode
from service.domain.will import Action
from service.runtime import Runtime
from service.storage.cases import rows_of
from service.storage.errors import StorageError

router = APIRouter(prefix="/admin/cache")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
_GIVEN = "SELECT * FROM cached_answers WHERE decision_id = ?::UUID LIMIT 1"
Label = Annotated[str, Field(min_length=1, max_length=128)]


class InvalidateBody(BaseModel):
    """Which answers are taken back: those that every part takes; ``all`` where none is given."""

    model_config = ConfigDict(extra="forbid")

    tag: Label | None = None
    deployment: Label | None = None
    task: Label | None = None
    tenant: Label | None = None
    before: datetime | None = None
    all: bool = False
    reason: Text = ""
    author: Author | None = None


class SemanticSwitchBody(BaseModel):
    """Whether a task's answers for like questions are to be on or off."""

    model_config = ConfigDict(extra="forbid")

    task: Annotated[str, Field(max_length=128)] = ""
    on: bool
    reason: Annotated[str, Field(min_length=10, max_length=500)]
    author: Author | None = None


@router.get("", responses=_ERRORS)
async def show(request: Request) -> dict[str, Any]:
    """What is kept, what came of requests, and what that saved, by count and by value."""
    runtime, _ = allowed(request, "analyst")
    return shown_cache(runtime)


@router.post("/invalidate", responses=_ERRORS)
async def invalidate(request: Request, body: InvalidateBody) -> dict[str, Any]:
    """Take answers back, durably when this returns. A tenant's key takes back its tenant's."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    caching = runtime.caching
    if caching is None:
        raise Conflict("nothing is kept: the plan has no section cache", code="cache_off")
    given = body.model_dump(include={"tag", "deployment", "task", "tenant", "before"})
    given = {name: value for name, value in given.items() if value is not None}
    if body.all == bool(given):
        raise Unprocessable(
            "give tag, deployment, task, tenant or before, or all: true alone", param="all"
        )
    if key.tenant and body.tenant not in (None, key.tenant):
        raise Unprocessable("tenant: the key is of another tenant", param="tenant")
    owner = key.tenant or None  # of a key that is bound: not what requests say of themselves
    which = Which(body.tag, body.deployment, body.task, body.tenant, _us(body.before), owner)
    try:
        count = await caching.invalidate(which)
    except StorageError:
        raise StorageUnavailable(
            "they are taken back in memory, but the file cannot be written: a restart would bring "
            "them back; try again",
            retry_after_s=5.0,
        ) from None
    detail = {"entries": count} | {name: str(value) for name, value in given.items()}
    told = Told("cache.invalidated", body.tag or body.deployment or body.task or "all",
                body.reason, author(body.author, key), detail)  # fmt: skip
    runtime.kept.log.append(signed(request, key, told))
    return {"invalidated": count}


@router.post("/semantic/switch", responses=_ERRORS)
async def switch(request: Request, body: SemanticSwitchBody) -> dict[str, Any]:
    """Put a task's answers for like questions on or off, durably, from the next request on. One
    that is put on is measured anew.
    """
    runtime, key = allowed(request, "operator")
    found = None if runtime.caching is None else runtime.caching.further
    if not isinstance(found, Semantic):
        raise Conflict("the plan has no section cache.semantic", code="semantic_off")
    rule = found.rules.tasks.get(body.task)
    if rule is None:
        raise NotFound("cache.semantic names no such task", param="task")
    told = Switched(body.task, body.on, body.reason, rule, not body.on)
    by = author(body.author, key), person(request, key)
    act = switch_act(runtime.clock.wall_us(), told, *by)
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    found.standings.switch(told)
    noticed(runtime.notices, told)
    shown = _semantic(found)
    assert shown is not None
    return shown


def _us(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    told = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(told.timestamp() * 1e6)


def shown_cache(runtime: Runtime) -> dict[str, Any]:
    """The cache as operators see it; money in US dollars, what was saved is an estimate."""
    caching = runtime.caching
    if caching is None:
        return {"enabled": False}
    tally, shelf, keeper = caching.tally, caching.shelf, caching.parts.keeper
    raised = [o.id for o in runtime.operating.holding if o.action == Action.RAISE_CACHING]
    return {
        "enabled": True,
        "entries": len(shelf),
        "bytes": shelf.bytes,
        "most_bytes": shelf.most_bytes,
        "under_way": len(caching.flights),
        "requests": {each: tally.results[each] for each in ("hit", "shared", "miss", "bypass")},
        "hit_rate": tally.hit_rate,
        "value_rate": tally.value_rate,
        "saved_usd_estimate": tally.saved_micro_usd / 1e6,
        "spent_on_misses_usd": tally.spent_micro_usd / 1e6,
        "passed_by": dict(tally.passed_by),
        "not_kept": dict(tally.not_kept),
        "ended": dict(shelf.ended),
        "raised_by": raised,
        "on_disk": keeper is not None,
        "disk_trouble": keeper.trouble if keeper is not None else "",
        "disk_dropped": keeper.dropped if keeper is not None else 0,
        "tasks": _tasks(caching),
        "semantic": _semantic(caching.further),
    }


def _semantic(found: object) -> dict[str, Any] | None:
    """Answers given for like questions; None where the plan wants none."""
    if not isinstance(found, Semantic):
        return None
    of = found.standings.tasks
    return {
        "entries": len(found.nearest),
        "shadow_spent_usd": found.parts.spent_micro_usd() / 1e6,
        "tasks": [_like(task, rule, of.get(task)) for task, rule in found.rules.tasks.items()],
    }


def _like(task: str, rule: SemanticRule, seen: FalseHits | None) -> dict[str, Any]:
    seen = seen or FalseHits()
    rate = seen.rate
    return {
        "task": task, "delta": rule.delta, "most_false": rule.most_false, "off": seen.off,
        "by_hand": seen.by_hand,
        "regenerated": len(seen.events), "wrong": sum(seen.events),
        "false_hits_at_most": None if rate is None else rate.interval.high,
        "held": rate is not None and rate.held and not seen.off,
        "counts": dict(sorted(seen.counts.items())),
    }  # fmt: skip


def _tasks(caching: Caching) -> list[dict[str, Any]]:
    return [
        {"task": task, "hits": each.hits, "shared": each.shared, "misses": each.misses,
         "saved_usd_estimate": each.saved_micro_usd / 1e6,
         "spent_on_misses_usd": each.spent_micro_usd / 1e6}
        for task, each in sorted(caching.tally.tasks.items())
    ]  # fmt: skip


async def given_again(runtime: Runtime, decision: Decision) -> dict[str, Any] | None:
    """Whose answer a decision was given; None where it was not given again one."""
    if decision.mode is not Mode.CACHE:
        return None
    cursor = runtime.kept.database.cursor
    rows = await asyncio.to_thread(lambda: rows_of(cursor(), _GIVEN, [decision.id]))
    if not rows:
        return None
    row = rows[0]
    return {
        "kind": row["kind"], "of": str(row["source_decision_id"]),
        "deployment": row["deployment"], "age_s": row["age_s"],
        "saved_usd": row["saved_micro_usd"] / 1e6,
    }  # fmt: skip
