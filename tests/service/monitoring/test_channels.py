"""Channels on loopback: shapes, signatures, retries, once, bounded, and never in one's way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections import Counter
from dataclasses import replace

import pytest

from service.monitoring import channels as channels_
from service.monitoring import notify
from service.monitoring.channels import RESULTS, Channels, Target
from service.monitoring.notify import Address, Notice
from tests.conftest import HandClock
from tests.service.monitoring.watched import until
from tests.upstream import Upstream, hang, http, say

NOTICE = Notice("alert.fired", "a-1", 1_790_000_000_000_000, "latency (river): slow",
                severities=("ticket",), link="https://console.inner/alerts/a-1")  # fmt: skip
ALL = frozenset(("page", "ticket", "info"))


def target(port: int, kind: str = "webhook", **more: object) -> Target:
    shapes = {"webhook": "plain", "slack": "slack", "pagerduty": "pagerduty"}
    address = Address(
        f"http://127.0.0.1:{port}/secret-path", shapes[kind], "routing-secret", "https://runbook/"
    )
    fields = {"name": kind, "kind": kind, "severities": ALL, "address": address}
    return Target(**(fields | more))  # type: ignore[arg-type]


class Told:
    """What came of each notice."""

    def __init__(self) -> None:
        self.results: list[tuple[str, str, str]] = []

    def __call__(self, channel: str, notice: Notice, result: str) -> None:
        assert result in RESULTS
        self.results.append((channel, notice.id, result))

    @property
    def counted(self) -> Counter[str]:
        return Counter(result for _, _, result in self.results)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "WAITS_S", (0.01, 0.01))


def body_of(request: bytes) -> bytes:
    return request.split(b"\r\n\r\n", 1)[1]


def header_of(request: bytes, name: str) -> str:
    lines = request.split(b"\r\n\r\n", 1)[0].decode().splitlines()
    return next(line.split(": ", 1)[1] for line in lines if line.lower().startswith(f"{name}: "))


async def test_each_kind_gets_its_shape_and_a_webhook_is_signed() -> None:
    told, clock = Told(), HandClock()
    with Upstream() as upstream:
        upstream.act = say(http(200, b""))
        kinds = ("webhook", "slack", "pagerduty")
        targets = [target(upstream.port, kind, secret="s3" * (kind == "webhook")) for kind in kinds]
        to = Channels(targets, clock, told)
        to.send(NOTICE)
        await until(lambda: len(told.results) == 3)
        bodies = {}
        for request in upstream.requests:
            content = json.loads(body_of(request))
            kind = "slack" if set(content) == {"text"} else "webhook"
            kind = "pagerduty" if "event_action" in content else kind
            bodies[kind] = request, content
        request, plain = bodies["webhook"]
        assert plain["id"] == "a-1" and plain["severity"] == "ticket" and not plain["ended"]
        assert plain["link"] == NOTICE.link and plain["event"] == "alert.fired"
        parts = dict(p.split("=", 1) for p in header_of(request, "x-headgate-signature").split(","))
        signed = parts["t"].encode() + b"." + body_of(request)
        assert parts["v1"] == hmac.new(b"s3", signed, hashlib.sha256).hexdigest()
        assert int(parts["t"]) == clock.wall // 1_000_000
        assert header_of(request, "x-headgate-key") == "a-1.alert.fired"
        assert "Headgate: latency (river): slow" in bodies["slack"][1]["text"]
        assert f"<{NOTICE.link}|Look> <https://runbook/|Runbook>" in bodies["slack"][1]["text"]
        pager = bodies["pagerduty"][1]
        assert (pager["event_action"], pager["dedup_key"]) == ("trigger", "headgate-a-1")
        assert (
            pager["payload"]["severity"] == "warning" and pager["routing_key"] == "routing-secret"
        )
        assert [each["href"] for each in pager["links"]] == [NOTICE.link, "https://runbook/"]
        to.send(replace(NOTICE, event="alert.resolved", ended=True))
        await until(lambda: len(told.results) == 6)
        last = [json.loads(body_of(each)) for each in upstream.requests[3:]]
        actions = [each["event_action"] for each in last if "event_action" in each]
        assert actions == ["resolve"]
        await to.stop()
    assert told.counted == {"sent": 6}


def test_slack_finds_no_markup_in_what_others_named() -> None:
    notice = replace(NOTICE, text="<!channel> & <https://evil|river>")
    text = notify.announcement(notice, Address("u", "slack"))["text"]
    assert text.startswith(
        "Headgate: &lt;!channel&gt; &amp; &lt;https://evil|river&gt;\n<https://c"
    )


async def test_a_severity_that_it_does_not_take_is_not_sent() -> None:
    told = Told()
    with Upstream() as upstream:
        upstream.act = say(http(200, b""))
        pages = target(upstream.port, "slack", name="pages", severities=frozenset(("page",)))
        to = Channels([pages], HandClock(), told)
        to.send(NOTICE)
        to.send(replace(NOTICE, event="alert.resolved", ended=True, severities=("page", "ticket")))
        await until(lambda: len(told.results) == 1)
        assert len(upstream.requests) == 1, "what ends is told wherever its page was"
        await to.stop()


async def test_a_notice_is_told_once_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_, "REMEMBERED", 3)
    told = Told()
    with Upstream() as upstream:
        upstream.act = say(http(200, b""))
        to = Channels([target(upstream.port)], HandClock(), told)
        for _ in range(5):
            to.send(NOTICE)
        await until(lambda: told.counted["sent"] == 1)
        assert told.counted == {"sent": 1, "repeated": 4} and len(upstream.requests) == 1
        for at in range(3):
            to.send(replace(NOTICE, id=f"other-{at}"))
        to.send(NOTICE)
        await until(lambda: told.counted["sent"] == 5)
        await to.stop()


async def test_a_failure_is_tried_again_and_a_refusal_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()
    with Upstream() as upstream:
        upstream.act = say(http(503, b""))
        to = Channels([target(upstream.port)], HandClock(), told)
        to.send(NOTICE)
        await until(lambda: told.counted["failed"] == 1)
        assert len(upstream.requests) == 3 and to.failures == {"webhook": "it answered 503"}
        upstream.act = say(http(404, b""))
        to.send(replace(NOTICE, id="a-2"))
        await until(lambda: told.counted["refused"] == 1)
        assert len(upstream.requests) == 4, "an address that is wrong stays wrong"
        upstream.act = say(http(200, b""))
        to.send(replace(NOTICE, id="a-3"))
        await until(lambda: told.counted["sent"] == 1)
        assert to.failures == {}
        await to.stop()
    assert "could not be told: it answered 503" in caplog.text
    shown = caplog.text + repr(to._waiting) + repr(target(1))
    assert "secret" not in shown.replace("secret=", ""), "no address, no key"


async def test_S01_redirects_other_schemes_and_plain_http_elsewhere_are_refused() -> None:
    told = Told()
    with Upstream() as upstream:
        upstream.act = say(http(302, b"", "Location: http://169.254.169.254/latest"))
        bad = [
            replace(target(1), name=name, address=Address(url))
            for name, url in (
                ("file", "file:///etc/passwd"), ("plain", "http://10.0.0.1/x"),
                ("user", "https://good@169.254.169.254/"), ("nothing", "nowhere"),
            )
        ]  # fmt: skip
        to = Channels([target(upstream.port, name="moved"), *bad], HandClock(), told)
        to.send(NOTICE)
        await until(lambda: len(told.results) == 5)
        assert {name: result for name, _, result in told.results} == {
            "moved": "refused", "file": "refused", "plain": "refused", "user": "refused",
            "nothing": "refused",
        }  # fmt: skip
        assert len(upstream.requests) == 1
        await to.stop()


async def test_a_channel_that_hangs_keeps_no_other_waiting_and_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels_, "MOST_WAITING", 2)
    told = Told()
    with Upstream() as slow, Upstream() as good:
        slow.act, good.act = hang, say(http(200, b""))
        to = Channels(
            [target(slow.port, name="slow"), target(good.port, name="good")], HandClock(), told
        )
        to.send(replace(NOTICE, id="n-0"))
        await until(lambda: told.counted["sent"] == 1 and len(slow.requests) == 1)
        for at in range(1, 5):
            to.send(replace(NOTICE, id=f"n-{at}"))
            await until(lambda at=at: told.counted["sent"] == at + 1)  # type: ignore[misc]
        dropped = [identity for name, identity, how in told.results if how == "dropped"]
        assert dropped == ["n-1", "n-2"], "the oldest go"
        async with asyncio.timeout(10):
            await to.stop()


async def test_another_plan_keeps_what_stays_and_tells_what_was_begun() -> None:
    told = Told()
    with Upstream() as upstream:
        upstream.act = say(http(200, b""))
        stays, goes = target(upstream.port), target(upstream.port, "slack")
        to = Channels([stays, goes], HandClock(), told)
        to.send(NOTICE)
        new = target(upstream.port, "slack", name="new")
        to.renew([target(upstream.port), new])
        assert to.names == ("webhook", "new")
        to.send(NOTICE)
        await until(lambda: len(told.results) == 4)
        assert sorted(told.results) == [
            ("new", "a-1", "sent"), ("slack", "a-1", "sent"), ("webhook", "a-1", "repeated"),
            ("webhook", "a-1", "sent"),
        ]  # fmt: skip
        await to.stop()


async def test_a_try_says_what_each_answered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    told = Told()
    with Upstream() as good, Upstream() as bad:
        good.act, bad.act = say(http(204, b"")), say(http(500, b""))
        quiet = target(good.port, name="quiet", severities=frozenset(("page",)))
        to = Channels([quiet, target(bad.port, name="bad")], HandClock(), told)
        answers = await to.try_all(replace(NOTICE, severities=("info",)))
        assert answers == {"quiet": "sent", "bad": "it answered 500"}
        assert len(bad.requests) == 1, "once"
        await to.stop()
