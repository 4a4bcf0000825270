"""The routes of the knowledge base: searched, shown, added to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed, author, person
from service.api.schemas import ErrorAnswer
from service.api.shown import when
from service.domain.clock import moment_us, new_id
from service.domain.errors import InvalidRequest
from service.domain.knowledge import Entry, Found, Wanted, cited, in_force, related, search

router = APIRouter(prefix="/admin/knowledge")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
Text = Annotated[str, Field(max_length=4_000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class EntryBody(BaseModel):
    """What a person has tried, or corrects. ``supersedes``: the entry that this one replaces."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=3, max_length=200)]
    why: Annotated[str, Field(min_length=10, max_length=4_000)]
    author: Name | None = None
    hypothesis: Text = ""
    design: Text = ""
    result: Text = ""
    decision: Annotated[str, Field(max_length=200)] = ""
    links: Annotated[dict[Name, Annotated[str, Field(max_length=500)]], Field(max_length=20)] = {}
    tags: Annotated[list[Name], Field(max_length=20)] = []
    supersedes: Name | None = None


@router.get("", responses=_ERRORS)
async def find(
    request: Request,
    words: Annotated[str, Query(max_length=500)] = "",
    tag: Annotated[list[str] | None, Query(max_length=20)] = None,
    since: str | None = None,
    past: bool = False,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
) -> dict[str, Any]:
    """What was tried: that which fits the words best, without words the newest first. ``past``:
    entries that were superseded as well.
    """
    runtime, _ = allowed(request, "analyst")
    store = runtime.experiments.chronicle.store
    found = search(store.all(), Wanted(words, tuple(tag or ()), _since_us(since), past))
    return {"found": len(found), "entries": [shown(each) for each in found[:limit]]}


@router.post("", status_code=201, responses=_ERRORS)
async def add(request: Request, body: EntryBody) -> dict[str, Any]:
    """Write an entry; durable when it is answered. A correction supersedes, nothing is changed."""
    runtime, key = allowed(request, "operator")
    entry = Entry(
        new_id(), runtime.clock.wall_us(), "person", "", body.title, body.hypothesis,
        {"words": body.design}, {"words": body.result}, body.decision, body.why,
        author(body.author, key),
        body.links, tuple(dict.fromkeys(body.tags)), body.supersedes,
    )  # fmt: skip
    who = person(request, key)
    return shown(Found(await runtime.experiments.chronicle.add(entry, key.id, who), 0.0))


@router.get("/{entry_id}", responses=_ERRORS)
async def show(request: Request, entry_id: str) -> dict[str, Any]:
    """One entry, by its id or the beginning of it, and what else was tried like it."""
    runtime, _ = allowed(request, "analyst")
    chronicle = runtime.experiments.chronicle
    entry, known = chronicle.find(entry_id), chronicle.store.all()
    told = shown(Found(entry, 0.0))
    told["in_force"] = entry in in_force(known)
    told["superseded_by"] = next((e.id for e in known if e.supersedes == entry.id), None)
    told["related"] = [
        {"id": each.entry.id, "title": each.entry.title, "cited": cited(each.entry)}
        for each in related(known, entry)
    ]
    return told


def shown(found: Found) -> dict[str, Any]:
    """An entry as JSON holds it; ``fit``: how well it fits, 0 where no words were asked for."""
    each = found.entry
    return {
        "id": each.id,
        "at": when(each.at_us),
        "tried_at": when(each.tried_us),
        "source": each.source,
        "subject": each.subject or None,
        "title": each.title,
        "hypothesis": each.hypothesis,
        "design": dict(each.design),
        "result": dict(each.result),
        "decision": each.decision,
        "why": each.why,
        "author": each.author,
        "links": dict(each.links),
        "tags": list(each.tags),
        "supersedes": each.supersedes,
        "cited": cited(each),
        "fit": found.worth,
    }


def _since_us(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return moment_us(text)
    except ValueError:
        raise InvalidRequest("since: give a date such as 2026-03-01", param="since") from None
