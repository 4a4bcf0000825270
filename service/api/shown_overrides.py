"""Overrides as they are shown."""

from __future__ import annotations

from typing import Any

from service.api.shown import when
from service.domain.records import Override, OverrideEnd
from service.domain.will import Action
from service.operating.overrides import words
from service.runtime import Runtime


def override(record: Override, now_us: int, end: OverrideEnd | None = None) -> dict[str, Any]:
    """An override, in force unless it has an end."""
    left_s = 0.0 if end else max((record.expires_us - now_us) / 1e6, 0.0)
    return {
        "id": record.id,
        "action": record.action,
        "deployment": record.deployment or None,
        "task": record.task or None,
        "tenant": record.tenant or None,
        "tier": record.tier or None,
        "version": record.target if record.action == Action.PIN else None,
        "experiment": record.target if record.action == Action.KILL_EXPERIMENT else None,
        "least": record.least,
        "greatest": record.greatest,
        "usd": record.usd,
        "words": words(record),
        "reason": record.reason,
        "author": record.author,
        "ticket": record.ticket or None,
        "renews": record.renews,
        "set_at": when(record.starts_us),
        "expires_at": when(record.expires_us),
        "left_s": left_s,
        "ended_at": when(end.at_us) if end else None,
        "how": end.how if end else None,
        "ended_by": end.author if end else None,
        "end_reason": end.reason if end else None,
    }


def override_troubles(runtime: Runtime) -> list[str]:
    """What of the operators' will is not in effect, or is in effect and not yet durable."""
    return [
        *(f"the version pinned by override {each} does not draw yet: {why}"
          for each, why in runtime.operating.troubles.items()),
        *runtime.operating.warnings(),
    ]  # fmt: skip
