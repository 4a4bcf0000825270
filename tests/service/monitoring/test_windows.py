"""Each record is counted in the minute in which it ended; a restart makes the minutes anew."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.domain.minutes import MINUTE_US, Facts, Minute, Series, quantile
from service.domain.records import Attempt, ErrorKind, Mode, Outcome, Role
from service.monitoring import windows
from service.monitoring.windows import KEPT, MinuteWindows
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.minutes import counts_of, minutes_of, records_of
from tests.conftest import HandClock
from tests.service.monitoring.minutes import START, attempt, failure, outcome

S = 1_000_000


def made(clock: HandClock) -> MinuteWindows:
    found = MinuteWindows(clock)
    found.rebuild((), (), ())
    return found


def tell(to: MinuteWindows, *records: Attempt | Outcome) -> None:
    for each in records:
        if isinstance(each, Attempt):
            to.attempt(each)
        else:
            to.outcome(each)


def test_a_minute_is_counted_by_deployment_and_in_total() -> None:
    clock = HandClock(START)
    to = made(clock)
    tell(
        to,
        *(attempt(START + n * S, latency_s=float(n)) for n in range(1, 21)),
        attempt(START + 30 * S, "brook", role=Role.FALLBACK),
        failure(START + 31 * S),
        failure(START + 32 * S, ErrorKind.TIMEOUT, latency_s=30.0),
        failure(START + 33 * S, ErrorKind.POLICY),
        failure(START + 34 * S, ErrorKind.RATE_LIMIT),
        *(outcome(START + n * S, latency_s=float(n)) for n in range(1, 20)),
        outcome(START + 40 * S, mode=Mode.FALLBACK),
        outcome(START + 41 * S, status=503, error_kind=ErrorKind.SERVER),
        outcome(START + 42 * S, status=400, error_kind=ErrorKind.INVALID),
    )
    assert to.close() == [] and to.minutes() == (), "it is not over"
    clock.advance(60.0)
    (minute,) = to.close(lambda: Facts(("river",)))
    river, brook, total = minute.deployments["river"], minute.deployments["brook"], minute.total
    assert (minute.start_us, minute.end_us) == (START, START + MINUTE_US)
    assert (river.calls, river.answered, river.failed, river.judged) == (24, 20, 3, 23)
    assert river.errors == {"server": 1, "timeout": 1, "policy": 1, "rate_limit": 1}
    assert (river.timed, river.p50_s, river.p95_s, river.p99_s) == (21, 11.0, 20.0, 30.0)
    assert (river.first_tokens, river.ttft_p50_s, river.ttft_p95_s) == (20, 5.0, 9.5)
    assert (river.cost_micro_usd, brook.cost_micro_usd, total.cost_micro_usd) == (2_400, 100, 2_500)
    assert (brook.fallbacks, total.fallbacks) == (1, 1)
    assert (total.calls, total.answered, total.failed) == (22, 20, 1)
    assert total.errors == {"server": 1, "invalid": 1} and total.p95_s == 18.0
    assert minute.facts == Facts(("river",)) and to.minutes() == (minute,)
    assert to.series().last(minute.end_us, 1).failed == 1


def test_late_records_are_counted_as_late_and_nowhere_else() -> None:
    clock = HandClock(START)
    to = made(clock)
    tell(to, attempt(START + 59 * S), attempt(START + 60 * S), attempt(START + 59 * S))
    clock.advance(60.0)
    (first,) = to.close()
    assert first.total.cost_micro_usd == 100 and first.late == 0
    tell(to, attempt(START + 58 * S), attempt(START + 61 * S), outcome(START))
    clock.advance(60.0)
    (second,) = to.close()
    assert second.deployments["river"].calls == 2 and second.late == 3, "also before the close"
    assert first == to.minutes()[0]


def test_quiet_minutes_are_minutes_and_a_long_sleep_is_a_gap() -> None:
    clock = HandClock(START)
    to = made(clock)
    tell(to, outcome(START + S))
    clock.advance(180.0)
    tell(to, outcome(START + 181 * S))
    closed = to.close(lambda: Facts(("a",)))
    assert [each.start_us for each in closed] == [START, START + MINUTE_US, START + 2 * MINUTE_US]
    assert [each.total.calls for each in closed] == [1, 0, 0]
    assert [each.facts for each in closed] == [None, None, Facts(("a",))]
    clock.advance(60.0 * (KEPT + 2))
    assert to.close() == [], "a laptop that slept for days: what is between is missing"
    clock.advance(60.0)
    assert len(to.close()) == 1


def test_H06_a_clock_that_is_set_back_begins_anew() -> None:
    clock = HandClock(START)
    to = made(clock)
    for _ in range(5):
        tell(to, outcome(clock.wall))
        clock.advance(60.0)
        to.close()
    clock.wall -= 86_400 * S
    tell(to, outcome(clock.wall))
    assert to.close() == [] and to.minutes() == (), "the future is forgotten"
    tell(to, outcome(clock.wall))
    clock.advance(60.0)
    assert [each.total.calls for each in to.close()] == [1]
    clock.wall -= 120 * S  # a small step back: the minute stays open until it is over again
    tell(to, outcome(clock.wall))
    assert to.close() == []


def test_more_than_the_bound_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded. 40,000 values from 0 to 1: quantiles within four standard errors of 2,000."""
    monkeypatch.setattr(windows, "_CHANCE", random.Random(1))
    clock = HandClock(START)
    to = made(clock)
    for n in range(40_000):
        to.attempt(attempt(START, latency_s=n / 40_000.0))
    clock.advance(60.0)
    cell = to.close()[0].deployments["river"]
    assert cell.timed == cell.calls == 40_000
    for found, share in ((cell.p50_s, 0.5), (cell.p95_s, 0.95), (cell.p99_s, 0.99)):
        assert found == pytest.approx(share, abs=4.0 * (share * (1 - share) / 2_000) ** 0.5)


