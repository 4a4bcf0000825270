"""The channels: every notice to whoever wants its severity, signed, retried, once, bounded."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.domain.clock import Clock
from service.monitoring import notify
from service.monitoring.mail import Mailbox, MailFailed, send, written
from service.monitoring.notify import Address, Notice, announcement, host_of
from service.outbound import Outbound, OutboundFailed, OutboundRefused, signature

log = logging.getLogger("headgate.alerts")

MOST_WAITING = 100  # notices that wait in one channel; past it the oldest is given up
REMEMBERED = 1_000  # notices of which a channel knows that it was told
RESULTS = ("sent", "failed", "refused", "dropped", "repeated")


class NotTold(Exception):
    """A channel did not take a notice; ``again``: whether another try may do better."""

    def __init__(self, told: str, again: bool) -> None:
        super().__init__(told)
        self.again = again


@dataclass(frozen=True, slots=True)
class Target:
    """A channel of the plan with its secrets. ``kind``: webhook, slack, pagerduty or email."""

    name: str
    kind: str
    severities: frozenset[str]
    address: Address = field(default_factory=Address)
    secret: str = field(default="", repr=False)
    mailbox: Mailbox | None = None


@dataclass(slots=True)
class _Waiting:
    """What one channel has still to be told, by whom that is done, and what it was told."""

    target: Target
    outbound: Outbound
    notices: deque[Notice] = field(default_factory=deque)
    told: OrderedDict[tuple[str, str, str], None] = field(default_factory=OrderedDict)
    task: asyncio.Task[None] | None = None
    failure: str = ""


Result = Callable[[str, Notice, str], None]  # channel, notice, one of RESULTS


class Channels:
    """One worker a channel, so that a slow one keeps none of the others waiting. Returns at once;
    to be used on the event loop.
    """

    def __init__(self, targets: Sequence[Target], clock: Clock, result: Result) -> None:
        self._clock, self._result = clock, result
        self._waiting: dict[str, _Waiting] = {}
        self._retired: list[_Waiting] = []  # of a plan before; what they have is still told
        self.renew(targets)

    def renew(self, targets: Sequence[Target]) -> None:
        """The channels of another plan; one that is as it was goes on with what it has."""
        before = self._waiting
        self._waiting = {}
        for each in targets:
            old = before.get(each.name)
            same = old is not None and old.target == each
            self._waiting[each.name] = old if old and same else _Waiting(each, _way_of(each))
        kept = list(self._waiting.values())
        gone = [each for each in before.values() if not any(each is other for other in kept)]
        busy = [each for each in self._retired if each.task is not None and not each.task.done()]
        self._retired = [*busy, *gone]

    @property
    def names(self) -> tuple[str, ...]:
        """The channels, in the order of the plan."""
        return tuple(self._waiting)

    @property
    def failures(self) -> dict[str, str]:
        """Channels whose last notice was given up, and why."""
        return {name: each.failure for name, each in self._waiting.items() if each.failure}

    def send(self, notice: Notice) -> None:
        """Tell every channel that takes one of its severities."""
        for waiting in self._waiting.values():
            if waiting.target.severities.isdisjoint(notice.severities):
                continue
            key = notice.id, notice.event, notice.text
            if key in waiting.told:
                self._result(waiting.target.name, notice, "repeated")
                continue
            waiting.told[key] = None
            if len(waiting.told) > REMEMBERED:
                waiting.told.popitem(last=False)
            if len(waiting.notices) >= MOST_WAITING:
                self._result(waiting.target.name, waiting.notices.popleft(), "dropped")
            waiting.notices.append(notice)
            if waiting.task is None or waiting.task.done():
                waiting.task = asyncio.get_running_loop().create_task(self._work(waiting))

    async def _work(self, waiting: _Waiting) -> None:
        while waiting.notices:
            notice = waiting.notices.popleft()
            result = await self._deliver(waiting, notice)
            self._result(waiting.target.name, notice, result)

    async def _deliver(self, waiting: _Waiting, notice: Notice) -> str:
        for wait_s in (*notify.WAITS_S, None):
            try:
                await self._once(waiting, notice)
                waiting.failure = ""
                return "sent"
            except NotTold as failure:
                waiting.failure = str(failure)
                if not failure.again:
                    log.error("the channel %s refused: %s", waiting.target.name, failure)
                    return "refused"
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        log.error("the channel %s could not be told: %s", waiting.target.name, waiting.failure)
        return "failed"

    async def _once(self, waiting: _Waiting, notice: Notice) -> None:
        """One try; raises NotTold."""
        target = waiting.target
        if target.mailbox is not None:
            mail = written(target.mailbox, notice.text, _letter(notice, target), notice.id)
            try:
                await asyncio.to_thread(send, target.mailbox, mail)
            except MailFailed as failure:
                raise NotTold(str(failure), failure.again) from None
            return
        body = json.dumps(announcement(notice, target.address)).encode()
        headers = {"Content-Type": "application/json"}
        if target.secret:
            unix_s = self._clock.wall_us() // 1_000_000
            headers["X-Headgate-Signature"] = signature(target.secret, unix_s, body)
            headers["X-Headgate-Key"] = f"{notice.id}.{notice.event}"
        try:
            status = await waiting.outbound.post(target.address.url, headers, body)
        except OutboundRefused as refusal:
            raise NotTold(f"its address {refusal}", False) from None
        except OutboundFailed as failure:
            raise NotTold(str(failure), True) from None
        if not 200 <= status < 300:
            again = status >= 500 or status in (408, 425, 429)
            raise NotTold(f"it answered {status}", again)

    async def try_all(self, notice: Notice) -> dict[str, str]:
        """Tell every channel once, whatever its severities, and what each answered."""
        waiting = list(self._waiting.values())
        answers = await asyncio.gather(*(self._tried(each, notice) for each in waiting))
        return {each.target.name: answer for each, answer in zip(waiting, answers, strict=True)}

    async def _tried(self, waiting: _Waiting, notice: Notice) -> str:
        try:
            await self._once(waiting, notice)
        except NotTold as failure:
            self._result(waiting.target.name, notice, "failed" if failure.again else "refused")
            return str(failure)
        self._result(waiting.target.name, notice, "sent")
        return "sent"

    async def stop(self) -> None:
        """Call off what is still being told."""
        every = [*self._waiting.values(), *self._retired]
        tasks = [each.task for each in every if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in every:
            await each.outbound.close()


def _way_of(target: Target) -> Outbound:
    """The operators' own host, exactly: it may lie within their walls; plain http to loopback."""
    return Outbound([host_of(target.address.url)] if target.address.url else [])


def _letter(notice: Notice, target: Target) -> str:
    links = [each for each in (notice.link, target.address.runbook_url) if each]
    return "\n\n".join([notice.text, *links, f"{notice.event} {notice.id}"]) + "\n"
