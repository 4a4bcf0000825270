"""Each record's table: its columns in order, and how a record becomes a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from service.domain import alerts as alert
from service.domain import experiments as x
from service.domain import records as r
from service.domain.approvals import Approval, ApprovalEnd
from service.domain.capability import BenchmarkCell
from service.domain.experiments import Assigned
from service.domain.judging import JudgeCheck, Judging
from service.domain.knowledge import Entry
from service.domain.prediction import CheckDrawn, Predicted
from service.domain.refusals import Refusal, Review, ReviewDecision
from service.domain.reviews import ReviewItem, ReviewTurn
from service.storage.judging_tables import JUDGE_CHECKS, JUDGINGS, fields
from service.storage.learned_from import LEARNED_FROM
from service.storage.money_tables import MONEY
from service.storage.prediction_tables import CHECKS_DRAWN, PREDICTIONS
from service.storage.workflow_tables import WORKFLOWS, attributes

_TEXT, _LONG, _INT, _REAL, _FLAG = pa.string(), pa.int64(), pa.int32(), pa.float64(), pa.bool_()
_TIME = pa.timestamp("us")
_TEXTS, _REALS, _VECTOR = pa.list_(_TEXT), pa.list_(_REAL), pa.list_(pa.float32())

_KINDS = {"text": _TEXT, "time": _TIME, "int": _INT, "long": _LONG, "real": _REAL,
          "vector": _VECTOR}  # fmt: skip

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the log."""

    name: str
    columns: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    row: Callable[[Any], Row]

    def batch(self, rows: Sequence[Row], first_seq: int) -> pa.Table:
        """The rows as an Arrow table, numbered from ``first_seq``."""
        arrays = [pa.array(range(first_seq, first_seq + len(rows)), _LONG)]
        for kind, values in zip(self.types, zip(*rows, strict=True), strict=True):
            arrays.append(_vectors(values) if kind is _VECTOR else pa.array(values, kind))
        return pa.Table.from_arrays(arrays, names=["log_seq", *self.columns])


def _vectors(values: Sequence[Any]) -> pa.Array:
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    flat = np.concatenate(values) if offsets[-1] else np.zeros(0, np.float32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.float32()))


def _table(
    name: str, columns: Sequence[tuple[str, pa.DataType]], row: Callable[[Any], Row]
) -> Table:
    return Table(name, tuple(c for c, _ in columns), tuple(t for _, t in columns), row)


def _decision(d: r.Decision) -> Row:
    who, c, p = d.caller, d.candidates, d.policy
    return (
        d.id, d.at_us, who.key_id, who.tenant, who.tier, who.feature, who.tags, who.unit,
        who.session, d.task, d.task_confidence, d.task_source, d.prompt_hash, d.features,
        d.tokens_in, d.tokens_out_limit, d.cost_dial, d.stream, c.names, c.propensities,
        c.quality, c.cost_usd, c.latency_s, c.error_rate, c.utility,
        [x.deployment for x in d.disqualified], [x.reason for x in d.disqualified],
        d.draw, d.deployment, d.propensity, d.mode.value, d.reason, p.name, p.version_id,
        p.checkpoint_id, p.update_seq, d.override_id, d.session_decision_id,
        *(_assigned(d.assigned) if d.assigned else _UNASSIGNED),
    )  # fmt: skip


_UNASSIGNED: Row = (None, None, None, (), (), (), ())


def _assigned(assigned: Sequence[Assigned]) -> Row:
    """The first of each alone, then the lists."""
    first = assigned[0]
    return (
        first.experiment, first.variant, first.probability, [a.experiment for a in assigned],
        [a.variant for a in assigned], [a.probability for a in assigned],
        [a.unit for a in assigned],
    )  # fmt: skip


def _attempt(a: r.Attempt) -> Row:
    u = a.usage
    return (
        a.decision_id, a.number, a.at_us, a.deployment, a.provider, a.role.value, a.status,
        a.error_kind and a.error_kind.value, a.ttft_s, a.latency_s, u.tokens_in, u.tokens_out,
        u.cached_tokens, u.cost_micro_usd, u.estimated,
    )  # fmt: skip


