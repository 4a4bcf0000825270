"""The tables of what people's word counts: weights of ratings, trust, what a label is of."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.ratings import RatingWeight, TrustStep
from service.domain.reviews import ClassifiedFeatures

Columns = tuple[tuple[str, str], ...]  # each with its kind: text, time, real or vector

# Of each record the table, its columns, and the fields that fill them.
LEARNED_FROM: Mapping[type, tuple[str, Columns, tuple[str, ...]]] = {
    RatingWeight: (
        "rating_weights",
        (("feedback_id", "text"), ("ts", "time"), ("decision_id", "text"), ("decided_at", "time"),
         ("author", "text"), ("rater", "text"), ("tenant", "text"), ("arm", "text"),
         ("task", "text"), ("kind", "text"), ("weight", "real"), ("trust", "real"),
         ("reason", "text")),
        ("feedback_id", "at_us", "decision_id", "decided_us", "author", "rater", "tenant", "arm",
         "task", "kind", "weight", "trust", "reason"),
    ),
    TrustStep: (
        "trust_steps",
        (("feedback_id", "text"), ("ts", "time"), ("author", "text"), ("rater", "text"),
         ("reference", "text"), ("agreement", "real"), ("weight", "real")),
        ("feedback_id", "at_us", "author", "rater", "reference", "agreement", "weight"),
    ),
    ClassifiedFeatures: (
        "classified_features",
        (("item_id", "text"), ("ts", "time"), ("features_version", "text"), ("features", "vector")),
        ("item_id", "at_us", "features_version", "features"),
    ),
}  # fmt: skip
