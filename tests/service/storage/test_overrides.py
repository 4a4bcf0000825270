"""Overrides: durable, in force at once, gone at their time, whatever the wall clock does."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.domain.records import Override, OverrideEnd
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.overrides import OverrideStore
from tests.conftest import HandClock


class Overrides(RuleBasedStateMachine):
    """Set, lift, let time pass, jump the wall clock, restart; a dictionary knows the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.database = Database(None)
        self.log = EventLog(self.database)
        self.log.start()
        self.store = OverrideStore(self.database, self.log, self.clock)
        self.truth: dict[str, float] = {}  # id -> monotonic end
        self.made = 0

    def teardown(self) -> None:
        self.log.stop()
        self.database.close()

    @rule(seconds=st.integers(1, 7 * 86_400))
    def set_one(self, seconds: int) -> None:
        self.made += 1
        now = self.clock.wall_us()
        override = Override(f"o{self.made}", now, "exclude", "a", "", "because of it", "me", now,
                            now + seconds * 1_000_000)  # fmt: skip
        self.log.append_durable(override).result(5)
        self.store.put(override)
        self.truth[override.id] = self.clock.monotonic_s() + seconds

    @rule(at=st.integers(0, 20))
    def lift_one(self, at: int) -> None:
        holding = self.store.holding()
        if holding:
            override = holding[at % len(holding)]
            end = OverrideEnd(override.id, self.clock.wall_us(), "lifted", "me", "done with it")
            self.log.append_durable(end).result(5)
            self.store.remove(override.id)
            del self.truth[override.id]

    @rule(seconds=st.integers(0, 3 * 86_400))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(days=st.sampled_from([-1, 1]))
    def the_wall_clock_jumps_and_comes_back(self, days: int) -> None:
        self.clock.wall += days * 86_400_000_000
        self.nothing_else_holds()
        self.clock.wall -= days * 86_400_000_000

    @rule()
    def expiries_are_told_once(self) -> None:
        gone = {override.id for override in self.store.expire()}
        assert all(self.truth[each] <= self.clock.monotonic_s() for each in gone)
        for each in gone:
            del self.truth[each]
        assert self.store.expire() == []

    @rule()
    def restart(self) -> None:
        self.log.flush().result(5)
        self.store = OverrideStore(self.database, self.log, self.clock)

    @invariant()
    def nothing_else_holds(self) -> None:
        now = self.clock.monotonic_s()
        expected = {name for name, end in self.truth.items() if end > now}
        assert {override.id for override in self.store.holding()} == expected
        for name in expected:
            assert self.store.find(name) is not None


Overrides.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestOverrides = Overrides.TestCase


def test_a_clock_set_back_while_it_was_down_cannot_prolong_an_override() -> None:
    clock, database = HandClock(), Database(None)
    log = EventLog(database)
    log.start()
    now = clock.wall_us()
    override = Override("o", now, "force", "a", "", "because of it", "me", now, now + 60_000_000)
    log.append_durable(override).result(5)
    clock.wall -= 86_400_000_000
    store = OverrideStore(database, log, clock)
    assert store.find("o") is not None
    clock.advance(61)
    assert store.find("o") is None
    log.stop()
