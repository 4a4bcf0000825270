"""Entries come back as they were written, and ended overrides are counted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from service.domain.knowledge import Entry
from service.domain.records import Override, OverrideEnd, Usage
from service.experimentation.telling import of_override
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.knowledge import KnowledgeStore, entries, untold_overrides
from tests.service.storage.test_tables import decision, outcome

AT = 1_790_000_000_000_000
HOUR = 3_600_000_000
ENTRY = Entry(
    "e1", AT, "person", "s", "a title", "a hypothesis", {"words": "d", "n": 3},
    {"words": "r", "effect": [0.1, None]}, "kept", "why so", "ann", {"url": "x"}, ("a", "b"), None,
    "occasion",
)  # fmt: skip


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    database = Database(tmp_path / FILE)
    log = EventLog(database)
    log.start()
    later = replace(ENTRY, id="e2", supersedes="e1", occasion="other")
    log.append_durable(ENTRY, later).result(10)
    store = KnowledgeStore(database.cursor())
    assert entries(database.cursor()) == store.all() == [ENTRY, later]
    assert store.told_of("occasion") and not store.told_of("else")
    assert store.latest("s") == later and store.latest("t") is None
    log.stop()
    database.close()


def test_an_ended_override_is_counted_until_an_entry_tells_of_it(tmp_path: Path) -> None:
    database = Database(tmp_path / FILE)
    log = EventLog(database)
    log.start()
    laid = Override("o1", AT, "force", "x", "code", "a reason", "ann", AT, AT + HOUR)
    holds = replace(laid, id="o2")
    end = OverrideEnd("o1", AT + HOUR // 2, "lifted", "bob", "it is over")
    rows: list[object] = [laid, holds, end]
    for number in range(5):
        mine = "o1" if number < 3 else None
        made = replace(decision(at_us=AT + number), override_id=mine)
        status = 503 if number == 0 else 200
        usage = Usage(1, 2, 0, 1_000_000)
        rows += [made, replace(outcome(made), at_us=AT + number, status=status, usage=usage)]
    log.append_durable(*rows).result(10)
    (found,) = untold_overrides(database.cursor(), 10)
    assert (found.id, found.decisions, found.failed, found.cost_micro_usd) == (
        "o1",
        3,
        1,
        3_000_000,
    )
    entry = of_override(found, "e1", AT + HOUR)
    assert entry.result["lasted_s"] == 1800.0 and entry.tags == ("override", "force", "lifted",
                                                                 "x", "code")  # fmt: skip
    log.append_durable(entry).result(10)
    assert untold_overrides(database.cursor(), 10) == []
    log.stop()
    database.close()
