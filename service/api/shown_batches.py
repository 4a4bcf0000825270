"""Files and batches as they are shown: OpenAI's shape, with what is ours under headgate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from service.batching.desk import Desk
from service.domain.batches import LIVE, PRIORITIES, Batch, BatchState, StoredFile
from service.runtime import Runtime


def seconds(at_us: int | None) -> int | None:
    """Whole seconds since the epoch."""
    return None if at_us is None else at_us // 1_000_000


def file_shown(file: StoredFile) -> dict[str, Any]:
    """A file."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": seconds(file.created_us),
        "expires_at": seconds(file.keep_until_us),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }


def batch_shown(batch: Batch, desk: Desk) -> dict[str, Any]:
    """A batch. ``headgate.latest_start``: when its requests are tried outside of the windows too,
    so that they are not late.
    """
    ended = {
        state: seconds(batch.ended_us) if batch.state is state else None
        for state in (BatchState.FAILED, BatchState.COMPLETED, BatchState.EXPIRED,
                      BatchState.CANCELLED)
    }  # fmt: skip
    live = batch.state in LIVE
    latest_us, opens_us = desk.times(batch) if live else (None, None)
    errors = json.loads(batch.errors)
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": batch.input_file,
        "completion_window": batch.window,
        "status": batch.state.value,
        "output_file_id": batch.output_file or None,
        "error_file_id": batch.error_file or None,
        "created_at": seconds(batch.created_us),
        "in_progress_at": None if ended[BatchState.FAILED] else seconds(batch.created_us),
        "expires_at": seconds(batch.deadline_us),
        "finalizing_at": ended[BatchState.COMPLETED],
        "completed_at": ended[BatchState.COMPLETED],
        "failed_at": ended[BatchState.FAILED],
        "expired_at": ended[BatchState.EXPIRED],
        "cancelling_at": seconds(batch.cancelling_us),
        "cancelled_at": ended[BatchState.CANCELLED],
        "request_counts": {
            "total": batch.total, "completed": batch.completed, "failed": batch.failed,
        },
        "metadata": json.loads(batch.metadata) or None,
        "headgate": {
            "priority": PRIORITIES[batch.priority],
            "latest_start": seconds(latest_us),
            "window_opens": seconds(opens_us),
            "erased_at": seconds(batch.keep_until_us),
        },
    }  # fmt: skip


def shown_load(runtime: Runtime) -> dict[str, Any]:
    """All batches together, as they stand now."""
    if runtime.batches is None:
        return {"enabled": False}
    load = runtime.batches.desk.load()
    return {
        "enabled": True, "live": load.live, "waiting": load.waiting, "running": load.running,
        "away": load.away,
        "seconds_each": load.each_s, "least_slack_s": load.slack_s,
        "open": load.open, "window_opens": seconds(load.opens_us),
        "results": dict(runtime.batches.results),
    }  # fmt: skip


def page(found: Sequence[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of a list; one more than the limit was asked for, to know of more."""
    shown = list(found[:limit])
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }
