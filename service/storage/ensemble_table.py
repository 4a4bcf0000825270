"""The table of ensemble decisions: its columns in order, the kind of each."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.ensembles import Ensembled
from service.storage.learned_from import Columns

COLUMNS: Columns = (
    ("decision_id", "text"), ("ts", "time"), ("ensemble", "text"), ("digest", "text"),
    ("episode", "int"), ("task", "text"), ("arm", "text"), ("probability", "real"),
    ("members", "texts"), ("numbers", "ints"), ("states", "texts"), ("votes", "texts"),
    ("weights", "reals"), ("aggregator", "text"), ("chosen", "int"), ("deployment", "text"),
    ("tied", "flag"), ("stopped", "text"), ("why", "text"), ("cost_micro_usd", "long"),
    ("beside_micro_usd", "long"), ("multiplier", "real"), ("latency_s", "real"),
)  # fmt: skip
ENSEMBLES: Mapping[type, tuple[str, Columns, tuple[str, ...]]] = {
    Ensembled: (
        "ensembles", COLUMNS, tuple("at_us" if name == "ts" else name for name, _ in COLUMNS)
    )
}  # fmt: skip
