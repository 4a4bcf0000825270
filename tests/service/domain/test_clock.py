"""Ids sort by their time and survive the way through a response id."""

from __future__ import annotations

from service.domain.clock import SystemClock, id_time_us, new_id, parse_id, response_id


def test_ids_are_sortable_and_tell_their_time() -> None:
    ids = [new_id() for _ in range(2_000)]
    assert ids == sorted(ids) and len(set(ids)) == 2_000
    assert all(each[14] == "7" for each in ids)
    assert abs(id_time_us(ids[-1]) - SystemClock().wall_us()) < 2_000_000


def test_a_decision_id_is_read_in_both_forms() -> None:
    made = new_id()
    assert parse_id(made) == parse_id(response_id(made)) == parse_id(made.upper()) == made
    for bad in ("", "x", "chatcmpl-", made[:-1], made + "0", "'; drop table decisions; --"):
        assert parse_id(bad) is None


def test_the_monotonic_clock_does_not_go_back() -> None:
    clock = SystemClock()
    assert clock.monotonic_s() <= clock.monotonic_s()