def _outcome(o: r.Outcome) -> Row:
    u = o.usage
    return (
        o.decision_id, o.at_us, o.deployment, o.mode.value, o.status,
        o.error_kind and o.error_kind.value, o.latency_s, o.ttft_s, o.overhead_s, o.attempts,
        u.tokens_in, u.tokens_out, u.cached_tokens, u.cost_micro_usd, u.estimated,
    )  # fmt: skip


def _feedback(f: r.Feedback) -> Row:
    return (
        f.id, f.decision_id, f.at_us, f.metric, f.kind, f.author, f.value, f.label, f.quality,
        f.deployment, f.revises, f.idempotency_key, f.reason, f.tags,
    )  # fmt: skip


def _update(u: r.Update) -> Row:
    return (
        u.seq, u.at_us, u.decision_id or None, u.decided_us, u.arm, u.kind, u.quality,
        u.revises_quality, u.cost_usd, u.latency_s, u.tokens_out, u.failed, u.feedback_id,
        u.version_id, u.model_id, u.weight, u.revises_weight,
    )  # fmt: skip


def _entry(e: Entry) -> Row:
    return (
        e.id, e.at_us, e.source, e.subject, e.title, e.hypothesis, json.dumps(dict(e.design)),
        json.dumps(dict(e.result)), e.decision, e.why, e.author, json.dumps(dict(e.links)), e.tags,
        e.supersedes, e.occasion,
    )  # fmt: skip


def _plain(*names: str) -> Callable[[Any], Row]:
    return lambda record: tuple(getattr(record, name) for name in names)


_USAGE = [("tokens_in", _LONG), ("tokens_out", _LONG), ("cached_tokens", _LONG),
          ("cost_micro_usd", _LONG), ("estimated", _FLAG)]  # fmt: skip

_DECISIONS = [
    ("id", _TEXT), ("ts", _TIME), ("key_id", _TEXT), ("tenant", _TEXT), ("tier", _TEXT),
    ("feature", _TEXT), ("tags", _TEXTS), ("unit", _TEXT), ("session", _TEXT), ("task", _TEXT),
    ("task_confidence", _REAL), ("task_source", _TEXT), ("prompt_hash", _TEXT),
    ("features", _VECTOR), ("tokens_in", _LONG), ("tokens_out_limit", _LONG),
    ("cost_dial", _REAL), ("stream", _FLAG), ("eligible", _TEXTS), ("propensities", _REALS),
    ("quality", _REALS), ("cost_usd", _REALS), ("latency_s", _REALS), ("error_rate", _REALS),
    ("utility", _REALS), ("disqualified", _TEXTS), ("disqualified_by", _TEXTS), ("draw", _REAL),
    ("deployment", _TEXT), ("propensity", _REAL), ("mode", _TEXT), ("reason", _TEXT),
    ("policy", _TEXT), ("version_id", _TEXT), ("checkpoint_id", _TEXT), ("update_seq", _LONG),
    ("override_id", _TEXT), ("session_decision_id", _TEXT), ("experiment", _TEXT),
    ("variant", _TEXT), ("variant_probability", _REAL), ("experiments", _TEXTS),
    ("variants", _TEXTS), ("variant_probabilities", _REALS), ("units", _TEXTS),
]  # fmt: skip

_ATTEMPTS = [
    ("decision_id", _TEXT), ("number", _INT), ("ts", _TIME), ("deployment", _TEXT),
    ("provider", _TEXT), ("role", _TEXT), ("status", _INT), ("error_kind", _TEXT),
    ("ttft_s", _REAL), ("latency_s", _REAL), *_USAGE,
]  # fmt: skip

_OUTCOMES = [
    ("decision_id", _TEXT), ("ts", _TIME), ("deployment", _TEXT), ("mode", _TEXT),
    ("status", _INT), ("error_kind", _TEXT), ("latency_s", _REAL), ("ttft_s", _REAL),
    ("overhead_s", _REAL), ("attempts", _INT), *_USAGE,
]  # fmt: skip

