"""Small published histories with a known truth, written straight into the log's tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from service.domain.knowledge import Entry
from service.storage.database import FILE, Database
from service.storage.history import Publisher

NAMES = ("brook", "granite", "sage")
TASKS = ("extract", "write")
LAST_MONDAY = datetime(2026, 11, 16, tzinfo=UTC)  # the last week is 2026-W47
SHAPE = np.array([1.1, 1.1, 1.05, 1.05, 1.0, 0.5, 0.45])
VERSION = "v1"


@dataclass(frozen=True)
class Truth:
    """``cost`` and ``quality`` by deployment; ``changed`` replaces the cost in the last week."""

    a_day: int = 300
    weeks: int = 3
    rated: float = 0.3
    cost: Mapping[str, float] = field(
        default_factory=lambda: {"brook": 0.001, "granite": 0.001, "sage": 0.001}
    )
    quality: Mapping[str, float] = field(
        default_factory=lambda: {"brook": 0.8, "granite": 0.8, "sage": 0.8}
    )
    last_cost: float = 1.0
    last_latency: float = 1.0
    fallback: float = 0.0
    repeats: float = 0.0
    foretold: float = 1.0
    skip_days: tuple[int, ...] = ()
    worth_usd: float = 0.05
    seed: int = 7
    tried: tuple[Entry, ...] = ()


def write(state: Path, truth: Truth) -> None:
    """Publish the history that the truth makes."""
    database = Database(state / FILE)
    cursor = database.cursor()
    columns = _decisions(truth)
    rows = len(columns["id"])
    decisions = pa.table({name: columns[name] for name in columns if not name.startswith("_")})
    cursor.register("given", decisions)
    cursor.execute("INSERT INTO decisions BY NAME SELECT * FROM given")
    cursor.unregister("given")
    _insert(cursor, "outcomes", _outcomes(columns, rows))
    _insert(cursor, "feedback", _feedback(columns, truth, 2 * rows))
    scale = json.dumps({"scale": {"worth_usd": truth.worth_usd, "patience_s": 30.0}})
    cursor.execute(
        f"INSERT INTO versions VALUES ({3 * rows + 1}, '{VERSION}', '2026-10-01', 'thompson', "
        f"'thompson', '{scale}', NULL, 'plan', '')"
    )
    for at, each in enumerate(truth.tried):
        _insert(cursor, "knowledge", _entry(each, 3 * rows + 2 + at))
    Publisher(database, state).publish(3 * rows + 10, LAST_MONDAY.timestamp() + 60 * 86_400)
    database.close()


def _insert(cursor: object, name: str, columns: Mapping[str, object]) -> None:
    cursor.register("given", pa.table(dict(columns)))  # type: ignore[attr-defined]
    cursor.execute(f"INSERT INTO {name} BY NAME SELECT * FROM given")  # type: ignore[attr-defined]
    cursor.unregister("given")  # type: ignore[attr-defined]


def _entry(entry: Entry, seq: int) -> dict[str, object]:
    told = {name: [getattr(entry, name)] for name in (
        "id", "source", "subject", "title", "hypothesis", "decision", "why", "author",
        "supersedes", "occasion",
    )}  # fmt: skip
    held = {name: [json.dumps(getattr(entry, name))] for name in ("design", "result", "links")}
    at = datetime.fromtimestamp(entry.at_us / 1e6, UTC).replace(tzinfo=None)
    return told | held | {"ts": [at], "log_seq": [seq], "tags": [list(entry.tags)]}


def _decisions(truth: Truth) -> dict[str, object]:
    rng = np.random.default_rng(truth.seed)
    monday = LAST_MONDAY - timedelta(days=7 * (truth.weeks - 1))
    days = [day for day in range(7 * truth.weeks) if day not in truth.skip_days]
    counts = {day: int(rng.poisson(truth.a_day * SHAPE[day % 7])) for day in days}
    day = np.repeat(list(counts), list(counts.values()))
    number = len(day)
    seconds = rng.uniform(0, 86_400, number)
    order = np.lexsort((seconds, day))
    day, seconds = day[order], seconds[order]
    at = [
        monday + timedelta(days=int(d), seconds=float(s)) for d, s in zip(day, seconds, strict=True)
    ]
    task = rng.choice(TASKS, number, p=(0.7, 0.3))
    shares = np.array([0.5, 0.3, 0.2])
    arm = rng.choice(3, number, p=shares)
    last = day >= 7 * (truth.weeks - 1)
    lift = np.where(last, truth.last_cost, 1.0)
    costs = np.array([truth.cost[name] for name in NAMES])
    means = np.array([truth.quality[name] for name in NAMES])
    cost = costs[arm] * lift * rng.gamma(8.0, 1.0 / 8.0, number)
    slower = np.where(last & (seconds > 9 * 3600) & (seconds < 12 * 3600), truth.last_latency, 1.0)
    fell = (rng.random(number) < truth.fallback) & (arm == 1)
    again = rng.random(number) < truth.repeats
    hashes = [f"h{i}" for i in range(number)]
    for i in np.flatnonzero(again):
        hashes[i] = hashes[max(0, i - 1)]
    ids = [f"00000000-0000-7000-8000-{i:012x}" for i in range(number)]
    foretold = (costs[None, :] * truth.foretold).repeat(number, 0)
    texts = dict.fromkeys(("key_id", "tier", "feature", "unit", "session", "reason",
                           "checkpoint_id"), "")  # fmt: skip
    return {
        "log_seq": np.arange(1, number + 1), "id": ids,
        "ts": pa.array([a.replace(tzinfo=None) for a in at], pa.timestamp("us")),
        **{name: [value] * number for name, value in texts.items()},
        "tenant": rng.choice(["acme", "bolt"], number), "tags": [[]] * number, "task": task,
        "task_confidence": np.ones(number), "task_source": ["caller"] * number,
        "prompt_hash": hashes, "features": [[]] * number, "tokens_in": np.full(number, 100),
        "tokens_out_limit": np.full(number, 100), "cost_dial": np.zeros(number),
        "stream": np.zeros(number, bool), "eligible": [list(NAMES)] * number,
        "propensities": [shares.tolist()] * number, "quality": [means.tolist()] * number,
        "cost_usd": foretold.tolist(), "latency_s": [[1.0] * 3] * number,
        "error_rate": [[0.0] * 3] * number, "utility": [[0.0] * 3] * number,
        "disqualified": pa.array([[]] * number, pa.list_(pa.string())),
        "disqualified_by": pa.array([[]] * number, pa.list_(pa.string())),
        "draw": rng.random(number), "deployment": [NAMES[a] for a in arm],
        "propensity": shares[arm], "mode": ["randomised"] * number, "policy": ["thompson"] * number,
        "version_id": [VERSION] * number, "update_seq": np.zeros(number, np.int64),
        "_arm": arm, "_cost": cost * np.where(fell, 2.0, 1.0), "_fell": fell,
        "_latency": rng.lognormal(0.0, 0.4, number) * slower,
        "_quality": (rng.random(number) < means[arm]).astype(float),
        "_rated": rng.random(number) < truth.rated,
    }  # fmt: skip


def _outcomes(columns: Mapping[str, object], first: int) -> dict[str, object]:
    number = len(columns["id"])  # type: ignore[arg-type]
    fell = np.asarray(columns["_fell"])
    arm = np.asarray(columns["_arm"])
    return {
        "log_seq": np.arange(first + 1, first + number + 1), "decision_id": columns["id"],
        "ts": columns["ts"],
        "deployment": [NAMES[0 if f else a] for f, a in zip(fell, arm, strict=True)],
        "mode": ["fallback" if f else "randomised" for f in fell],
        "status": np.full(number, 200), "latency_s": columns["_latency"],
        "overhead_s": np.zeros(number), "attempts": np.where(fell, 2, 1),
        "tokens_in": np.full(number, 100), "tokens_out": np.full(number, 50),
        "cached_tokens": np.zeros(number, np.int64),
        "cost_micro_usd": np.maximum(1, np.round(np.asarray(columns["_cost"]) * 1e6)).astype(int),
        "estimated": np.zeros(number, bool),
    }  # fmt: skip


def _feedback(columns: Mapping[str, object], truth: Truth, first: int) -> dict[str, object]:
    rows = np.flatnonzero(np.asarray(columns["_rated"]))
    number = len(rows)
    ids = np.asarray(columns["id"])[rows]
    value = np.asarray(columns["_quality"])[rows]
    return {
        "log_seq": np.arange(first + 1, first + number + 1),
        "id": [each.replace("-7000-", "-7001-") for each in ids], "decision_id": ids.tolist(),
        "ts": columns["ts"].take(pa.array(rows)), "metric": ["stars"] * number,  # type: ignore[attr-defined]
        "kind": ["user"] * number, "author": ["key"] * number, "value": value, "quality": value,
        "reason": [""] * number, "tags": pa.array([[]] * number, pa.list_(pa.string())),
    }  # fmt: skip
