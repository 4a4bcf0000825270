"""Log-ins in the audit: who, from where, and refusals that cannot fill it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.console.entering import MOST_TOLD, REFUSED_S, UNKNOWN, Door, caller
from service.domain.records import Key
from service.storage.cases import rows_of
from service.storage.database import Database
from service.storage.event_log import EventLog
from tests.conftest import HandClock

KEY = Key("k1", 0, "ann", "operator", "", "", "digest")


class Audit:
    """The door over a log, and what the log has of it."""

    def __init__(self) -> None:
        self.database, self.clock = Database(None), HandClock()
        self.log = EventLog(self.database)
        self.log.start()
        self.door = Door(self.log, self.clock)

    def acts(self) -> list[dict[str, Any]]:
        self.log.flush().result(10)
        return rows_of(self.database.cursor(), "SELECT * FROM acts ORDER BY log_seq")


@pytest.fixture
def audit() -> Iterator[Audit]:
    made = Audit()
    yield made
    made.log.stop()
    made.database.close()


def test_who_came_and_left_is_told(audit: Audit) -> None:
    audit.door.entered(caller(KEY, "10.0.0.1", "r1"))
    audit.door.left(caller(KEY, "10.0.0.1", "r2"))
    came, left = audit.acts()
    assert (came["act"], left["act"]) == ("console.entered", "console.left")
    for each, request in ((came, "r1"), (left, "r2")):
        told = [each[name] for name in ("actor", "role", "key_id", "ip", "request_id")]
        assert told == ["ann", "operator", "k1", "10.0.0.1", request]


def test_the_first_refusal_of_an_address_in_a_minute_is_told(audit: Audit) -> None:
    for n in range(50):
        audit.door.refused(caller(None, "10.0.0.1", f"r{n}"), "not known")
    audit.door.refused(caller(KEY, "10.0.0.2", "other"), "no role")
    audit.clock.advance(REFUSED_S)
    audit.door.refused(caller(None, "10.0.0.1", "later"), "not known")
    acts = audit.acts()
    assert [(a["actor"], a["ip"], a["request_id"]) for a in acts] == [
        (UNKNOWN, "10.0.0.1", "r0"), ("ann", "10.0.0.2", "other"), (UNKNOWN, "10.0.0.1", "later"),
    ]  # fmt: skip
    assert [json.loads(a["detail"])["untold"] for a in acts] == [0, 49, 0]
    assert {a["act"] for a in acts} == {"console.refused"}


def test_refusals_of_many_addresses_are_bounded(audit: Audit) -> None:
    for n in range(1_000):
        audit.door.refused(caller(None, f"10.0.{n // 250}.{n % 250}", ""), "not known")
    assert len(audit.acts()) == MOST_TOLD == len(audit.door._told_s)
    audit.clock.advance(REFUSED_S)
    audit.door.refused(caller(None, "10.9.9.9", ""), "not known")
    assert json.loads(audit.acts()[-1]["detail"])["untold"] == 1_000 - MOST_TOLD
