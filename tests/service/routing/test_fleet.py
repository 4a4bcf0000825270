"""Who is left alone, how many at most, what a panic disregards, and what every caller is spared."""

from __future__ import annotations

import random

import pytest

from service.domain.records import ErrorKind
from service.routing.breaker import BreakerRules
from service.routing.fleet import Change, Failure, Fleet, FleetRules
from tests.service.routing.world import deployment

NAMES = ("a", "b", "c", "d", "e")
CATALOG = [deployment(name) for name in NAMES]
ALL = list(range(len(NAMES)))


def fleet(count: int = 5, **rules: object) -> Fleet:
    return Fleet(CATALOG[:count], FleetRules(**rules), random.Random(2))  # type: ignore[arg-type]


def fail(
    of: Fleet, name: str, times: int, now_s: float = 0.0, kind: ErrorKind = ErrorKind.SERVER,
    after_s: float | None = None,
) -> None:  # fmt: skip
    for _ in range(times):
        of.failed(name, Failure(kind, after_s, of.began(name, now_s)), now_s)


def answer(of: Fleet, name: str, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        of.answered(name, of.began(name, now_s), 0.1, now_s)


def test_five_failures_eject_and_one_probe_brings_it_back() -> None:
    changes: list[Change] = []
    of = Fleet(CATALOG, changed=changes.append)
    fail(of, "a", 4)
    assert of.bar("a", 0.0) == ""
    fail(of, "a", 1)
    assert of.bar("a", 0.0) == "ejected" and of.free_in_s(["a"], 0.0) == 30.0
    kept, out = of.admit(CATALOG, ALL, 1.0)
    assert kept == [1, 2, 3, 4] and out == [(0, "ejected")]
    assert of.bar("a", 30.0) == ""
    probe = of.began("a", 30.0)
    assert probe and of.bar("a", 30.0) == "probing"
    of.answered("a", probe, 0.1, 30.5)
    assert of.bar("a", 30.5) == ""
    assert [(c.deployment, c.state) for c in changes] == [("a", "open"), ("a", "closed")]


def test_while_a_probe_is_out_nobody_else_is_sent_there() -> None:
    of = fleet()
    fail(of, "a", 5)
    assert of.admit(CATALOG, ALL, 30.0) == (ALL, [])
    probe = of.began("a", 30.0)
    assert [of.admit(CATALOG, ALL, 30.1)[1] for _ in range(3)] == [[(0, "probing")]] * 3
    of.answered("a", probe, 0.1, 30.2)
    assert of.admit(CATALOG, ALL, 30.3) == (ALL, [])


def test_a_failed_probe_ejects_for_twice_as_long() -> None:
    of = fleet()
    fail(of, "a", 5)
    fail(of, "a", 1, now_s=30.0)
    assert of.free_in_s(["a"], 30.0) == 60.0


def test_at_most_a_share_is_ejected_but_one_always_may() -> None:
    of = fleet(3)
    for name in "abc":
        fail(of, name, 20)
    assert [of.bar(name, 0.0) for name in "abc"] == ["ejected", "ejected", ""]
    alone = fleet(1)
    fail(alone, "a", 20)
    assert alone.bar("a", 0.0) == "ejected"


def test_a_panic_disregards_ejections_but_no_cool_down() -> None:
    of = fleet(4, most_ejected=1.0)
    for name in "abc":
        fail(of, name, 5)
    fail(of, "d", 1, kind=ErrorKind.RATE_LIMIT, after_s=50.0)
    kept, out = of.admit(CATALOG[:4], [0, 1, 2, 3], 1.0)
    assert kept == [0, 1, 2] and out == [(3, "cooling")]
    well = fleet(3, most_ejected=1.0)
    fail(well, "a", 5)
    fail(well, "b", 5)
    assert well.admit(CATALOG[:3], [0, 1, 2], 1.0)[0] == [2]  # one in three is no panic


def test_what_is_no_fault_of_the_deployment_never_counts() -> None:
    of = fleet()
    kinds = [ErrorKind.POLICY, ErrorKind.INVALID, ErrorKind.CONTEXT_LENGTH, ErrorKind.CANCELLED]
    for kind in kinds:
        fail(of, "a", 50, kind=kind)
    assert of.bar("a", 0.0) == "" and of.standings(0.0)[0].in_flight == 0


def test_rates_of_success_far_under_the_others_eject() -> None:
    of = fleet(5, breaker=BreakerRules(failures_in_a_row=1_000, failures_in_window=1_000))
    for number in range(200):
        for name in NAMES:
            if name == "a" and number % 4 == 0:
                fail(of, name, 1, now_s=1.0)
            else:
                answer(of, name, 1, now_s=1.0)
    assert of.bar("a", 1.0) == ""
    answer(of, "b", 1, now_s=12.0)
    assert of.bar("a", 12.0) == "ejected"
    assert "75.0% of its calls" in of.standings(12.0)[0].why


def test_with_few_hosts_or_calls_nobody_is_an_outlier() -> None:
    few = fleet(4, breaker=BreakerRules(failures_in_a_row=1_000, failures_in_window=1_000))
    for _ in range(200):
        fail(few, "a", 1, now_s=1.0)
        for name in "bcd":
            answer(few, name, 1, now_s=1.0)
    answer(few, "b", 1, now_s=12.0)
    assert few.bar("a", 12.0) == ""


def test_a_full_deployment_is_busy_and_a_mute_one_silent() -> None:
    of = fleet(5, silent_s=2.0)
    for _ in range(8):
        of.began("a", 0.0)
    assert of.bar("a", 1.9) == "" and of.bar("a", 2.1) == "silent"
    of.heard("a", 2.0, 2.1)
    assert of.bar("a", 2.1) == ""


def test_a_limit_that_nothing_proved_steers_and_one_that_was_lowered_refuses() -> None:
    of = fleet(2)
    for _ in range(20):
        of.began("a", 0.0)
    assert of.bar("a", 0.0) == "filling" and of.admit(CATALOG[:2], [0, 1], 0.0)[0] == [1]
    assert of.admit(CATALOG[:1], [0], 0.0) == ([0], [])  # nobody else: it is not refused
    of.failed("a", Failure(ErrorKind.OVERLOADED, None, False), 0.0)
    for _ in range(3):
        of.began("a", 0.0)
    assert of.bar("a", 0.0) == "busy" and of.admit(CATALOG[:1], [0], 0.0) == ([], [(0, "busy")])
    assert of.bar("a", 61.0) == "silent"


def test_streams_that_fail_between_whole_answers_open_it_too() -> None:
    of = fleet()
    for _ in range(5):
        answer(of, "a", 3)
        of.failed("a", Failure(ErrorKind.CUT, None, of.began("a", 0.0), stream=True), 0.0)
    assert of.bar("a", 0.0) == "ejected" and "5 streams" in of.standings(0.0)[0].why


def test_a_provider_that_refuses_for_load_is_held_back_from() -> None:
    twin = [deployment("p", provider="x"), deployment("q", provider="x"), deployment("r")]
    of = Fleet(twin, chance=random.Random(5))
    for _ in range(100):
        of.failed("p", Failure(ErrorKind.OVERLOADED, None, of.began("p", 0.0)), 0.0)
    of.forgive("p")
    outs = [of.admit(twin, [0, 1, 2], 1.0) for _ in range(1_000)]
    held = [out for _, out in outs if out]
    assert all([at for at, _ in out] == [0, 1] for out in held)  # one draw for the provider
    assert len(held) == pytest.approx(1_000 * 100 / 101, abs=20)
    assert {why for out in held for _, why in out} == {"throttled"}


def test_an_operator_forgives() -> None:
    of = fleet()
    fail(of, "a", 5)
    fail(of, "b", 1, kind=ErrorKind.AUTH)
    of.forgive("a")
    of.forgive("b")
    assert of.bar("a", 0.0) == of.bar("b", 0.0) == ""


def test_what_is_known_is_taken_over_with_the_calls_under_way() -> None:
    before, after = fleet(3), fleet(5)
    fail(before, "a", 5)
    probe = before.began("b", 0.0)
    after.inherit(before)
    assert after.bar("a", 1.0) == "ejected"
    before.answered("b", probe, 0.1, 1.0)
    assert [s.in_flight for s in after.standings(1.0)] == [0] * 5


def test_a_reload_brings_its_rules_and_forgets_another_address() -> None:
    before = fleet(2)
    fail(before, "a", 5)
    fail(before, "b", 5)
    moved = [CATALOG[0], deployment("b", base_url="http://127.0.0.1:9/v1")]
    rules = FleetRules(BreakerRules(failures_in_a_row=2), retry_share=0.5)
    after = Fleet(moved, rules)
    after.inherit(before)
    assert [after.bar(name, 1.0) for name in "ab"] == ["ejected", ""]
    after.forgive("a")
    fail(after, "a", 2, now_s=2.0)
    assert after.bar("a", 2.0) == "ejected"
    for _ in range(10):
        after.retries.requested(2.0)
    assert after.retries.balance(2.0) == pytest.approx(25.0)


def test_an_outlier_is_suspected_when_it_is_ejected() -> None:
    of = fleet(5, breaker=BreakerRules(failures_in_a_row=1_000, failures_in_window=1_000))
    for number in range(200):
        for name in NAMES:
            if name == "a" and number % 4 == 0:
                fail(of, name, 1, now_s=1.0)
            else:
                answer(of, name, 1, now_s=1.0)
    of.admit(CATALOG, ALL, 2.0)  # all is well: nobody is suspected
    answer(of, "b", 1, now_s=12.0)
    assert of.admit(CATALOG, ALL, 12.0)[1] == [(0, "ejected")]


def test_crowded_or_mute_is_no_reason_to_refuse() -> None:
    of = fleet(2, silent_s=2.0)
    for _ in range(20):
        of.began("a", 0.0)
    assert (of.bar("a", 0.5), of.refusal("a", 0.5)) == ("filling", "")
    assert (of.bar("a", 3.0), of.refusal("a", 3.0)) == ("silent", "")
    fail(of, "b", 5)
    assert of.refusal("b", 1.0) == "ejected"


def test_one_that_was_given_up_late_counts_among_the_slow() -> None:
    of = fleet(1)
    answer(of, "a", 40)
    assert of.p95_s("a", 5.0) == 0.1
    for _ in range(5):
        of.failed("a", Failure(ErrorKind.CANCELLED, None, of.began("a", 5.0), waited_s=3.0), 5.0)
        of.failed("a", Failure(ErrorKind.CANCELLED, None, of.began("a", 5.0), waited_s=0.01), 5.0)
    assert of.p95_s("a", 7.0) == 3.0


def test_what_was_never_sent_is_no_sign_of_life_and_no_failure() -> None:
    fleet, now_s = Fleet(CATALOG), 10.0
    name = CATALOG[0].name
    fleet.began(name, now_s)  # one that waits for its answer
    for turn in range(1, 200):
        probe = fleet.began(name, now_s + turn)
        fleet.failed(name, Failure(ErrorKind.DIALECT, None, probe), now_s + turn)
    assert not fleet.refusal(name, now_s + 200)
    limit = fleet._members[name].limit
    assert (limit.in_flight, limit._heard_s) == (1, now_s)
