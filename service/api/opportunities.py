"""The route of what could be saved: found, or changes tried together, from the history."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from experiments.errors import ExperimentError
from experiments.opportunities.changes import in_order, parse
from service.api.access import allowed
from service.api.costs import span_us
from service.api.schemas import ErrorAnswer
from service.config import child_environment
from service.domain.errors import StorageUnavailable, Unprocessable
from service.feedback.child import run_child
from service.reporting.opportunities import FOUND, Wanted, write_asked

router = APIRouter(prefix="/admin/costs/opportunities")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
CHILD = (sys.executable, "-m", "service.reporting.opportunities", ".")
LIMIT_S = 120
Moment = Annotated[datetime | None, Query()]
Changes = Annotated[Sequence[str], Query(max_length=20)]


@router.get("", responses=_ERRORS)
async def opportunities(
    request: Request, since: Moment = None, until: Moment = None, change: Changes = ()
) -> dict[str, Any]:
    """What cheaper tiers, caches, batches and skipped checks would have saved in the last 28 days,
    with intervals; or, with ``change`` (as tier:code=mill, repeatable), what these would have
    saved together. By the published history, in a process of its own. A tenant's key sees its
    tenant's.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    since_us, until_us = span_us(runtime, since, until)
    try:
        in_order([parse(each) for each in change])
    except ExperimentError as error:
        raise Unprocessable(f"change: {error}", param="change") from None
    state = str(Path(runtime.kept.state_dir).resolve())
    wanted = Wanted(state, since_us, until_us, key.tenant or None, tuple(change))
    async with runtime.weighing:
        with tempfile.TemporaryDirectory(prefix="headgate-weighing-") as name:
            folder = Path(name)
            write_asked(folder, wanted)
            failed = await run_child(CHILD, folder, LIMIT_S, child_environment())
            if failed:
                raise StorageUnavailable(
                    f"this could not be found: {failed}; ask for a shorter time", retry_after_s=5.0
                )
            content = await asyncio.to_thread((folder / FOUND).read_text, "utf-8")
    found: dict[str, Any] = json.loads(content)
    if "error" in found:
        raise StorageUnavailable(str(found["error"]), retry_after_s=60.0)
    return found
