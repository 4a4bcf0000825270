"""The watch: at the close of each minute what fires, what is done about it, and when it is over."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from service.domain.alerts import Alert, AlertEvent, Severity, Silence, SilenceEnd, Step
from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, HeadgateError, StorageUnavailable
from service.domain.minutes import MINUTE_US, Minute, Series
from service.domain.records import Act
from service.monitoring.alert_book import MOST_SILENCES, AlertBook
from service.monitoring.alert_words import digest_notice, notice_of, warning
from service.monitoring.notify import Notice
from service.monitoring.rules import ALERT_RULES, Finding, Rule, Run, Seen, absent
from service.plan.alerts import AlertsPlan
from service.storage.event_log import EventLog

log = logging.getLogger("headgate.alerts")

HEADGATE = "headgate"
DURABLE_S = 5.0  # an alert does not wait longer for the disk: whoever is to be told is told
DAY_US = 86_400_000_000
MINUTES_A_DAY = 1_440


@dataclass(frozen=True, slots=True)
class Shifted:
    """What was laid to take traffic from a slow deployment: at most ``greatest`` of a task."""

    override_id: str
    greatest: float
    expires_us: int


class Shift(Protocol):
    """Bounds a deployment's share for a while, and gives it back; may raise HeadgateError."""

    async def lay(
        self, deployment: str, keep_share: float, lasts_s: float, alert: Alert
    ) -> Shifted | str:
        """Bound it; or why there is nothing to bound."""

    def found(self, alert: Alert) -> Shifted | None:
        """What was laid for an alert and is in force, whoever has renewed it."""

    async def lift(self, alert: Alert, why: str) -> str:
        """End that before its time, unless a person has renewed it; what came of it, in words."""


@dataclass(frozen=True, slots=True)
class WatchParts:
    """What the watch stands on. ``announce``: gives a notice to whoever is told, at once;
    ``raise_caching``: serves more from a cache while an alert of latency lasts (None: there is no
    cache); ``availability``: what callers are promised.
    """

    log: EventLog
    clock: Clock
    plan: Callable[[], AlertsPlan]
    availability: Callable[[], float]
    announce: Callable[[Notice], None]
    shift: Shift | None = None
    raise_caching: Callable[[Alert, bool], Awaitable[str]] | None = None


