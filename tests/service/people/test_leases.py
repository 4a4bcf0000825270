"""Leases: one holder at a time, for so long, by the clock that does not jump."""

from __future__ import annotations

import pytest

from service.domain.errors import Conflict
from service.domain.reviews import Holder, ReviewTurn, Turn
from service.people.leases import Leases
from tests.conftest import HandClock

ANN, BEN = Holder("k", "ann"), Holder("k", "ben")


def test_a_lease_holds_to_its_last_moment_and_not_beyond() -> None:
    clock = HandClock()
    leases = Leases(clock)
    leases.take("x", ANN, 10.0)
    clock.advance(9.999)
    with pytest.raises(Conflict):
        leases.take("x", BEN, 10.0)
    clock.advance(0.001)
    assert leases.running("x") is None and leases.take("x", BEN, 10.0).holder == BEN


def test_the_same_name_behind_another_key_is_somebody_else() -> None:
    leases = Leases(HandClock())
    leases.take("x", ANN, 10.0)
    with pytest.raises(Conflict):
        leases.may_end("x", Holder("other", "ann"))
    leases.may_end("x", ANN)


def test_what_could_not_be_made_durable_is_put_back() -> None:
    leases = Leases(HandClock())
    before = leases.take("x", ANN, 10.0)
    leases.put_back("x", leases.take("x", ANN, 20.0), before)
    assert leases.get("x") is before
    taken = leases.take("y", ANN, 10.0)
    leases.drop("y")
    other = leases.take("y", BEN, 10.0)
    leases.put_back("y", taken, None)
    assert leases.get("y") is other


@pytest.mark.parametrize(("later_s", "left_s"), [(4.0, 6.0), (-50.0, 10.0), (50.0, 0.0)])
def test_after_a_restart_what_is_left_by_the_wall_clock(later_s: float, left_s: float) -> None:
    clock = HandClock()
    at_us = clock.wall_us()
    claim = ReviewTurn("x", at_us, Turn.CLAIMED, "k", "ann", at_us + 10_000_000)
    clock.wall += int(later_s * 1e6)
    leases = Leases(clock)
    leases.load([claim])
    lease = leases.get("x")
    assert lease is not None
    assert lease.until_s - clock.monotonic_s() == pytest.approx(left_s)
    leases.keep(["y"])
    assert leases.get("x") is None
