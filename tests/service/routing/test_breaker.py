"""A breaker opens on evidence, waits, lets one probe through, and obeys Retry-After in full."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from service.domain.records import ErrorKind
from service.routing.breaker import COUNTED, Breaker, BreakerRules, State

RULES = BreakerRules()


def failing(breaker: Breaker, times: int, now_s: float, kind: ErrorKind = ErrorKind.SERVER) -> bool:
    reason = False
    for _ in range(times):
        reason = breaker.failed(kind, now_s)
    return reason


def test_five_failures_in_a_row_are_reason_to_open_and_four_are_not() -> None:
    breaker = Breaker(RULES)
    assert not failing(breaker, 4, 0.0)
    breaker.succeeded(0.0)
    assert not failing(breaker, 2, 0.0)
    assert failing(Breaker(RULES), 5, 0.0)


def test_every_second_call_failing_opens_it_too() -> None:
    breaker = Breaker(RULES)
    reasons = []
    for _ in range(8):
        breaker.succeeded(0.0)
        reasons.append(breaker.failed(ErrorKind.CUT, 0.0))
    assert reasons == [False] * 7 + [True] and "8 of the last" in breaker.why


def test_ejections_in_a_row_grow_and_healthy_time_takes_them_back() -> None:
    breaker = Breaker(RULES)
    assert breaker.open(0.0) == 30.0
    assert breaker.state(29.9) is State.OPEN and breaker.state(30.0) is State.HALF_OPEN
    assert breaker.began(30.0) and breaker.failed(ErrorKind.TIMEOUT, 31.0, probe=True)
    assert breaker.open(31.0) == 60.0
    assert breaker.began(91.0)
    breaker.succeeded(91.5, probe=True)
    assert breaker.state(91.5) is State.CLOSED and breaker.ejections == 2
    breaker.succeeded(102.0)
    assert breaker.ejections == 1
    breaker.succeeded(113.0)
    assert breaker.ejections == 0
    for _ in range(20):
        breaker.open(200.0)
    assert breaker.until_s == 200.0 + RULES.longest_ejection_s


def test_only_one_probe_at_a_time() -> None:
    breaker = Breaker(RULES)
    breaker.open(0.0)
    assert breaker.began(30.0) and not breaker.began(30.0)
    breaker.neutral(probe=True)
    assert breaker.began(30.0)


def test_an_answer_to_a_call_from_before_it_opened_does_not_close_it() -> None:
    breaker = Breaker(RULES)
    breaker.open(0.0)
    breaker.succeeded(1.0)
    assert breaker.state(1.0) is State.OPEN
    assert not breaker.failed(ErrorKind.SERVER, 1.0)


def test_the_latest_time_to_wait_is_obeyed_in_full() -> None:
    breaker = Breaker(RULES)
    breaker.failed(ErrorKind.RATE_LIMIT, 0.0, retry_after_s=3.0)
    breaker.failed(ErrorKind.RATE_LIMIT, 4.0, retry_after_s=50.0)
    breaker.failed(ErrorKind.RATE_LIMIT, 5.0, retry_after_s=1.0)  # sent before, says less
    assert breaker.cooling(53.9) and not breaker.cooling(54.0)
    assert breaker.free_in_s(44.0) == 10.0


def test_a_rate_limit_without_a_time_waits_longer_each_time() -> None:
    breaker, waits = Breaker(RULES), []
    now_s = 0.0
    for _ in range(8):
        breaker.failed(ErrorKind.RATE_LIMIT, now_s)
        waits.append(breaker.free_in_s(now_s))
        now_s = breaker.cooling_until_s
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    breaker.succeeded(now_s)
    breaker.failed(ErrorKind.RATE_LIMIT, now_s)
    assert breaker.free_in_s(now_s) == 1.0


def test_rate_limits_and_refused_keys_cool_but_never_open() -> None:
    breaker = Breaker(RULES)
    assert not failing(breaker, 50, 0.0, ErrorKind.RATE_LIMIT)
    assert not failing(breaker, 50, 0.0, ErrorKind.AUTH)
    assert breaker.state(0.0) is State.CLOSED and breaker.free_in_s(0.0) == RULES.refused_key_s


KINDS = st.sampled_from([*COUNTED, ErrorKind.RATE_LIMIT, ErrorKind.AUTH])


class BreakerMachine(RuleBasedStateMachine):
    """Against a plain model: what was promised to be waited for, and whether a probe is out."""

    @initialize()
    def begin(self) -> None:
        self.breaker = Breaker(RULES)
        self.now_s = 0.0
        self.wait_until_s = 0.0
        self.probes = 0
        self.plain = 0

    @rule(seconds=st.floats(0.0, 100.0))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.allowed)
    @rule()
    def call(self) -> None:
        if self.breaker.began(self.now_s):
            self.probes += 1
        else:
            self.plain += 1

    @property
    def allowed(self) -> bool:
        state = self.breaker.state(self.now_s)
        barred = state is State.OPEN or (state is State.HALF_OPEN and self.breaker.probing)
        return not barred and not self.breaker.cooling(self.now_s)

    @rule(kind=KINDS, after=st.none() | st.floats(0.0, 1e5), probe=st.booleans())
    def fail(self, kind: ErrorKind, after: float | None, probe: bool) -> None:
        probe = probe and self.probes > 0
        if not probe and not self.plain:
            return
        reason = self.breaker.failed(kind, self.now_s, after, probe)
        self._ended(probe)
        if after is not None and kind in (
            ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED, ErrorKind.SERVER,
        ):  # fmt: skip
            self.wait_until_s = max(self.wait_until_s, self.now_s + after)
        if reason:
            self.breaker.open(self.now_s)
            assert self.breaker.state(self.now_s) is State.OPEN

    @precondition(lambda self: self.probes + self.plain > 0)
    @rule(probe=st.booleans())
    def succeed(self, probe: bool) -> None:
        probe = probe and self.probes > 0
        if not probe and not self.plain:
            return
        was = self.breaker.state(self.now_s)
        self.breaker.succeeded(self.now_s, probe)
        self._ended(probe)
        if probe:
            assert self.breaker.state(self.now_s) is State.CLOSED
        else:
            assert self.breaker.state(self.now_s) is was

    def _ended(self, probe: bool) -> None:
        if probe:
            self.probes -= 1
        else:
            self.plain -= 1

    @invariant()
    def no_promise_is_cut_short(self) -> None:
        assert self.breaker.cooling_until_s >= self.wait_until_s

    @invariant()
    def one_probe(self) -> None:
        assert self.probes <= 1

    @invariant()
    def it_always_comes_back(self) -> None:
        latest = max(self.breaker.until_s, self.breaker.cooling_until_s)
        assert self.breaker.free_in_s(latest) == 0.0
        assert self.breaker.until_s <= self.now_s + RULES.longest_ejection_s


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(
    max_examples=60, stateful_step_count=40, derandomize=True, deadline=None
)
