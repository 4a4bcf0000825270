"""What a person looks up in the live log: sought decisions, acts by words, shares, spend."""

from __future__ import annotations

import pytest

from service.storage import lookups
from service.storage.cases import at_time
from service.storage.database import Database
from service.storage.lookups import HOUR_US, Sought

NOW = 1_790_000_000_000_000 // HOUR_US * HOUR_US


@pytest.fixture
def database() -> Database:
    made = Database(None)
    execute = made._connection.execute
    for i in range(6):
        identity = f"0199e8c0-0000-7000-8000-00000000000{i}"
        at = at_time(NOW - i * 60_000_000)
        execute(
            "INSERT INTO decisions (log_seq, id, ts, key_id, tenant, tier, feature, tags, unit, "
            "session, task, task_confidence, task_source, prompt_hash, features, tokens_in, "
            "tokens_out_limit, cost_dial, stream, eligible, propensities, quality, cost_usd, "
            "latency_s, error_rate, utility, disqualified, disqualified_by, draw, deployment, "
            "propensity, mode, reason, policy, version_id, checkpoint_id, update_seq) VALUES "
            "(?, ?, ?, 'k', ?, '', '', [], '', '', 'code', 1, 'rule', '', [], 1, 0, 1, false, [], "
            "[], [], [], [], [], [], [], [], 0, ?, 0.5, 'randomised', 'policy', 'p', 'v', 'c', 1)",
            [i, identity, at, "acme" if i % 2 else "", "brook" if i < 3 else "mill"],
        )
        if i:
            execute(
                "INSERT INTO outcomes VALUES (?, ?, ?, 'brook', 'randomised', ?, NULL, 1, NULL, 0, "
                "1, 1, 1, 0, 100, false)",
                [i, identity, at, 503 if i == 5 else 200],
            )
            execute(
                "INSERT INTO attempts VALUES (?, ?, 1, ?, ?, 'p', 'first', 200, NULL, NULL, 1, 1, "
                "1, 0, 100, false)",
                [i, identity, at, "brook" if i < 3 else "mill"],
            )
    return made


def test_decisions_are_found_by_every_word(database: Database) -> None:
    def found(failed: bool = False, hours: int = 1, **equal: str) -> list[str]:
        sought = Sought(NOW - hours * HOUR_US, NOW, dict(equal), failed)
        return [each.id[-1] for each in lookups.decisions(database.cursor(), sought, 100)]

    assert found() == list("012345")
    assert found(deployment="mill") == list("345")
    assert found(deployment="mill", tenant="acme") == list("35")
    assert found(failed=True) == ["5"]
    assert found(tenant="' OR 1=1 --") == [] and found(task="maths") == []
    first = lookups.decisions(database.cursor(), Sought(NOW - HOUR_US, NOW), 1)
    assert first[0].id.endswith("0") and first[0].status is None and first[0].at_us == NOW
    late = lookups.decisions(database.cursor(), Sought(NOW - 200_000_000, NOW - 100_000_000), 9)
    assert [each.id[-1] for each in late] == ["2", "3"]


def test_acts_are_found_by_words_and_kinds(database: Database) -> None:
    rows = [("ann", "override.force", "o1", "Too Dear for us"), ("bob", "policy.created", "v1", ""),
            ("headgate", "override.expired", "o1", "expiry")]  # fmt: skip
    for i, row in enumerate(rows):
        database._connection.execute(
            "INSERT INTO acts (log_seq, id, ts, actor, act, subject, reason, detail) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, '{}')",
            [i, f"act{i}", at_time(NOW + i), *row],
        )

    def found(words: tuple[str, ...] = (), kinds: tuple[str, ...] = ()) -> list[str]:
        return [each.act for each in lookups.acts(database.cursor(), NOW, words, kinds, 9)]

    assert found() == ["override.expired", "policy.created", "override.force"]
    assert found(("DEAR", "ann")) == ["override.force"] and found(("dear", "bob")) == []
    assert found((), ("override",)) == ["override.expired", "override.force"]
    assert found(("o1",), ("override.e", "policy")) == ["override.expired"]
    assert found(("%",)) == [] and found(("'; DROP TABLE acts",)) == []
    assert lookups.acts(database.cursor(), NOW + 2, (), (), 9)[0].actor == "headgate"


def test_shares_are_the_last_of_each_stretch(database: Database) -> None:
    for at, share in ((0, 0.1), (40, 0.2), (70, 0.3)):
        database._connection.execute(
            "INSERT INTO weights VALUES (1, ?, 't', 'd', ?, 0, 0, 0, 0, 0, 1, 1, '', '')",
            [at_time(NOW + at * 1_000_000), share],
        )
    found = lookups.shares(database.cursor(), NOW, 60_000_000)
    assert [(each.at_us - NOW, each.share) for each in found] == [(0, 0.2), (60_000_000, 0.3)]


def test_spend_by_hour_and_tenant(database: Database) -> None:
    found = lookups.spending(database.cursor(), NOW - 2 * HOUR_US)
    assert [(e.deployment, e.at_us, e.cost_micro_usd, e.calls) for e in sorted(
        found, key=lambda e: e.deployment)] == [
        ("brook", NOW - HOUR_US, 200, 2), ("mill", NOW - HOUR_US, 300, 3)]  # fmt: skip
    tenants = lookups.spent_by_tenant(database.cursor(), NOW - HOUR_US, 9)
    assert sorted(tenants) == [("", 200, 2), ("acme", 300, 3)]