@pytest.fixture
def log() -> Iterator[tuple[Database, EventLog]]:
    database = Database(None)
    made = EventLog(database)
    made.start()
    yield database, made
    made.stop()
    database.close()


def test_a_restart_makes_the_same_minutes_from_the_log(log: tuple[Database, EventLog]) -> None:
    """Whatever is logged, the rebuilt minutes are those that were counted; the minute of the
    restart holds what came before and after it.
    """
    database, events = log
    chance, clock = random.Random(3), HandClock(START)
    live, records = made(clock), []
    kinds = [None, None, None, *ErrorKind]
    for second in range(0, 330, 2):
        at = START + second * S
        for name in ("river", "brook"):
            kind, latency = chance.choice(kinds), chance.expovariate(0.5)
            role = chance.choice((Role.FIRST, Role.FALLBACK, Role.SHADOW))
            one = attempt(at, name, latency, error_kind=kind, role=role)
            other = outcome(at, latency, status=chance.choice((200, 200, 429, 503)),
                            error_kind=chance.choice((None, ErrorKind.TIMEOUT)),
                            mode=chance.choice((Mode.RANDOMISED, Mode.FALLBACK)))  # fmt: skip
            records += [one, other]
    for each in records:
        tell(live, each)
        events.append(each)
    events.flush().result(30)
    clock.advance(330.0)
    live.close()

    again = MinuteWindows(clock)  # in the sixth minute
    after = attempt(START + 331 * S)
    tell(live, after)
    tell(again, after)
    through = events.last_seq
    events.append(after)
    events.flush().result(30)
    clock.advance(30.0)
    assert again.close() == [], "not before the log was read"
    first = again.first_us
    assert first == START + 5 * MINUTE_US
    asked = database.cursor(), first - 60 * MINUTE_US
    again.rebuild(
        minutes_of(*asked, first, through),
        counts_of(*asked, first, through),
        records_of(database.cursor(), first, first + MINUTE_US, through),
    )
    (mine,), (theirs,) = live.close(), again.close()
    assert mine == theirs and mine.deployments["river"].calls == 16
    bare = [tuple(replace(each, facts=None) for each in to.minutes()) for to in (live, again)]
    assert bare[0] == bare[1] and len(bare[1]) == 6
    end_us = START + 6 * MINUTE_US
    for span in (1, 3, 60):
        assert live.series().last(end_us, span) == again.series().last(end_us, span)


def test_the_series_answers_for_any_span() -> None:
    clock = HandClock(START)
    to = made(clock)
    for minute in range(10):
        tell(to, *(outcome(clock.wall) for _ in range(minute)))
        clock.advance(60.0)
        to.close()
    series, end_us = to.series(), START + 10 * MINUTE_US
    assert series.last(end_us, 1).answered == 9 and series.last(end_us, 3).answered == 24
    assert series.last(end_us, 100).answered == 45 and series.last(START, 100).answered == 0
    assert series.reaches(START) and not series.reaches(START - 1) and not Series().reaches(0)


def test_rows_of_the_future_and_of_other_minutes_are_left_out() -> None:
    clock = HandClock(START + 30 * S)
    to = MinuteWindows(clock)
    to.rebuild(
        [Minute(START - MINUTE_US), Minute(START), Minute(START + 60 * MINUTE_US)],
        [(START - MINUTE_US, 5, 1, 7), (START, 1, 0, 0)],
        [attempt(START + S), replace(attempt(START), at_us=START - S)],
    )
    clock.advance(60.0)
    (minute,) = to.close()
    assert minute.deployments["river"].calls == 1
    assert [each.start_us for each in to.minutes()] == [START - MINUTE_US, START]
    assert to.series().last(START + MINUTE_US, 60).answered == 5


def test_the_quantile_is_the_least_value_that_suffices() -> None:
    assert quantile([], 0.5) is None and quantile([3.0], 0.99) == 3.0
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.25, 0.5, 0.51, 1.0)] == [
        1,
        2,
        3,
        4,
    ]
