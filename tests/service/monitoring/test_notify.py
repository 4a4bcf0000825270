"""Operators are told by a log line, an act and their webhook, in the shape that it takes."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from service.domain.records import Act
from service.monitoring import notify
from service.monitoring.notify import Address, Notice, Notifier, announcement, host_of, message
from service.monitoring.outage import Outage
from tests.conftest import HandClock
from tests.upstream import Upstream, http, say

BEGAN = Outage(1_790_000_000_000_000, 3, "all are down", "upstream_unavailable")
ENDED = Outage(1_790_000_000_000_000, 40, "all are down", "upstream_unavailable", 61.5)


async def told(upstream: Upstream, count: int) -> list[Any]:
    async with asyncio.timeout(10):
        while len(upstream.requests) < count:
            await asyncio.sleep(0.01)
    return [json.loads(each.split(b"\r\n\r\n", 1)[1]) for each in upstream.requests]


async def test_F30_a_line_an_act_and_a_call_that_is_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "WAITS_S", (0.01, 0.01))
    acts: list[Act] = []
    with Upstream() as upstream:
        upstream.act = say(http(500, b""))
        address = Address(f"http://127.0.0.1:{upstream.port}/secret-path", runbook_url="https://r/")
        notifier = Notifier(acts.append, address, HandClock())
        notifier.tell(BEGAN)
        await told(upstream, 1)
        upstream.act = say(http(200, b""))
        bodies = await told(upstream, 2)
        assert bodies[-1]["event"] == "outage.began" and bodies[-1]["runbook_url"] == "https://r/"
        async with asyncio.timeout(10):
            while notifier._calls:
                await asyncio.sleep(0.01)
        assert notifier.failure == "" and len(upstream.requests) <= 3
        notifier.tell(ENDED)
        last = (await told(upstream, len(upstream.requests) + 1))[-1]
        assert (last["event"], last["lasted_s"], last["id"]) == (
            "outage.ended", 61.5, bodies[-1]["id"],
        )  # fmt: skip
        await notifier.stop()
    assert [act.act for act in acts] == ["outage.began", "outage.ended"]
    assert acts[0].subject == acts[1].subject and json.loads(acts[1].detail)["lasted_s"] == 61.5
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(lines) == 2 and "no deployment can answer" in lines[0] and "is over" in lines[1]
    assert "secret-path" not in caplog.text and "secret-path" not in repr(address)


async def test_S03_a_webhook_that_cannot_be_reached_is_given_up_without_its_address(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "WAITS_S", (0.01,))
    notifier = Notifier(lambda act: None, Address("http://127.0.0.1:9/secret-path"), HandClock())
    notifier.tell(BEGAN)
    async with asyncio.timeout(10):
        while notifier._calls:
            await asyncio.sleep(0.01)
    assert "could not be told" in caplog.text and "secret-path" not in caplog.text
    await notifier.stop()


async def test_without_an_address_a_line_and_an_act_are_all() -> None:
    acts: list[Act] = []
    notifier = Notifier(acts.append, Address(), HandClock())
    notifier.tell(BEGAN)
    assert len(acts) == 1 and not notifier._calls
    await notifier.stop()


def test_the_shapes() -> None:
    slack = message(BEGAN, Address("u", "slack", runbook_url="https://r/"), "id")
    assert set(slack) == {"text"} and "<https://r/|Runbook>" in slack["text"]
    pager = Address("u", "pagerduty", "routing", "https://r/")
    began, ended = message(BEGAN, pager, "id"), message(ENDED, pager, "id")
    assert (began["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert began["dedup_key"] == ended["dedup_key"] and began["routing_key"] == "routing"
    assert set(began["payload"]) >= {"summary", "source", "severity"}
    assert began["links"][0]["href"] == "https://r/"


async def test_an_alarm_is_announced_and_later_resolved(caplog: pytest.LogCaptureFixture) -> None:
    began = Notice("propensities.alarm", "propensities-1", 1_790_000_000_000_000, "draws are off")
    ended = replace(began, event="propensities.acknowledged", text="ann has seen it", ended=True)
    with Upstream() as upstream:
        upstream.act = say(http(200, b""))
        address = Address(f"http://127.0.0.1:{upstream.port}/x", runbook_url="https://r/")
        acts: list[Act] = []
        notifier = Notifier(acts.append, address, HandClock())
        notifier.announce(began)
        body = (await told(upstream, 1))[0]
        assert body == {
            "event": "propensities.alarm", "id": "propensities-1", "text": "draws are off",
            "began_at": "2026-09-21T14:13:20+00:00", "runbook_url": "https://r/",
            "severity": "page", "ended": False, "link": None,
        }  # fmt: skip
        await notifier.stop()
    assert acts == [], "whoever raises it has logged it"
    assert "draws are off" in caplog.text
    pager = Address("u", "pagerduty", "routing")
    first, last = announcement(began, pager), announcement(ended, pager)
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"] == "headgate-propensities-1"
    assert announcement(began, Address("u", "slack")) == {"text": "Headgate: draws are off"}


def test_the_operators_own_host_is_the_one_that_is_called() -> None:
    assert host_of("https://alerts.inner/x") == "alerts.inner:443"
    assert host_of("http://127.0.0.1:9/x") == "127.0.0.1:9"
    assert host_of("https://[::1]:8/x") == "[::1]:8"
