"""Recent cases are bounded; old ones come from the log."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from service.storage.cases import Case, Cases, at_time, us
from service.storage.database import Database
from service.storage.tables import TABLES
from tests.service.storage.test_tables import decision


def test_memory_is_bounded_and_the_log_remembers() -> None:
    database = Database(None)
    cases = Cases(database.cursor, recent=3)
    made = [decision() for _ in range(5)]
    for seq, each in enumerate(made, start=1):
        cases.add(Case(each))
        table = TABLES[type(each)]
        database.write({table.name: table.batch([table.row(each)], seq)})
    assert cases.recent(made[0].id) is None and cases.recent(made[4].id) is not None
    found = cases.load(made[0].id)
    assert found is not None and found.decision.id == made[0].id and found.answered_by is None


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_survive_the_way_through_the_log(microseconds: int) -> None:
    assert us(at_time(microseconds)) == microseconds
    assert isinstance(at_time(microseconds), datetime)
