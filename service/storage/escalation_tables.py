"""The tables of climbs: where requests began, and the verdict of each call."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.escalation import ClimbStart, RungVerdict
from service.storage.learned_from import Columns

# Of each record the table, its columns, and the fields that fill them.
CLIMBS: Mapping[type, tuple[str, Columns, tuple[str, ...]]] = {
    ClimbStart: (
        "climb_starts",
        (("decision_id", "text"), ("ts", "time"), ("task", "text"), ("began", "text"),
         ("probability", "real"), ("rungs", "texts"), ("level", "int")),
        ("decision_id", "at_us", "task", "began", "probability", "rungs", "level"),
    ),
    RungVerdict: (
        "rung_verdicts",
        (("decision_id", "text"), ("ts", "time"), ("number", "int"), ("rung", "int"),
         ("deployment", "text"), ("fault", "text"), ("foreseen", "real"), ("logprob", "real"),
         ("verified", "real"), ("judged", "real"), ("below", "real"), ("chance", "real"),
         ("act", "text"), ("settled_by", "text"), ("onward", "text"), ("gain_usd", "real"),
         ("probability", "real"), ("skipped", "texts"), ("rule", "text"), ("rated", "long"),
         ("cost_micro_usd", "long"), ("check_micro_usd", "long"), ("latency_s", "real")),
        ("decision_id", "at_us", "number", "rung", "deployment", "trigger", "foreseen", "logprob",
         "verified", "judged", "below", "chance", "act", "by", "onward", "gain_usd",
         "probability", "skipped", "rule", "rated", "cost_micro_usd", "check_micro_usd",
         "latency_s"),
    ),
}  # fmt: skip