@dataclass(slots=True)
class AlertWatch:
    """Told of every closed minute, in order. What it knows is a fold over logged events and over
    the minutes themselves, so that a restart goes on in the middle of a row.
    """

    parts: WatchParts
    book: AlertBook
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    words: dict[tuple[str, str], Finding] = field(default_factory=dict)  # the last breach of each
    _end_us: int = 0
    _laying: int = 0  # silences that are being made durable
    _announced: set[str] = field(default_factory=set)  # alerts of which this process has told

    # minutes ------------------------------------------------------------------------------------

    def replay(self, minutes: Sequence[Minute], series: Series) -> None:
        """Come to where the rows of breaches stood before the start; nothing fires."""
        plan = self.parts.plan()
        for at in range(1, len(minutes) + 1):
            self._judge(Seen(tuple(minutes[:at]), series, self.parts.availability()), plan)

    async def minute(self, seen: Seen) -> None:
        """A minute has closed: judge, fire, act, tell, page, resolve, and send the day's digest."""
        plan = self.parts.plan()
        if plan.enabled:
            for rule, finding in self._judge(seen, plan):
                try:
                    await self._step(rule, finding, plan)
                except HeadgateError as error:
                    log.error("the alert %s could not be seen to: %s", rule.name, error)
            await self._stopped(plan)
            await self._digest(plan)

    def _judge(self, seen: Seen, plan: AlertsPlan) -> list[tuple[Rule, Finding]]:
        """What every rule says of every scope, with the runs brought forward by a minute."""
        minute, judged = seen.newest, []
        gap = bool(self._end_us) and minute.start_us > self._end_us
        self._end_us = minute.end_us
        for rule in ALERT_RULES.values():
            if not rule.enabled(plan):
                continue
            found = {each.scope: each for each in self._looked(rule, seen, plan)}
            known = {scope for name, scope in self.runs if name == rule.name}
            known |= {each.scope for each in self.book.firing() if each.rule == rule.name}
            for scope in sorted({*found, *known}):
                finding = found.get(scope) or Finding(scope, absent(rule, scope, minute))
                key = rule.name, scope
                run = self.runs.get(key, Run())
                if gap:  # minutes in which nobody ran end a row, and clear nothing
                    run = Run(0, run.clean)
                self.runs[key] = run.after(finding.verdict)
                if self.runs[key].row:
                    self.words[key] = finding
                elif scope not in found and self.book.open(*key) is None:
                    del self.runs[key]
                judged.append((rule, finding))
        return judged

    def _looked(self, rule: Rule, seen: Seen, plan: AlertsPlan) -> list[Finding]:
        """What a rule says; one that breaks says nothing, and keeps no other from being heard."""
        try:
            return rule.look(seen, plan)
        except Exception:
            log.exception("the rule %s cannot be looked at", rule.name)
            return []

    async def _step(self, rule: Rule, finding: Finding, plan: AlertsPlan) -> None:
        key = rule.name, finding.scope
        run, alert = self.runs.get(key, Run()), self.book.open(*key)
        if alert is None:
            cools = self.book.cools(*key, plan.cool_down_minutes, self._end_us)
            if run.row >= rule.row(plan) and not cools:
                await self._fire(rule, finding, plan)
            return
        if run.clean >= plan.clear_after_minutes:
            await self._resolve(rule, alert, f"clear for {run.clean} minutes in a row")
            return
        reached = rule.told or alert.told or alert.id in self._announced
        if not reached and self.book.silenced_by(*key) is None:
            self._announce(alert, plan)  # it fired before a restart, or under a silence
        await self._page(rule, alert, run, plan)

    # an alert's life ----------------------------------------------------------------------------

    async def _fire(self, rule: Rule, finding: Finding, plan: AlertsPlan) -> None:
        silence = self.book.silenced_by(rule.name, finding.scope)
        alert_id = new_id()
        event = self._event(
            alert_id, rule, finding, Step.FIRED, {"silenced": silence.id if silence else None}
        )
        await self._log(event)
        alert = self.book.take(event)
        assert alert is not None
        log.error("alert %s: %s", rule.name, finding.words)
        if rule.name == "latency":
            alert = await self._act(alert, plan)
        if silence is None and not rule.told:
            self._announce(alert, plan)

    async def _act(self, alert: Alert, plan: AlertsPlan) -> Alert:
        """What is done at once: more from the cache, and a bounded share elsewhere."""
        if self.parts.raise_caching is not None and plan.latency.raise_caching:
            said = await self.parts.raise_caching(alert, True)
            alert = await self._acted(alert, {"action": "raise_caching"}, said)
        limits, shift = plan.latency, self.parts.shift
        if not alert.scope or limits.keep_share is None or shift is None:
            return alert
        detail: dict[str, Any] = {"action": "shift"}
        try:
            laid = await asyncio.wait_for(
                shift.lay(alert.scope, limits.keep_share, limits.shift_s, alert), DURABLE_S
            )
        except (HeadgateError, TimeoutError) as error:
            return await self._acted(alert, detail, f"its share could not be bounded: {error}")
        if isinstance(laid, str):
            return await self._acted(alert, detail, laid)
        detail |= {"override_id": laid.override_id, "greatest": laid.greatest}
        return await self._acted(alert, detail, _bounded(alert, laid))

    async def _acted(self, alert: Alert, detail: dict[str, Any], said: str) -> Alert:
        return await self._add(alert, Step.ACTED, said, detail)

    async def resume(self) -> None:
        """At the start: what a kill -9 kept from being said of the alerts that had just fired."""
        for alert in self.book.firing():
            told = any(_is_shift(event) for event in alert.events)
            plan, shift = self.parts.plan(), self.parts.shift
            if alert.rule != "latency" or not alert.scope or told or shift is None:
                continue
            if plan.latency.keep_share is None:
                continue
            detail: dict[str, Any] = {"action": "shift"}
            said = "its share is not bounded: the service ended before that was done"
            if (laid := shift.found(alert)) is not None:
                detail |= {"override_id": laid.override_id, "greatest": laid.greatest}
                said = _bounded(alert, laid)
            await self._acted(alert, detail, said)

    async def _page(self, rule: Rule, alert: Alert, run: Run, plan: AlertsPlan) -> None:
        """Somebody is called once an alert has stayed so long that nobody has seen."""
        stayed = self._end_us // MINUTE_US - alert.fired_us // MINUTE_US
        if (
            not rule.pages
            or alert.paged_us is not None
            or alert.acknowledged_us is not None
            or run.clean
            or stayed < plan.page_after_minutes
            or self.book.silenced_by(*alert.key) is not None
        ):
            return
        words = self.words.get(alert.key)
        said = f"for {stayed} minutes now: {words.words if words else alert.text}"
        alert = await self._add(alert, Step.PAGED, said, {"minutes": stayed}, Severity.PAGE)
        self._announce(alert, plan, said)

    async def _resolve(self, rule: Rule, alert: Alert, why: str) -> None:
        plan = self.parts.plan()
        if rule.name == "latency" and self.parts.raise_caching is not None:
            await self.parts.raise_caching(alert, False)
        shift = self.parts.shift
        found = shift.found(alert) if shift is not None else None
        laid = alert.override_id or (found.override_id if found else "")
        if shift is not None and laid:
            try:
                said = await asyncio.wait_for(shift.lift(alert, why), DURABLE_S)
            except (HeadgateError, TimeoutError) as error:  # it expires by itself
                said = f"its bound could not be lifted and ends by itself: {error}"
            alert = await self._add(alert, Step.REVERTED, said, {"override_id": laid})
        now = self.book.find(alert.id)
        if now is None or now.resolved_us is not None:
            return  # somebody was faster, by hand
        silenced = self.book.silenced_by(*alert.key) is not None
        alert = await self._add(alert, Step.RESOLVED, why, {})
        log.warning("alert %s has ended: %s", alert.rule, why)
        if not silenced and not rule.told:
            self._announce(alert, plan, why)
        self._announced.discard(alert.id)

    async def _stopped(self, plan: AlertsPlan) -> None:
        """A rule that the plan turned off has no alerts."""
        for alert in self.book.firing():
            rule = ALERT_RULES.get(alert.rule)
            if rule is not None and not rule.enabled(plan):
                await self._resolve(rule, alert, "the plan has turned the rule off")
                self.runs.pop(alert.key, None)

    async def _digest(self, plan: AlertsPlan) -> None:
        at = plan.digest_minute
        if at is None:
            return
        due_us = self._end_us // DAY_US * DAY_US + at * MINUTE_US
        if due_us > self._end_us:
            due_us -= DAY_US
        if self.book.digest_us >= due_us:
            return
        alerts = self.book.since(due_us - DAY_US)
        notice = digest_notice(alerts, due_us, plan)
        event = AlertEvent(
            new_id(), max(self.parts.clock.wall_us(), due_us), "", Step.DIGEST, "", "",
            Severity.INFO, float(len(alerts)), None, notice.text, HEADGATE, "",
            json.dumps({"alerts": [each.id for each in alerts]}),
        )  # fmt: skip
        await self._log(event)
        self.book.take(event)
        if alerts:
            self.parts.announce(notice)

    # what people do -----------------------------------------------------------------------------

    async def acknowledge(self, alert: Alert, act: Act) -> Alert:
        """Somebody sees to it: nobody is called any more; durable when this returns."""
        who = act.author or act.actor
        event = self._of(alert, Step.ACKNOWLEDGED, alert.text, {}, author=who, reason=act.reason)
        await asyncio.wrap_future(self.parts.log.append_durable(event, act))
        return self.book.take(event) or alert

    async def resolve(self, alert: Alert, act: Act) -> Alert:
        """Somebody says that it is over, as where too little traffic is left to tell: what it
        laid is given back, and the rule is silent for its cool-down; durable with the act.
        """
        await asyncio.wrap_future(self.parts.log.append_durable(act))
        await self._resolve(
            ALERT_RULES[alert.rule], alert, f"{act.author or act.actor}: {act.reason}"
        )
        return self.book.find(alert.id) or alert

    async def silence(self, silence: Silence, act: Act) -> None:
        """Nobody is told for a while; durable, then in force. Conflict where too many hold."""
        if len(self.book.silences()) + self._laying >= MOST_SILENCES:
            raise Conflict(
                f"{MOST_SILENCES} silences hold, which is the most; end some",
                code="too_many_silences",
            )
        self._laying += 1
        try:
            await asyncio.wrap_future(self.parts.log.append_durable(silence, act))
            self.book.silence(silence)
        finally:
            self._laying -= 1

    async def unsilence(self, end: SilenceEnd, act: Act) -> None:
        """The end of a silence before its time; durable."""
        await asyncio.wrap_future(self.parts.log.append_durable(end, act))
        self.book.unsilence(end.silence_id)

    def told(self, alert_id: str, channel: str, result: str) -> None:
        """A channel has taken an alert's notice, or could not be reached."""
        alert = self.book.find(alert_id)
        if alert is not None:
            detail = {"channel": channel, "result": result, "sent": result == "sent"}
            event = self._of(alert, Step.TOLD, f"{channel}: {result}", detail)
            self.parts.log.append(event)
            self.book.take(event)

    def warnings(self) -> list[str]:
        """What an operator should be told: what lasts and nobody has silenced, and what cools."""
        said = [
            warning(each, self.words.get(each.key))
            for each in self.book.firing()
            if self.book.silenced_by(*each.key) is None
        ]
        plan = self.parts.plan()
        for (name, scope), run in self.runs.items():
            ripe = run.row >= ALERT_RULES[name].row(plan)
            if not (ripe and plan.enabled) or self.book.open(name, scope) is not None:
                continue
            if self.book.cools(name, scope, plan.cool_down_minutes, self._end_us):
                said.append(
                    f"{self.words[name, scope].words}; an alert of it ended a short time ago, so "
                    f"it does not fire again for {plan.cool_down_minutes} minutes after that"
                )
        return said

    # records ------------------------------------------------------------------------------------

    def _announce(self, alert: Alert, plan: AlertsPlan, said: str = "") -> None:
        self._announced.add(alert.id)
        self.parts.announce(notice_of(alert, plan, said))

    async def _add(
        self, alert: Alert, step: Step, text: str, detail: dict[str, Any],
        severity: Severity | None = None,
    ) -> Alert:  # fmt: skip
        event = self._of(alert, step, text, detail, severity)
        await self._log(event)
        return self.book.take(event) or alert

    async def _log(self, event: AlertEvent) -> None:
        """Durable if that can be; else it waits in the log's queue, and what is to be done is done
        all the same: a full disk keeps nobody from being called.
        """
        ack = asyncio.wrap_future(self.parts.log.append_durable(event))
        ack.add_done_callback(partial(self._kept, event))
        with suppress(StorageUnavailable, TimeoutError):
            await asyncio.wait_for(asyncio.shield(ack), DURABLE_S)

    def _kept(self, event: AlertEvent, ack: asyncio.Future[int]) -> None:
        if not ack.cancelled() and ack.exception() is not None:
            self.parts.log.append(event)  # it was refused, and waits now

    def _event(
        self, alert_id: str, rule: Rule, finding: Finding, step: Step, detail: dict[str, Any]
    ) -> AlertEvent:
        return AlertEvent(
            new_id(), max(self.parts.clock.wall_us(), self._end_us), alert_id, step, rule.name,
            finding.scope, rule.severity, finding.value, finding.threshold, finding.words,
            HEADGATE, "", json.dumps(detail),
        )  # fmt: skip

    def _of(
        self, alert: Alert, step: Step, text: str, detail: dict[str, Any],
        severity: Severity | None = None, **by: str,
    ) -> AlertEvent:  # fmt: skip
        return AlertEvent(
            new_id(), max(self.parts.clock.wall_us(), self._end_us), alert.id, step, alert.rule,
            alert.scope, severity or alert.severity, alert.value, alert.threshold, text,
            by.get("author", HEADGATE), by.get("reason", ""), json.dumps(detail),
        )  # fmt: skip


def _bounded(alert: Alert, laid: Shifted) -> str:
    return f"{alert.scope} gets at most {laid.greatest:.3g} of any task for now"


def _is_shift(event: AlertEvent) -> bool:
    return event.step is Step.ACTED and json.loads(event.detail).get("action") == "shift"
