"""Tells the operators of an outage or an alarm, once at its beginning and once at its end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from service.domain.clock import Clock, new_id
from service.domain.records import Act
from service.monitoring.outage import Outage
from service.outbound import Outbound, OutboundFailed, OutboundRefused

log = logging.getLogger("headgate.outage")

SHAPED = ("slack", "pagerduty")  # these take what is theirs and nothing more
LOUDNESS = {"page": "critical", "ticket": "warning", "info": "info"}  # PagerDuty's words
WAITS_S = (1.0, 5.0, 20.0, 60.0, 180.0)  # between calls of the operators' webhook


@dataclass(frozen=True, slots=True)
class Notice:
    """Something else that operators are told: what an alarm says, or that it was acknowledged."""

    event: str  # of a closed set, such as propensities.alarm
    id: str  # of both its beginning and its end
    at_us: int  # when it began
    text: str
    ended: bool = False
    severities: tuple[str, ...] = ("page",)  # what it is and was, the loudest first
    link: str = ""  # where to look


@dataclass(frozen=True, slots=True)
class Address:
    """Where operators are told: a secret URL, the shape it takes, what to read there."""

    url: str = field(default="", repr=False)
    shape: str = "plain"
    routing_key: str = field(default="", repr=False)
    runbook_url: str = ""


def host_of(url: str) -> str:
    """``host:port`` of a URL that the operators themselves set: it may lie within their walls."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Notifier:
    """A log line, an act, and a call of the operators' webhook that is tried a few times."""

    def __init__(
        self,
        append: Callable[[Act], object],
        address: Address,
        clock: Clock,
        outbound: Outbound | None = None,
    ) -> None:
        self._append, self._address, self._clock = append, address, clock
        self._outbound = outbound or Outbound([host_of(address.url)] if address.url else [])
        self._calls: set[asyncio.Task[None]] = set()
        self._last = ""
        self.failure = ""
        self.also: Callable[[Notice], None] = lambda notice: None  # who else is told

    def tell(self, outage: Outage) -> None:
        """Tell of an outage's beginning or end. Returns at once; must run on the event loop."""
        ended = outage.lasted_s is not None
        text = in_words(outage)
        log.error("%s", text)
        if not ended:
            self._last = new_id()
        detail = {"failed_requests": outage.failed, "code": outage.code,
                  "lasted_s": outage.lasted_s}  # fmt: skip
        act = "outage.ended" if ended else "outage.began"
        self._append(
            Act(new_id(), self._clock.wall_us(), "headgate", act, self._last, outage.reason,
                json.dumps(detail))
        )  # fmt: skip
        self._send(message(outage, self._address, self._last))
        self.also(notice_of(outage, self._last))

    def announce(self, notice: Notice) -> None:
        """Tell of an alarm that the log already holds. Returns at once; on the event loop."""
        quiet = notice.severities == ("info",)  # for the channels that want it
        log.log(logging.INFO if quiet else logging.ERROR, "%s", notice.text)
        if not quiet:
            self._send(announcement(notice, self._address))
        self.also(notice)

    def _send(self, content: dict[str, Any]) -> None:
        if self._address.url:
            body = json.dumps(content).encode()
            call = asyncio.get_running_loop().create_task(self._call(body))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        for wait_s in (*WAITS_S, None):
            try:
                status = await self._outbound.post(self._address.url, headers, body)
                if 200 <= status < 300:
                    self.failure = ""
                    return
                self.failure = f"it answered {status}"
            except OutboundFailed as failure:
                self.failure = str(failure)
            except OutboundRefused as refusal:
                self.failure = f"its address {refusal}"
                break
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        log.error("the operators' webhook could not be told: %s", self.failure)

    async def stop(self) -> None:
        """Call off what is still being told."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._outbound.close()


def in_words(outage: Outage) -> str:
    """One line for people."""
    if outage.lasted_s is None:
        return f"outage: no deployment can answer ({outage.code}): {outage.reason}"
    return (
        f"the outage is over after {outage.lasted_s:.0f} s: {outage.failed} requests found no "
        "deployment"
    )


def notice_of(outage: Outage, outage_id: str) -> Notice:
    """An outage's beginning or end as a notice."""
    ended = outage.lasted_s is not None
    event = "outage.ended" if ended else "outage.began"
    return Notice(event, f"outage-{outage_id}", outage.began_us, in_words(outage), ended)


def message(outage: Outage, address: Address, outage_id: str) -> dict[str, Any]:
    """What the operators' webhook is sent, in the shape that it takes."""
    told = announcement(notice_of(outage, outage_id), address)
    if address.shape in SHAPED:
        return told
    return told | {
        "id": outage_id,
        "failed_requests": outage.failed,
        "code": outage.code,
        "lasted_s": outage.lasted_s,
    }


def announcement(notice: Notice, address: Address) -> dict[str, Any]:
    """A notice in the shape that the operators' webhook takes; a beginning and its end are joined
    by their key there.
    """
    links = {"Look": notice.link, "Runbook": address.runbook_url}
    links = {text: href for text, href in links.items() if href}
    if address.shape == "slack":
        shown = " ".join(f"<{href}|{text}>" for text, href in links.items())
        said = escaped(f"Headgate: {notice.text}")
        return {"text": f"{said}\n{shown}" if shown else said}
    began = datetime.fromtimestamp(notice.at_us / 1e6, UTC).isoformat(timespec="seconds")
    if address.shape == "pagerduty":
        told: dict[str, Any] = {
            "routing_key": address.routing_key,
            "event_action": "resolve" if notice.ended else "trigger",
            "dedup_key": f"headgate-{notice.id}",
            "payload": {
                "summary": f"Headgate: {notice.text}"[:1024],
                "source": "headgate",
                "severity": LOUDNESS[notice.severities[0]],
                "timestamp": began,
            },
        }
        if links:
            told["links"] = [{"href": href, "text": text} for text, href in links.items()]
        return told
    return {
        "event": notice.event,
        "id": notice.id,
        "text": notice.text,
        "began_at": began,
        "runbook_url": address.runbook_url or None,
        "severity": notice.severities[0],
        "ended": notice.ended,
        "link": notice.link or None,
    }


def escaped(text: str) -> str:
    """A text in which Slack finds no markup: what callers or providers named mentions nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
