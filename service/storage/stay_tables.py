"""The table of break-evens: whether a conversation should leave the deployment that holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain.staying import Stay

# Of the record the table, its columns with the kind of each, and the fields that fill them.
STAYS: Mapping[type, tuple[str, Sequence[tuple[str, str]], Sequence[str]]] = {
    Stay: (
        "stays",
        (("decision_id", "text"), ("ts", "time"), ("session_decision_id", "text"),
         ("held", "text"), ("best", "text"), ("gain", "real"), ("spread", "real"),
         ("turns", "real"), ("prefix_tokens", "long"), ("cached_share", "real"),
         ("cache_usd", "real"), ("reread_s", "real"), ("lost", "real"), ("value", "real"),
         ("verdict", "text"), ("probability", "real")),
        ("decision_id", "at_us", "session_decision_id", "held", "best", "gain", "spread", "turns",
         "prefix_tokens", "cached_share", "cache_usd", "reread_s", "lost", "value", "verdict",
         "probability"),
    ),
}  # fmt: skip
