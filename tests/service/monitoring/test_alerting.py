"""Silences, acknowledgements, the digest, alarms that tell of themselves, plans that change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.domain.alerts import Severity, Silence, SilenceEnd, Step
from service.domain.clock import new_id
from service.domain.errors import Conflict
from service.domain.minutes import MINUTE_US
from service.monitoring.alert_book import MOST_SILENCES
from service.monitoring.rules import ALERT_RULES, Finding, Seen
from service.plan.alerts import AlertsPlan
from tests.conftest import HandClock
from tests.service.monitoring.minutes import CALM, START
from tests.service.monitoring.watched import Watched, act


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.close()


def silence(watched: Watched, minutes: int, scope: str = "river") -> Silence:
    now_us = watched.clock.wall_us()
    return Silence(new_id(), now_us, "latency", scope, now_us + minutes * MINUTE_US, "ann", "known")


async def test_a_silence_keeps_quiet_and_its_end_speaks(watched: Watched) -> None:
    await watched.watch.silence(silence(watched, 20), act("known"))
    await watched.minutes(12, 60.0)
    assert watched.notices == [] and len(watched.alerting.firing()) == 1
    assert watched.watch.warnings() == []
    assert watched.bounds is not None and watched.bounds.laid, "what is done is done all the same"
    watched.start()
    await watched.minutes(7, 60.0)
    assert watched.at == 19 and watched.notices == [], "it outlives a restart"
    await watched.minute(60.0)
    assert watched.at == 20 and watched.said == ["alert.fired"]
    await watched.watch.silence(silence(watched, 100, ""), act("known"))
    await watched.minutes(30, 60.0)
    assert watched.said == ["alert.fired"], "nobody is called either"


async def test_so_many_silences_hold_and_no_more_also_where_they_come_together(
    watched: Watched,
) -> None:
    """At a time; what has run out or was ended makes room."""
    laying = [
        watched.watch.silence(silence(watched, 20 + number), act("known"))
        for number in range(MOST_SILENCES + 5)
    ]
    ended = await asyncio.gather(*laying, return_exceptions=True)
    refused = [each for each in ended if each is not None]
    assert len(refused) == 5 and all(isinstance(each, Conflict) for each in refused)
    held = watched.watch.book.silences()
    assert len(held) == MOST_SILENCES
    with pytest.raises(Conflict, match="end some"):
        await watched.watch.silence(silence(watched, 20), act("known"))
    end = SilenceEnd(held[0].id, watched.clock.wall_us(), "ann", "over")
    await watched.watch.unsilence(end, act("over"))
    await watched.watch.silence(silence(watched, 20), act("known"))
    assert len(watched.watch.book.silences()) == MOST_SILENCES


async def test_the_digest_lists_each_once_a_day_at_its_time() -> None:
    watched = Watched(HandClock(START), digest_at="14:44", runbook_url="https://r/")
    await watched.minutes(5, 60.0)
    await watched.minutes(10, 1.0)
    await watched.minutes(14, 60.0)
    assert watched.at == 29 and "alerts.digest" not in watched.said
    await watched.minute(60.0)
    digests = [each for each in watched.notices if each.event == "alerts.digest"]
    assert watched.at == 30 and len(digests) == 1
    assert digests[0].text == (
        "2 alerts in the day to 2026-09-21\n- latency (river) 2 times, lasts: p95 of river is 60 s "
        "(limit 45 s)"
    )
    assert (digests[0].severities, digests[0].link) == (("info",), "https://r/")
    watched.start()
    await watched.minutes(20, 60.0)
    assert watched.said.count("alerts.digest") == 1, "a restart sends no second one"
    watched.clock.advance(86_400.0 - 20 * 60.0)
    watched.start()
    await watched.minute(1.0)
    assert watched.said.count("alerts.digest") == 1, "nothing fired in that day"
    assert [step for step, _ in watched.steps()].count("digest") == 3
    watched.close()


async def test_an_alarm_that_tells_of_itself_is_listed_and_pages() -> None:
    watched = Watched()
    watched.facts = type(CALM)(outage="all are down")
    await watched.minute()
    alert = watched.alert
    assert (alert.rule, alert.severity) == ("outage", Severity.PAGE) and watched.notices == []
    await watched.minutes(30)
    assert watched.said == ["alert.paged"]
    watched.facts = CALM
    await watched.minutes(10)
    assert watched.alerting.firing() == [] and watched.said == ["alert.paged"]
    watched.close()


async def test_a_rule_that_the_plan_turns_off_ends_its_alerts(watched: Watched) -> None:
    await watched.minutes(5, 60.0)
    watched.switch(latency={"enabled": False})
    await watched.minute(60.0)
    assert watched.alerting.firing() == []
    assert "turned the rule off" in watched.notices[-1].text
    assert watched.bounds is not None and watched.bounds.laid == {}


async def test_a_deployment_that_the_plan_dropped_clears(watched: Watched) -> None:
    await watched.minutes(5, 60.0)
    watched.facts = type(CALM)(("brook",))
    await watched.minutes(10)
    assert watched.alerting.firing() == []


async def test_somebody_may_say_that_it_is_over(watched: Watched) -> None:
    await watched.minutes(5, 60.0)
    ended = await watched.watch.resolve(watched.alert, act("nothing is sent there"))
    assert ended.resolved_us and watched.alerting.firing() == []
    assert watched.bounds is not None and watched.bounds.laid == {}
    assert watched.notices[-1].text == "over: latency (river): ann: nothing is sent there"
    await watched.minutes(14, 60.0)
    assert watched.alerting.firing() == [], "its cool-down holds"
    await watched.minute(60.0)
    assert len(watched.alerting.firing()) == 1


async def test_without_alerts_nothing_is_judged() -> None:
    watched = Watched(enabled=False)
    await watched.minutes(6, 60.0)
    assert watched.alerting.firing() == [] and watched.watch.warnings() == []
    assert len(watched.alerting.minutes()) == 6, "the windows are for the console all the same"
    watched.close()


async def test_a_rule_that_breaks_keeps_no_other_from_being_heard(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(seen: Seen, plan: AlertsPlan) -> list[Finding]:
        raise ZeroDivisionError

    rule = replace(ALERT_RULES["spend"], look=broken)
    monkeypatch.setitem(ALERT_RULES, "spend", rule)  # type: ignore[arg-type]
    await watched.minutes(5, 60.0)
    assert watched.alert.rule == "latency"
    assert "the rule spend cannot be looked at" in caplog.text


async def test_what_the_log_holds_says_all_of_it(watched: Watched) -> None:
    await watched.minutes(5, 60.0)
    fired, acted, told = watched.alert.events
    assert (fired.step, fired.author, fired.value) == (Step.FIRED, "headgate", 60.0)
    assert json.loads(acted.detail)["override_id"] == watched.alert.override_id
    assert json.loads(told.detail) == {"channel": "pager", "result": "sent", "sent": True}
    before = watched.alert
    watched.start()
    assert watched.alert == before, "a fold over the same events"
