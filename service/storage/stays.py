"""A break-even read back from the log."""

from __future__ import annotations

from service.domain.staying import Stay
from service.storage.cases import rows_of, us
from service.storage.database import Cursor


def read_stay(cursor: Cursor, decision_id: str) -> Stay | None:
    """Whether the session of a decision should have left, where that was reckoned."""
    found = rows_of(
        cursor, "SELECT * FROM stays WHERE decision_id = ?::UUID LIMIT 1", [decision_id]
    )
    if not found:
        return None
    row = found[0]
    return Stay(
        str(row["decision_id"]), us(row["ts"]), str(row["session_decision_id"]), row["held"],
        row["best"], row["gain"], row["spread"], row["turns"], row["prefix_tokens"],
        row["cached_share"], row["cache_usd"], row["reread_s"], row["lost"], row["value"],
        row["verdict"], row["probability"],
    )  # fmt: skip
