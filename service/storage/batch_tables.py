"""The table of the requests of batches: its columns in order, and the fields that fill them."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.batches import BatchLine

Columns = tuple[tuple[str, str], ...]  # each with its kind: text, time or long

BATCHES: Mapping[type, tuple[str, Columns, tuple[str, ...]]] = {
    BatchLine: (
        "batch_requests",
        (("batch_id", "text"), ("number", "long"), ("ts", "time"), ("key_id", "text"),
         ("tenant", "text"), ("endpoint", "text"), ("decision_id", "text"),
         ("deployment", "text"), ("way", "text"), ("hours", "text"), ("result", "text"),
         ("code", "text"), ("tries", "long"), ("tokens_in", "long"), ("tokens_out", "long"),
         ("paid_micro_usd", "long"), ("list_micro_usd", "long")),
        ("batch_id", "number", "at_us", "key_id", "tenant", "endpoint", "decision_id",
         "deployment", "way", "hours", "result", "code", "tries", "tokens_in", "tokens_out",
         "paid_micro_usd", "list_micro_usd"),
    ),
}  # fmt: skip
