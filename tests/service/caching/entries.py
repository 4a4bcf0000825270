"""Entries for the tests of this room."""

from __future__ import annotations

from typing import Any

from service.caching.shelf import Entry


def entry(fingerprint: str = "f", deployment: str = "a", **more: Any) -> Entry:
    """One, kept at the beginning, of a hundred bytes, that lives for a hundred seconds."""
    fields: dict[str, Any] = {
        "name": f"{fingerprint}/{deployment}", "fingerprint": fingerprint, "scope": "s",
        "deployment": deployment, "mark": "m", "task": "other", "tenant": "", "owner": "",
        "tags": (), "tail": b"x" * 100, "stored_s": 1_000.0, "stored_us": 10, "dies_s": 1_100.0,
        "most_s": 1e9, "source": f"d-{fingerprint}-{deployment}", "cost_micro_usd": 5,
        "tokens_in": 1, "tokens_out": 2,
    }  # fmt: skip
    return Entry(**(fields | more))