_FEEDBACK = [
    ("id", _TEXT), ("decision_id", _TEXT), ("ts", _TIME), ("metric", _TEXT), ("kind", _TEXT),
    ("author", _TEXT), ("value", _REAL), ("label", _TEXT), ("quality", _REAL),
    ("deployment", _TEXT), ("revises", _TEXT), ("idempotency_key", _TEXT), ("reason", _TEXT),
    ("tags", _TEXTS),
]  # fmt: skip

_UPDATES = [
    ("seq", _LONG), ("ts", _TIME), ("decision_id", _TEXT), ("decided_at", _TIME), ("arm", _TEXT),
    ("kind", _TEXT), ("quality", _REAL), ("revises_quality", _REAL), ("cost_usd", _REAL),
    ("latency_s", _REAL), ("tokens_out", _LONG), ("failed", _FLAG), ("feedback_id", _TEXT),
    ("version_id", _TEXT), ("model_id", _TEXT), ("weight", _REAL), ("revises_weight", _REAL),
]  # fmt: skip

_WEIGHTS = [
    ("ts", _TIME), ("task", _TEXT), ("deployment", _TEXT), ("share", _REAL), ("quality", _REAL),
    ("cost_usd", _REAL), ("latency_s", _REAL), ("error_rate", _REAL), ("utility", _REAL),
    ("contexts", _INT), ("update_seq", _LONG), ("why", _TEXT), ("state", _TEXT),
]  # fmt: skip


def _texts(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, _TIME if name == "ts" or name.endswith("_at") else _TEXT) for name in names]


_ACT = ("actor", "act", "subject", "reason", "detail", "author", "role", "key_id", "ip",
        "request_id", "before", "after")  # fmt: skip
_ASKED = ("kind", "act", "subject", "standing", "method", "path", "body", "reason", "author",
          "actor", "role", "key_id", "ip", "request_id", "needs")  # fmt: skip
_REFUSED = ("key_id", "tenant", "tier", "unit", "task", "deployment", "provider", "word")

_BENCHMARKED = ("quality_mean", "quality_var", "latency_mean_s", "latency_var",
                "cost_mean_micro_usd", "cost_var", "error_rate")  # fmt: skip

