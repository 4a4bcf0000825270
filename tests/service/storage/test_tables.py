"""Every record goes into its table and comes back as it was."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from service.domain.clock import new_id
from service.domain.records import (
    Attempt,
    Caller,
    Candidates,
    Decision,
    Disqualified,
    ErrorKind,
    Feedback,
    Mode,
    Outcome,
    PolicyMark,
    Role,
    Usage,
)  # fmt: skip
from service.storage.cases import Case, read_case
from service.storage.database import Database, migrations
from service.storage.tables import NAMES, TABLES

NOW = int(time.time() * 1e6)


def decision(**more: object) -> Decision:
    fields: dict[str, object] = {
        "id": new_id(), "at_us": NOW, "task": "code", "task_confidence": 1.0,
        "caller": Caller("key", "acme", "basic", "search", ("a", "b"), "u1", "s1"),
        "task_source": "rule", "prompt_hash": "ab", "tokens_in": 10, "tokens_out_limit": 0,
        "features": np.arange(5, dtype=np.float32) / 3, "cost_dial": 1.0, "stream": False,
        "candidates": Candidates(("x", "y"), (0.1, 0.9), (0.5, 0.6), (1e-5, 2e-5), (0.1, 0.2),
                                 (0.0, 0.01), (0.4, 0.5)),
        "disqualified": (Disqualified("z", "context_window"),), "draw": 0.3, "deployment": "y",
        "propensity": 0.9, "mode": Mode.RANDOMISED, "reason": "policy",
        "policy": PolicyMark("default", "v", "c", 7),
    }  # fmt: skip
    return Decision(**(fields | more))  # type: ignore[arg-type]


def attempt(of: Decision, **more: object) -> Attempt:
    made = Attempt(of.id, 1, NOW, "y", "prov", Role.FIRST, 503, ErrorKind.SERVER, None, 0.25,
                   Usage(1, 2, 0, 3, True))  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def outcome(of: Decision) -> Outcome:
    return Outcome(of.id, NOW, "x", Mode.FALLBACK, 200, None, 1.5, 0.2, 0.001, 2, Usage(1, 2, 0, 3))


def feedback(of: Decision, **more: object) -> Feedback:
    made = Feedback(new_id(), of.id, NOW, "rating", "user", "key", 0.5, None, 0.5, "y", None,
                    "once", "because", ("t",))  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def same(one: Decision, two: Decision) -> bool:
    assert one.features.tobytes() == two.features.tobytes()
    nothing = np.zeros(0, np.float32)
    return replace(one, features=nothing) == replace(two, features=nothing)


def test_columns_match_the_schema() -> None:
    database = Database(None)
    for table in TABLES.values():
        rows = database.cursor().execute(f"DESCRIBE {table.name}").fetchall()
        assert [row[0] for row in rows] == ["log_seq", *table.columns], table.name
    assert len(NAMES) == len(set(NAMES)) == len(TABLES)
    assert len(migrations()) >= 1


@pytest.mark.parametrize("empty", [False, True])
def test_a_case_comes_back_as_it_was(empty: bool) -> None:
    database = Database(None)
    made = decision(candidates=Candidates(("x",), (1.0,)), disqualified=()) if empty else decision()
    calls = [attempt(made), attempt(made, number=2, status=200, error_kind=None, ttft_s=0.1)]
    end = outcome(made)
    first = feedback(made)
    second = feedback(made, value=1.0, quality=1.0, revises=first.id)
    for start, record in enumerate((made, *calls, end, first, second), start=1):
        table = TABLES[type(record)]
        database.write({table.name: table.batch([table.row(record)], start)})
    found = read_case(database.cursor(), made.id)
    assert found is not None and same(found.decision, made)
    expected = Case(made, calls, end, {("rating", "user", "key"): second})
    assert (found.attempts, found.outcome, found.feedback) == (
        expected.attempts, expected.outcome, expected.feedback,
    )  # fmt: skip
    assert read_case(database.cursor(), new_id()) is None
