"""Overrides: durable, in force at once, gone at their time, whatever the wall clock does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.domain.records import Override, OverrideEnd
from service.domain.will import Action
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.overrides import OverrideStore, bounds_around, known_overrides
from tests.conftest import HandClock
from tests.service.storage.test_tables import decision


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

    @rule(at=st.integers(0, 20), seconds=st.integers(1, 7 * 86_400))
    def renew_one(self, at: int, seconds: int) -> None:
        holding = self.store.holding()
        if holding:
            old, now = holding[at % len(holding)], self.clock.wall_us()
            self.made += 1
            new = replace(old, id=f"o{self.made}", at_us=now, starts_us=now,
                          expires_us=now + seconds * 1_000_000, renews=old.id)  # fmt: skip
            end = OverrideEnd(old.id, now, "renewed", "me", "it goes on")
            self.log.append_durable(end, new).result(5)
            self.store.put(new, instead_of=old.id)
            del self.truth[old.id]
            self.truth[new.id] = self.clock.monotonic_s() + seconds

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


def laid(**more: Any) -> Override:
    """One of every field."""
    fields: dict[str, Any] = {
        "id": "o", "at_us": 0, "action": "bounds", "deployment": "a", "task": "code",
        "reason": "because of it", "author": "me", "starts_us": 0, "expires_us": 60_000_000,
        "tenant": "acme", "tier": "paid", "target": "", "least": 0.1, "greatest": 0.5, "usd": None,
        "ticket": "OPS-7", "renews": "before",
    }  # fmt: skip
    return Override(**(fields | more))


@pytest.mark.parametrize("action", list(Action))
def test_every_action_comes_back_whole_after_a_restart(action: Action) -> None:
    clock, database = HandClock(), Database(None)
    log = EventLog(database)
    log.start()
    now = clock.wall_us()
    override = laid(action=action.value, usd=0.25, target="v", at_us=now, starts_us=now,
                    expires_us=now + 60_000_000)  # fmt: skip
    log.append_durable(override).result(5)
    store = OverrideStore(database, log, clock)
    assert store.holding() == (override,) and store.thawing == ()
    for days in (1, -1):  # a jump of the wall clock while it runs moves nothing
        clock.wall += days * 86_400_000_000
        assert store.find("o") is not None
    clock.advance(61)
    assert store.holding() == () and store.expire() == [override]
    assert (store.thawing == (override,)) == (action is Action.FREEZE)
    log.flush().result(5)
    (known,) = known_overrides(database.cursor(), "o", 10)
    assert known.override == override and known.end is not None and known.end.how == "expired"
    again = OverrideStore(database, log, clock)
    assert again.holding() == () and again.overdue == ()
    assert (again.thawing == (override,)) == (action is Action.FREEZE)
    log.stop()


def test_a_row_from_before_there_were_narrower_scopes_is_of_none() -> None:
    clock, database = HandClock(), Database(None)
    log = EventLog(database)
    log.start()
    now = clock.wall_us()
    log.append_durable(laid(at_us=now, starts_us=now, expires_us=now + 60_000_000)).result(5)
    database.cursor().execute(
        "UPDATE overrides SET action = 'force', tenant = NULL, tier = NULL, target = NULL, "
        "least = NULL, greatest = NULL, ticket = NULL, renews = NULL"
    )
    (old,) = OverrideStore(database, log, clock).holding()
    assert (old.tenant, old.tier, old.target, old.ticket) == ("", "", "", "")
    assert (old.least, old.greatest, old.usd, old.renews) == (None, None, None, None)
    log.stop()


def test_a_renewal_takes_the_place_of_the_old_one_at_once() -> None:
    clock, database = HandClock(), Database(None)
    log = EventLog(database)
    store = OverrideStore(database, log, clock)
    store.put(laid(id="old"))
    clock.advance(50)
    store.put(laid(id="new", renews="old"), instead_of="old")
    clock.advance(50)
    assert [each.id for each in store.holding()] == ["new"]


def test_bounds_that_were_in_force_are_found_again_whatever_the_clock_did() -> None:
    clock, database = HandClock(), Database(None)
    log = EventLog(database)
    log.start()
    now, hour_us = clock.wall_us(), 3_600_000_000
    told = {"at_us": now, "starts_us": now, "expires_us": now + 4 * hour_us}
    first, second = laid(id="first", **told), laid(id="second", deployment="fall", **told)
    made = {
        after: replace(decision(at_us=now + at_us), override_id=name)
        for after, at_us, name in (
            ("lay", hour_us, "first"), ("jump", -9 * hour_us, "first"),
            ("both", 1, "second"), ("lift", hour_us, "second"),
            ("none", 2, None), ("other", 3, "x"),
        )
    }  # fmt: skip
    for record in (
        first, made["lay"], made["jump"], laid(id="x", action="exclude", **told), second,
        made["both"], OverrideEnd("first", now + 5, "lifted", "me", "done with it"), made["lift"],
        made["none"], made["other"],
    ):  # fmt: skip
        log.append_durable(record).result(5)

    def found(after: str) -> list[list[str]]:
        sets = bounds_around(database.cursor(), made[after])
        return [[each.id for each in one] for one in sets]

    assert found("lay")[0] == found("jump")[0] == ["first"]
    assert found("both")[0] == ["first", "second"] and ["second"] in found("both")
    assert found("lift")[0] == ["second"]
    assert found("none") == [[]] and found("other")[0] == []
    assert all("second" in each for each in found("lift")), "what it names was in force"
    log.stop()
