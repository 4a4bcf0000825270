"""The table of answers given again: its columns in order, and the fields that fill them."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.caching import CachedAnswer

Columns = tuple[tuple[str, str], ...]  # each with its kind: text, time, real or long

CACHED: Mapping[type, tuple[str, Columns, tuple[str, ...]]] = {
    CachedAnswer: (
        "cached_answers",
        (("decision_id", "text"), ("ts", "time"), ("source_decision_id", "text"),
         ("deployment", "text"), ("task", "text"), ("tenant", "text"), ("kind", "text"),
         ("age_s", "real"), ("saved_micro_usd", "long"), ("tokens_in", "long"),
         ("tokens_out", "long")),
        ("decision_id", "at_us", "source_decision_id", "deployment", "task", "tenant", "kind",
         "age_s", "saved_micro_usd", "tokens_in", "tokens_out"),
    ),
}  # fmt: skip
