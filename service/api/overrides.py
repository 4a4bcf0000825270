"""The routes of overrides: laid, shown, renewed, lifted, each by the operator's desk."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from service.api.access import allowed, signature
from service.api.four_eyes import Raises, approved, raises_exposure
from service.api.override_schemas import (
    DryRunBody,
    DryRunShown,
    OverrideBody,
    OverrideShown,
    OverridesShown,
    RenewBody,
)
from service.api.schemas import EndOverrideBody, ErrorAnswer
from service.api.shown_overrides import override as shown
from service.domain.errors import NotFound, PermissionDenied, StorageUnavailable, Unprocessable
from service.domain.records import Key, Override
from service.operating.overrides import laid, words
from service.operating.wanted import Wanted, lifting_reduces, meet
from service.runtime import Runtime
from service.storage.errors import StorageError
from service.storage.overrides import Known, known_overrides

router = APIRouter(prefix="/admin/overrides")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
MOST_SHOWN = 500
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=128)]


@router.get("", responses=_ERRORS)
async def overrides(
    request: Request, response: Response, ended: Annotated[bool, Query(alias="all")] = False
) -> OverridesShown:
    """The overrides in force; with ``all`` the ended ones too, the newest 500. Of a tenant's key
    its tenant's.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    version = runtime.operating.version(key.tenant)
    response.headers["ETag"] = f'"{version}"'
    if not ended:
        found = [_shown(runtime, Known(each)) for each in runtime.operating.of(key.tenant)]
        return OverridesShown(overrides=found, version=version)
    known = await _known(runtime, None, key.tenant)
    return OverridesShown(overrides=[_shown(runtime, each) for each in known], version=version)


@router.post("", status_code=201, responses=_ERRORS)
async def set_override(
    request: Request, body: OverrideBody, if_match: IfMatch = None
) -> OverrideShown:
    """Lay an override; in effect on the next request. With If-Match it is refused where something
    else is in force than was looked at.
    """
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    _check_own(key, body)
    tag = if_match.strip().removeprefix("W/").strip('"') if if_match else None
    tag = None if tag == "*" else tag
    desk, by = runtime.operating, signature(request, key, body)
    if tag is not None:
        desk.check_unchanged(tag, key.tenant)
    draft = desk.drafted(wanted(body), by)
    if approved(request) or not desk.reduces(draft):
        what = words(draft).removeprefix(draft.action).strip() or "everywhere"
        raises = Raises(f"override.{draft.action}", what, _beside(runtime, draft),
                        desk.version(), tag is not None)  # fmt: skip
        await raises_exposure(request, key, body, raises)
    return _shown(runtime, Known(await desk.lay(wanted(body), by, tag, key.tenant)))


def _check_own(key: Key, body: OverrideBody) -> None:
    if key.tenant and body.tenant != key.tenant:
        raise PermissionDenied(
            f"the key is of the tenant {key.tenant}, and lays overrides for it alone: give "
            f'"tenant": "{key.tenant}", or use a key without a tenant',
            param="tenant",
            code="tenant_key",
        )


def _beside(runtime: Runtime, draft: Override) -> list[str]:
    """The overrides that may act on the same request: what an approval of it is about."""
    return sorted(each.id for each in runtime.operating.holding if meet(each, draft))


def wanted(body: OverrideBody) -> Wanted:
    """What a body asks for; raises Unprocessable where it names both a version and an experiment,
    or one that its action does not take.
    """
    if body.version and body.action != "pin":
        raise Unprocessable(f"{body.action} takes no version; pin does", param="version")
    if body.experiment and body.action != "kill_experiment":
        raise Unprocessable(
            f"{body.action} takes no experiment; kill_experiment does", param="experiment"
        )
    return Wanted(
        action=body.action,
        deployment=body.deployment,
        task=body.task or "",
        tenant=body.tenant or "",
        tier=body.tier or "",
        target=body.version or body.experiment or "",
        least=body.least,
        greatest=body.greatest,
        usd=body.usd,
        lasts_s=body.expires_in_s,
        ticket=body.ticket,
    )


@router.post("/dry-run", responses=_ERRORS)
async def dry_run(request: Request, body: DryRunBody) -> DryRunShown:
    """What an override would have done to the last hours' traffic; nothing is laid."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    _check_own(key, body)
    by = signature(request, key, body)
    tried = await runtime.trying(wanted(body), by, body.hours, key.tenant)
    shown_as = _shown(runtime, Known(tried.override))
    return DryRunShown(version=tried.version, override=shown_as, report=dict(tried.report))


@router.get("/{override_id}", responses=_ERRORS)
async def show_override(request: Request, override_id: str) -> OverrideShown:
    """One override, in force or ended."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    try:
        return _shown(runtime, Known(runtime.operating.find(override_id, key.tenant)))
    except NotFound:
        found = await _known(runtime, override_id, key.tenant)
        if not found:
            raise
        return _shown(runtime, found[0])


@router.post("/{override_id}/renew", status_code=201, responses=_ERRORS)
async def renew_override(request: Request, override_id: str, body: RenewBody) -> OverrideShown:
    """Go on with an override as a new record; the one before ends as renewed. One that ends sooner
    is a lift in other words.
    """
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    by = signature(request, key, body)
    held = runtime.operating.find(override_id, key.tenant)
    sooner = runtime.clock.wall_us() + body.expires_in_s * 1e6 < held.expires_us
    lifts = sooner and not lifting_reduces(held)
    if approved(request) or lifts or not runtime.operating.reduces(held):
        raises = Raises("override.renew", held.id, held.expires_us)
        await raises_exposure(request, key, body, raises)
    override = await runtime.operating.renew(held.id, body.expires_in_s, by)
    return _shown(runtime, Known(override))


@router.post("/{override_id}/lift", responses=_ERRORS)
async def lift_override(
    request: Request, override_id: str, body: EndOverrideBody
) -> dict[str, str]:
    """End an override before its time."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    by = signature(request, key, body)
    held = runtime.operating.find(override_id, key.tenant)
    if not lifting_reduces(held):
        await raises_exposure(request, key, body, Raises("override.lift", held.id, laid(held)))
    override = await runtime.operating.lift(held.id, by)
    return {"id": override.id, "state": "lifted"}


def _shown(runtime: Runtime, known: Known) -> OverrideShown:
    return OverrideShown(**shown(known.override, runtime.clock.wall_us(), known.end))


async def _known(runtime: Runtime, override_id: str | None, tenant: str) -> list[Known]:
    """From the log, the newest first."""
    cursor = runtime.kept.database.cursor()
    try:
        return await asyncio.to_thread(known_overrides, cursor, override_id, MOST_SHOWN, tenant)
    except StorageError:
        raise StorageUnavailable(
            "the log cannot be read now; try again soon", retry_after_s=5.0
        ) from None
