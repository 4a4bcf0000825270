"""The watch to the minute: fire, act, page, resolve, revert, digest, gaps and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from service.domain.alerts import AlertEvent, Severity, Step
from service.domain.minutes import MINUTE_US
from service.monitoring.rules import Run
from service.storage.errors import WriteFailed
from tests.service.monitoring.minutes import START, attempt
from tests.service.monitoring.watched import Watched, act, until

S = 1_000_000
TOLD = Step.TOLD


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.close()


async def test_it_fires_exactly_at_the_close_of_the_fifth_window(watched: Watched) -> None:
    await watched.minutes(4, 60.0)
    assert watched.alerting.firing() == [] and watched.notices == []
    watched.calls(60.0)
    watched.clock.advance(59.9)
    await watched.alerting.turn()
    assert watched.alerting.firing() == [], "the fifth is not closed yet"
    watched.clock.advance(0.1)
    await watched.alerting.turn()
    alert = watched.alert
    assert (alert.rule, alert.scope, alert.severity) == ("latency", "river", Severity.TICKET)
    assert (alert.value, alert.threshold) == (60.0, 45.0)
    assert alert.fired_us == START + 5 * MINUTE_US
    assert watched.steps() == [("fired", 5), ("acted", 5), ("told", 5)]


async def test_what_is_done_at_once_is_bounded_told_and_reverted(watched: Watched) -> None:
    watched.switch(console_url="https://console.inner/")
    await watched.minutes(5, 60.0)
    assert watched.bounds is not None
    alert = watched.alert
    laid = f"o-{alert.id}"
    assert watched.bounds.laid == {laid: ("river", 0.3, 7_200.0)}
    assert alert.override_id == laid
    (notice,) = watched.notices
    assert notice.text == (
        "latency (river): p95 of river is 60 s (limit 45 s); river gets at most 0.3 of any task "
        "for now"
    )
    assert notice.link == f"https://console.inner/alerts/{alert.id}"
    assert notice.severities == ("ticket",) and notice.id == alert.id
    await watched.minutes(9, 2.0)
    assert watched.bounds.laid, "nine clean minutes are not ten"
    await watched.minute(2.0)
    assert watched.bounds.laid == {} and watched.bounds.lifted == [laid]
    assert watched.alerting.firing() == []
    assert watched.steps()[3:] == [("reverted", 15), ("resolved", 15), ("told", 15)]
    assert watched.notices[-1].ended and watched.notices[-1].id == alert.id
    assert "clear for 10 minutes in a row" in watched.notices[-1].text


async def test_what_cannot_be_shifted_is_said(watched: Watched) -> None:
    assert watched.bounds is not None
    watched.bounds.share = 0.0
    await watched.minutes(5, 60.0)
    assert "river is sent nothing as it is" in watched.notices[0].text
    assert watched.alert.override_id == ""
    watched.bounds.share = 0.02
    await watched.minutes(10, 2.0)
    await watched.minutes(20, 60.0)
    assert list(watched.bounds.laid.values()) == [("river", 0.02, 7_200.0)], "never under the floor"


async def test_somebody_is_called_after_half_an_hour_and_once(watched: Watched) -> None:
    await watched.minutes(34, 60.0)
    assert watched.said == ["alert.fired"]
    await watched.minute(60.0)
    assert watched.said == ["alert.fired", "alert.paged"] and watched.at == 35
    assert watched.notices[-1].severities == ("page",)
    assert "for 30 minutes now: p95 of river is 60 s" in watched.notices[-1].text
    await watched.minutes(40, 60.0)
    assert watched.said.count("alert.paged") == 1
    await watched.minutes(10, 1.0)
    assert watched.notices[-1].severities == ("page", "ticket"), "both are told that it is over"


async def test_nobody_is_called_while_it_clears_or_is_seen_to(watched: Watched) -> None:
    await watched.minutes(34, 60.0)
    await watched.minutes(2, 1.0)
    assert watched.said == ["alert.fired"], "it is clearing"
    await watched.minute(60.0)
    assert watched.said == ["alert.fired", "alert.paged"] and watched.at == 37
    other = Watched()
    await other.minutes(20, 60.0)
    await other.watch.acknowledge(other.alert, act("I am looking at it"))
    await other.minutes(30, 60.0)
    assert other.said == ["alert.fired"]
    assert (
        other.alert.acknowledged_by == "ann" and "acknowledged by ann" in other.watch.warnings()[0]
    )
    other.close()


async def test_too_few_end_a_row_and_clear_nothing(watched: Watched) -> None:
    await watched.minutes(4, 60.0)
    await watched.minute(60.0, n=19)
    await watched.minutes(4, 60.0)
    assert watched.alerting.firing() == [], "the row was broken"
    await watched.minute(60.0)
    assert len(watched.alerting.firing()) == 1
    await watched.minutes(9, 1.0)
    await watched.minutes(20, 1.0, n=19)
    assert len(watched.alerting.firing()) == 1, "too few is not well"
    await watched.minute(1.0)
    assert watched.alerting.firing() == []


async def test_between_the_thresholds_it_neither_fires_nor_clears(watched: Watched) -> None:
    await watched.minutes(4, 60.0)
    await watched.minute(44.0)
    await watched.minutes(4, 60.0)
    assert watched.alerting.firing() == []
    await watched.minute(60.0)
    await watched.minutes(9, 40.0)
    await watched.minute(44.0)
    await watched.minutes(9, 40.0)
    assert len(watched.alerting.firing()) == 1
    await watched.minute(40.0)
    assert watched.alerting.firing() == []


async def test_it_does_not_flap(watched: Watched) -> None:
    """After its end it stays silent for a quarter of an hour, and then fires if it still is so."""
    await watched.minutes(5, 60.0)
    await watched.minutes(10, 1.0)
    assert watched.at == 15 and watched.alerting.firing() == []
    await watched.minutes(14, 60.0)
    assert watched.said == ["alert.fired", "alert.resolved"] and watched.alerting.firing() == []
    assert "does not fire again" in watched.watch.warnings()[0]
    await watched.minute(60.0)
    assert watched.at == 30 and watched.said[-1] == "alert.fired"
    assert watched.bounds is not None and len(watched.bounds.laid) == 1


async def test_other_deployments_are_other_alerts(watched: Watched) -> None:
    for _ in range(5):
        watched.calls(60.0, name="brook")
        await watched.minute(60.0)
    assert [each.scope for each in watched.alerting.firing()] == ["brook", "river"]
    assert {each.text for each in watched.notices} == {
        f"latency ({name}): p95 of {name} is 60 s (limit 45 s); {name} gets at most 0.3 of any "
        "task for now" for name in ("brook", "river")
    }  # fmt: skip


# gaps, late data, restarts ------------------------------------------------------------------------


async def test_a_gap_ends_a_row(watched: Watched) -> None:
    await watched.minutes(4, 60.0)
    watched.clock.advance(60.0)  # nobody runs
    watched.start()
    await watched.minutes(4, 60.0)
    assert watched.alerting.firing() == []
    await watched.minute(60.0)
    assert len(watched.alerting.firing()) == 1 and watched.at == 10


async def test_late_data_do_not_reopen_a_minute(watched: Watched) -> None:
    await watched.minutes(4, 60.0)
    late = watched.clock.wall_us() - 10 * S
    await watched.alerting.turn()
    watched.call(*(attempt(late, "river", 1.0) for _ in range(2_000)))
    await watched.minute(60.0)
    assert len(watched.alerting.firing()) == 1
    assert watched.alerting.minutes()[-1].late == 2_000


@pytest.mark.parametrize("seconds", [0.0, 20.0, 59.0])
async def test_a_restart_in_the_middle_of_a_row_goes_on(watched: Watched, seconds: float) -> None:
    """Whenever in the minute: it fires at the fifth close all the same, and once."""
    await watched.minutes(2, 60.0)
    watched.calls(60.0, n=15)
    watched.clock.advance(seconds)
    watched.start()
    watched.calls(60.0, n=15)
    await watched.alerting.turn()
    watched.clock.advance(60.0 - seconds)
    await watched.alerting.turn()
    assert watched.at == 3 and watched.watch.runs["latency", "river"] == Run(3, 0)
    await watched.minute(60.0)
    assert watched.alerting.firing() == []
    await watched.minute(60.0)
    assert watched.alert.fired_us == START + 5 * MINUTE_US


async def test_a_close_that_was_missed_is_judged_at_the_start(watched: Watched) -> None:
    await watched.minutes(4, 60.0)
    watched.calls(60.0)
    watched.clock.advance(59.0)
    watched.start()  # in the fifth minute, and its close comes
    watched.clock.advance(1.0)
    await watched.alerting.turn()
    assert len(watched.alerting.firing()) == 1


async def test_a_restart_fires_nothing_twice(watched: Watched) -> None:
    await watched.minutes(8, 60.0)
    before = watched.alert
    for _ in range(3):
        watched.start()
        await watched.minute(60.0)
    assert watched.alert.id == before.id and watched.said == ["alert.fired"]
    assert watched.alert.override_id == before.override_id
    await watched.minutes(24, 60.0)
    assert watched.at == 35 and watched.said == ["alert.fired", "alert.paged"]
    watched.start()
    await watched.minutes(5, 1.0)
    watched.start()
    await watched.minutes(5, 1.0)
    assert watched.alerting.firing() == [], "ten clean minutes, with a restart among them"
    assert watched.bounds is not None and watched.bounds.laid == {}
    watched.start()
    await watched.minutes(4, 60.0)
    assert watched.without(TOLD, Step.ACTED) == [
        ("fired", 5), ("paged", 35), ("reverted", 45), ("resolved", 45),
    ]  # fmt: skip


@pytest.mark.parametrize("was_laid", [True, False])
async def test_a_kill_between_what_is_done_and_what_is_logged(
    watched: Watched, was_laid: bool
) -> None:
    await watched.minutes(5, 60.0)
    assert watched.bounds is not None
    laid = watched.alert.override_id
    watched.log.flush().result(5)
    watched.database.cursor().execute("DELETE FROM alert_events WHERE step = 'acted'")
    if not was_laid:
        watched.bounds.laid.clear()
    watched.start()
    assert watched.alert.override_id == ""
    await watched.minute(60.0)
    acted = [each for each in watched.alert.events if each.step is Step.ACTED]
    assert len(acted) == 1 and watched.alert.override_id == (laid if was_laid else "")
    told = "gets at most 0.3" if was_laid else "its share is not bounded: the service ended before"
    assert told in acted[0].text
    watched.start()
    await watched.minutes(11, 1.0)
    assert watched.alerting.firing() == [] and watched.bounds.laid == {}
    assert watched.bounds.lifted == ([laid] if was_laid else [])


async def test_who_was_not_reached_is_told_after_a_restart(watched: Watched) -> None:
    watched.reaches = False
    await watched.minutes(6, 60.0)
    assert watched.said == ["alert.fired"]
    watched.start()
    await watched.minutes(2, 60.0)
    assert watched.said == ["alert.fired"] * 2
    watched.reaches = True
    watched.start()
    await watched.minute(60.0)
    watched.start()
    await watched.minute(60.0)
    assert watched.said == ["alert.fired"] * 3, "now somebody has it"


async def test_the_cool_down_outlives_a_restart(watched: Watched) -> None:
    await watched.minutes(5, 60.0)
    await watched.minutes(10, 1.0)
    watched.start()
    await watched.minutes(14, 60.0)
    assert watched.alerting.firing() == []
    await watched.minute(60.0)
    assert len(watched.alerting.firing()) == 1


async def test_a_cool_down_is_told_while_it_lasts_and_only_then(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert that is about to fire is on its way to the log: nothing of it has ended."""
    seen: list[list[str]] = []
    real = watched.log.append_durable

    def append(event: AlertEvent) -> Future[int]:
        seen.append(watched.watch.warnings())
        return real(event)

    monkeypatch.setattr(watched.log, "append_durable", append)
    await watched.minutes(5, 60.0)
    assert seen[0] == [] and len(watched.watch.warnings()) == 1
    await watched.minutes(10, 1.0)
    await watched.minutes(14, 60.0)
    (said,) = watched.watch.warnings()
    assert "it does not fire again for 15 minutes" in said
    seen.clear()
    await watched.minute(60.0)
    assert seen[0] == [] and watched.watch.warnings()[0].startswith("alert latency since ")


async def test_H03_a_full_disk_keeps_nobody_from_being_told(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log cannot be written: it fires, acts and tells; the events come when it can again."""
    await watched.minutes(4, 60.0)
    watched.log.flush().result(30)
    monkeypatch.setattr("service.storage.event_log.RETRY_S", 0.05)
    real = watched.database.write

    def refuse(_: object) -> None:
        raise WriteFailed("No space left on device")

    monkeypatch.setattr(watched.database, "write", refuse)
    await watched.minute(60.0)
    assert watched.said == ["alert.fired"] and len(watched.alerting.firing()) == 1
    monkeypatch.setattr(watched.database, "write", real)
    await until(lambda: watched.log.healthy)
    assert watched.steps() == [("fired", 5), ("acted", 5), ("told", 5)]
