"""Too often within the hour, by unit, and never for good."""

from __future__ import annotations

from service.routing import offenders
from service.routing.offenders import HOUR_S, Offenders


def test_one_too_many_is_told_once_and_waits_until_the_hour_has_passed() -> None:
    made = Offenders(2)
    assert [made.add("u", at) for at in (0.0, 10.0, 20.0, 21.0)] == [False, False, True, False]
    # Of the newest three the oldest counts: the second refusal.
    assert made.wait_s("u", 30.0) == HOUR_S + 10.0 - 30.0
    assert made.wait_s("u", HOUR_S + 11.0) == 0.0 and made.wait_s("other", 30.0) == 0.0
    assert made.add("u", HOUR_S + 15.0), "with the two that are left it is one too many again"


def test_old_refusals_do_not_count() -> None:
    made = Offenders(2)
    assert not any(made.add("u", at * HOUR_S) for at in range(10))
    assert made.wait_s("u", 9 * HOUR_S) == 0.0


def test_none_and_nobody_are_not_limited() -> None:
    off, made = Offenders(0), Offenders(1)
    for at in range(5):
        assert not off.add("u", float(at)) and not made.add("", float(at))
    assert off.wait_s("u", 5.0) == 0.0 and made.wait_s("", 5.0) == 0.0


def test_memory_is_bounded() -> None:
    made = Offenders(1)
    for number in range(offenders.MOST_UNITS + 5):
        made.add(str(number), 0.0)
        made.add(str(number), 0.0)
    assert len(made._by_unit) == offenders.MOST_UNITS
    assert made.wait_s("0", 1.0) == 0.0 and made.wait_s(str(number), 1.0) > 0.0
