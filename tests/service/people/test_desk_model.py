"""The desk of review against a model: claims, lapses, rulings, defaults, crashes, clock jumps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.domain.errors import Conflict
from service.domain.reviews import Holder
from tests.service.people.rig import ANN, BEN, DUE_S, LEASE_S, Table, item, ruled

pytestmark = pytest.mark.slow
WHO = st.sampled_from([ANN, BEN])
AT = st.integers(0, 1)


@dataclass
class Truth:
    """What an item should be; times on the monotonic clock, and what the log can tell of them."""

    opened_us: int
    due_s: float
    holder: Holder | None = None
    until_s: float = 0.0
    claimed_us: int = 0
    ended: str = ""
    durable: bool = False


class Reviewing(RuleBasedStateMachine):
    """Two people at one desk."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(flush_s=3_600.0)  # what nobody waits for is not durable
        self.truth: dict[str, Truth] = {}

    def teardown(self) -> None:
        self.table.end()

    @property
    def now_s(self) -> float:
        return self.table.clock.monotonic_s()

    def some(self, at: int) -> str:
        return list(self.truth)[-1 - at % len(self.truth)]

    def saved(self) -> None:
        """Whoever waits for the disk waits for all that came before."""
        for each in self.truth.values():
            each.durable = True

    def running(self, truth: Truth) -> Holder | None:
        return truth.holder if self.now_s < truth.until_s else None

    def others(self, truth: Truth, who: Holder) -> bool:
        return self.running(truth) not in (None, who)

    @precondition(lambda self: sum(not each.ended for each in self.truth.values()) < 2)
    @rule()
    def put(self) -> None:
        made = item(self.table.clock)
        assert self.table.desk.put(made)
        self.truth[made.id] = Truth(made.at_us, self.now_s + DUE_S)

    @precondition(lambda self: self.truth)
    @rule(at=AT, who=WHO)
    def claim(self, at: int, who: Holder) -> None:
        name = self.some(at)
        truth = self.truth[name]
        if truth.ended or self.others(truth, who) or self.now_s >= truth.due_s:
            with pytest.raises(Conflict):
                self.table.claim(name, who)
            return
        assert self.table.claim(name, who).state == "claimed"
        self.saved()
        truth.holder, truth.until_s = who, self.now_s + LEASE_S
        truth.claimed_us = self.table.clock.wall_us()

    @precondition(lambda self: self.truth)
    @rule(at=AT, who=WHO)
    def claim_lapse_and_decide(self, at: int, who: Holder) -> None:
        self.claim(at, who)
        self.time_passes(LEASE_S)
        self.decide(at, who)

    @precondition(lambda self: self.truth)
    @rule(at=AT, who=WHO)
    def work_beyond_the_due_time(self, at: int, who: Holder) -> None:
        self.time_passes(max(self.truth[self.some(at)].due_s - self.now_s - LEASE_S / 2, 0.0))
        self.claim(at, who)
        self.time_passes(LEASE_S / 2 + 1)
        self.what_is_late_is_left_to_its_default()

    @precondition(lambda self: self.truth)
    @rule(at=AT, who=WHO)
    def claim_and_start_again_with_the_clock_set_back(self, at: int, who: Holder) -> None:
        self.claim(at, who)
        self.the_wall_clock_jumps(-2)
        self.restart(crash=False)
        self.time_passes(LEASE_S)
        self.the_desk_shows_what_is_true()

    @precondition(lambda self: self.truth)
    @rule(at=AT, who=WHO)
    def release(self, at: int, who: Holder) -> None:
        name = self.some(at)
        truth = self.truth[name]
        if truth.ended or self.others(truth, who):
            with pytest.raises(Conflict):
                self.table.release(name, who)
            return
        self.table.release(name, who)
        if self.running(truth) is not None:
            self.saved()
            truth.holder, truth.until_s = None, 0.0

    @precondition(lambda self: self.truth)
    @rule(at=AT, who=WHO)
    def decide(self, at: int, who: Holder) -> None:
        name = self.some(at)
        truth = self.truth[name]
        lapsed = truth.holder == who and self.running(truth) is None
        if truth.ended or self.others(truth, who) or lapsed:
            with pytest.raises(Conflict):
                self.table.decide(name, ruled(who))
            return
        assert self.table.decide(name, ruled(who)).state == "decided"
        truth.ended = "decided"
        self.saved()

    @rule()
    def what_is_late_is_left_to_its_default(self) -> None:
        late = [
            each for each in self.truth.values()
            if not each.ended and self.now_s >= each.due_s and self.running(each) is None
        ]  # fmt: skip
        assert self.table.default_late() == len(late)
        if late:
            self.saved()
        for each in late:
            each.ended = "defaulted"

    @rule(seconds=st.sampled_from([LEASE_S / 2, LEASE_S, DUE_S - LEASE_S / 2, DUE_S]))
    def time_passes(self, seconds: float) -> None:
        self.table.clock.advance(seconds)

    @rule(days=st.sampled_from([-2, 2]))
    def the_wall_clock_jumps(self, days: int) -> None:
        self.table.clock.wall += days * 86_400_000_000

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        self.table.restart(crash)
        if crash:
            self.truth = {name: each for name, each in self.truth.items() if each.durable}
        self.saved()
        wall_us = self.table.clock.wall_us()
        for each in self.truth.values():
            age_us = max(wall_us - each.opened_us, 0)
            each.due_s = self.now_s + DUE_S - age_us / 1e6
            if each.holder is not None:
                held_us = max(wall_us - each.claimed_us, 0)
                each.until_s = self.now_s + max(LEASE_S - held_us / 1e6, 0.0)

    @invariant()
    def the_desk_shows_what_is_true(self) -> None:
        shown = {each.item.id: each for each in self.table.desk.open()}
        assert set(shown) == {name for name, each in self.truth.items() if not each.ended}
        for name, found in shown.items():
            lease, held = found.lease, self.running(self.truth[name])
            assert (lease.holder if lease else None) == held

    @precondition(lambda self: any(each.ended for each in self.truth.values()))
    @rule()
    def what_has_ended_stays_so(self) -> None:
        for name, each in self.truth.items():
            if each.ended:
                assert self.table.state(name) == each.ended


Reviewing.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestReviewing = Reviewing.TestCase