TABLES: Mapping[type, Table] = {
    r.Decision: _table("decisions", _DECISIONS, _decision),
    r.Attempt: _table("attempts", _ATTEMPTS, _attempt),
    r.Outcome: _table("outcomes", _OUTCOMES, _outcome),
    r.Feedback: _table("feedback", _FEEDBACK, _feedback),
    r.Update: _table("updates", _UPDATES, _update),
    r.Weight: _table(
        "weights",
        _WEIGHTS,
        _plain(
            "at_us", "task", "deployment", "share", "quality", "cost_usd", "latency_s",
            "error_rate", "utility", "contexts", "update_seq", "why", "state",
        ),
    ),
    r.Version: _table(
        "versions",
        _texts("id", "ts", "policy", "kind", "parameters", "parent", "author", "reason"),
        _plain("id", "at_us", "policy", "kind", "parameters", "parent", "author", "reason"),
    ),
    r.Checkpoint: _table(
        "checkpoints",
        [*_texts("id", "ts", "version_id"), ("update_seq", _LONG), ("sha256", _TEXT),
         ("size_bytes", _LONG)],
        _plain("id", "at_us", "version_id", "update_seq", "sha256", "size_bytes"),
    ),
    r.Override: _table(
        "overrides",
        [*_texts("id", "ts", "action", "deployment", "task", "reason", "author", "starts_at",
                 "expires_at", "tenant", "tier", "target"), ("least", _REAL), ("greatest", _REAL),
         ("usd", _REAL), *_texts("ticket", "renews")],
        _plain("id", "at_us", "action", "deployment", "task", "reason", "author", "starts_us",
               "expires_us", "tenant", "tier", "target", "least", "greatest", "usd", "ticket",
               "renews"),
    ),
    r.OverrideEnd: _table(
        "override_ends",
        _texts("override_id", "ts", "how", "author", "reason"),
        _plain("override_id", "at_us", "how", "author", "reason"),
    ),
    r.Act: _table(
        "acts",
        _texts("id", "ts", *_ACT, "prev_hash", "hash"),
        lambda act: (act.id, act.at_us, *(getattr(act, name) for name in _ACT), "", ""),
    ),
    r.Key: _table(
        "keys",
        [*_texts("id", "ts", "name", "role", "tenant", "tier", "digest"), ("revoked", _FLAG),
         *_texts("expires_at", "old_digest", "old_ends_at")],
        _plain("id", "at_us", "name", "role", "tenant", "tier", "digest", "revoked", "expires_us",
               "old_digest", "old_ends_us"),
    ),
    Approval: _table(
        "approvals",
        _texts("id", "ts", *_ASKED, "expires_at"),
        _plain("id", "at_us", *_ASKED, "expires_us"),
    ),
    ApprovalEnd: _table(
        "approval_ends",
        _texts("approval_id", "ts", "how", "actor", "author", "key_id", "reason"),
        _plain("approval_id", "at_us", "how", "actor", "author", "key_id", "reason"),
    ),
    Refusal: _table(
        "refusals",
        _texts("id", "ts", "decision_id", "prompt_hash", "request_hash", *_REFUSED, "repeat_of"),
        _plain("id", "at_us", "decision_id", "prompt_hash", "request_hash", *_REFUSED,
               "repeat_of"),
    ),
    Review: _table(
        "reviews",
        _texts("id", "ts", "incident", "decision_id", "request_hash", *_REFUSED, "due_at"),
        _plain("id", "at_us", "incident", "decision_id", "request_hash", *_REFUSED, "due_us"),
    ),
    ReviewDecision: _table(
        "review_decisions",
        _texts("review_id", "ts", "verdict", "reviewer", "note"),
        _plain("review_id", "at_us", "verdict", "reviewer", "note"),
    ),
    ReviewItem: _table(
        "review_items",
        [*_texts("id", "ts", "kind", "subject", "why", "decision_id", "key_id", "tenant", "tier",
                 "task", "deployment"), ("confidence", _REAL), ("probability", _REAL),
         *_texts("due_at", "detail")],
        _plain("id", "at_us", "kind", "subject", "why", "decision_id", "key_id", "tenant", "tier",
               "task", "deployment", "confidence", "probability", "due_us", "detail"),
    ),
    ReviewTurn: _table(
        "review_turns",
        _texts("item_id", "ts", "turn", "key_id", "reviewer", "until_at", "verdict", "note",
               "idempotency_key"),
        _plain("item_id", "at_us", "turn", "key_id", "reviewer", "until_us", "verdict", "note",
               "idempotency_key"),
    ),
    x.ExperimentRecord: _table(
        "experiments",
        [*_texts("id", "ts", "slug"), ("version", _INT), ("layer", _TEXT), ("first", _INT),
         ("stop", _INT), *_texts("design", "author", "reason")],
        _plain("id", "at_us", "slug", "version", "layer", "first", "stop", "design", "author",
               "reason"),
    ),
    x.ExperimentStep: _table(
        "experiment_steps",
        [*_texts("id", "experiment", "ts", "step", "before", "after"), ("percent", _INT),
         *_texts("variant", "author", "reason", "cause")],
        _plain("id", "experiment", "at_us", "step", "before", "after", "percent", "variant",
               "author", "reason", "cause"),
    ),
    x.Promotion: _table(
        "promotions",
        _texts("id", "ts", "version_id", "from_version_id", "checkpoint_id", "restored_id", "how",
               "author", "reason", "cause"),
        _plain("id", "at_us", "version_id", "from_version_id", "checkpoint_id", "restored_id",
               "how", "author", "reason", "cause"),
    ),
    x.Shadow: _table(
        "shadows",
        [*_texts("id", "ts", "version_id"), ("share", _REAL), ("mirror_share", _REAL),
         ("cap_micro_usd", _LONG), *_texts("judge", "author", "reason")],
        _plain("id", "at_us", "version_id", "share", "mirror_share", "cap_micro_usd", "judge",
               "author", "reason"),
    ),
    x.ShadowEnd: _table(
        "shadow_ends",
        _texts("shadow_id", "ts", "author", "reason"),
        _plain("shadow_id", "at_us", "author", "reason"),
    ),
    x.ShadowDecision: _table(
        "shadow_decisions",
        [*_texts("decision_id", "ts", "version_id"), ("update_seq", _LONG), ("deployment", _TEXT),
         ("propensity", _REAL), ("eligible", _TEXTS), ("propensities", _REALS), ("draw", _REAL),
         ("quality", _REALS), ("cost_usd", _REALS), ("mirrored", _FLAG)],
        _plain("decision_id", "at_us", "version_id", "update_seq", "deployment", "propensity",
               "eligible", "propensities", "draw", "quality", "cost_usd", "mirrored"),
    ),
    x.Judgement: _table(
        "judgements",
        [*_texts("id", "decision_id", "ts", "version_id", "served", "mirrored", "judge"),
         ("preference", _REAL), ("consistent", _FLAG), ("cost_micro_usd", _LONG)],
        _plain("id", "decision_id", "at_us", "version_id", "served", "mirrored", "judge",
               "preference", "consistent", "cost_micro_usd"),
    ),
    Judging: _table("judgings", JUDGINGS, _plain(*fields(JUDGINGS))),
    JudgeCheck: _table("judge_checks", JUDGE_CHECKS, _plain(*fields(JUDGE_CHECKS))),
    x.Evaluation: _table(
        "evaluations",
        [*_texts("id", "ts", "version_id", "since_at", "until_at"), ("passed", _FLAG),
         *_texts("reason", "report")],
        _plain("id", "at_us", "version_id", "since_us", "until_us", "passed", "reason", "report"),
    ),
    x.AuditMark: _table(
        "audit_marks",
        [("ts", _TIME), ("through_seq", _LONG), ("decisions", _LONG), ("log_e", _REAL),
         ("state", _TEXT)],
        _plain("at_us", "through_seq", "decisions", "log_e", "state"),
    ),
    alert.AlertEvent: _table(
        "alert_events",
        [*_texts("id", "ts", "alert_id", "step", "rule", "scope", "severity"), ("value", _REAL),
         ("threshold", _REAL), *_texts("text", "author", "reason", "detail")],
        _plain("id", "at_us", "alert_id", "step", "rule", "scope", "severity", "value",
               "threshold", "text", "author", "reason", "detail"),
    ),
    alert.Silence: _table(
        "silences",
        _texts("id", "ts", "rule", "scope", "until_at", "author", "reason"),
        _plain("id", "at_us", "rule", "scope", "until_us", "author", "reason"),
    ),
    alert.SilenceEnd: _table(
        "silence_ends",
        _texts("silence_id", "ts", "author", "reason"),
        _plain("silence_id", "at_us", "author", "reason"),
    ),
    Predicted: _table("predictions", PREDICTIONS, _plain(*fields(PREDICTIONS))),
    CheckDrawn: _table("checks_drawn", CHECKS_DRAWN, _plain(*fields(CHECKS_DRAWN))),
    Entry: _table(
        "knowledge",
        [*_texts("id", "ts", "source", "subject", "title", "hypothesis", "design", "result",
                 "decision", "why", "author", "links"), ("tags", _TEXTS),
         *_texts("supersedes", "occasion")],
        _entry,
    ),
    BenchmarkCell: _table(
        "benchmark_cells",
        [*_texts("run_id", "ts", "deployment", "task"), ("n", _LONG),
         *((name, _REAL) for name in _BENCHMARKED), ("version", _TEXT)],
        _plain("run_id", "at_us", "deployment", "task", "n", *_BENCHMARKED, "version"),
    ),
    **{t: _table(n, c, _plain(*attributes(c))) for t, (n, c) in WORKFLOWS.items()},
    **{
        record: _table(name, [(column, _KINDS[kind]) for column, kind in columns], _plain(*names))
        for record, (name, columns, names) in {**LEARNED_FROM, **MONEY}.items()
    },
}  # fmt: skip

NAMES = tuple(table.name for table in TABLES.values())
PRIVATE = ("keys",)  # kept in the published history for a restore, shown in no view
