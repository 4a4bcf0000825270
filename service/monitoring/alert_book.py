"""The alerts that are open or recent, and the silences that hold: what is known of them now."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from service.domain.alerts import Alert, AlertEvent, Silence, Step, fired, folded
from service.domain.clock import Clock
from service.domain.minutes import MINUTE_US
from service.storage.alerts import Logged

RECENT = 500
MOST_SILENCES = 200


@dataclass(frozen=True, slots=True)
class _Held:
    """A silence and the monotonic time at which it ends, whatever becomes of the wall clock."""

    silence: Silence
    ends_s: float


class AlertBook:
    """A fold over logged events: what a restart reads is what was known before it."""

    def __init__(self, clock: Clock, was: Logged) -> None:
        self._clock = clock
        self._alerts: OrderedDict[str, Alert] = OrderedDict(folded(was.events))
        self._open = {each.key: each.id for each in self._alerts.values() if not each.resolved_us}
        self._silences: dict[str, _Held] = {}
        for silence in was.silences:
            self.silence(silence)
        digests = [each.at_us for each in was.events if each.step is Step.DIGEST]
        self.digest_us = max(digests, default=0)

    def take(self, event: AlertEvent) -> Alert | None:
        """One more event; the alert as it now stands."""
        if event.step is Step.DIGEST:
            self.digest_us = event.at_us
            return None
        before = self._alerts.get(event.alert_id)
        if event.step is Step.FIRED:
            alert = fired(event)
            self._open[alert.key] = alert.id
        elif before is None:
            return None
        else:
            alert = before.after(event)
        if alert.resolved_us and self._open.get(alert.key) == alert.id:
            del self._open[alert.key]
        self._alerts[alert.id] = alert
        self._forget()
        return alert

    def _forget(self) -> None:
        if len(self._alerts) > RECENT:
            closed = next((each.id for each in self._alerts.values() if each.resolved_us), None)
            if closed is not None:
                del self._alerts[closed]

    def open(self, rule: str, scope: str) -> Alert | None:
        """The alert that lasts in a scope."""
        identity = self._open.get((rule, scope))
        return self._alerts.get(identity) if identity else None

    def find(self, alert_id: str) -> Alert | None:
        """An alert by its id, open or recent."""
        return self._alerts.get(alert_id)

    def firing(self) -> list[Alert]:
        """All that last, the oldest first."""
        return [each for each in self._alerts.values() if not each.resolved_us]

    def recent(self, most: int = 50) -> list[Alert]:
        """What has ended, the last first."""
        ended = [each for each in self._alerts.values() if each.resolved_us]
        return sorted(ended, key=lambda each: each.resolved_us or 0, reverse=True)[:most]

    def since(self, at_us: int) -> list[Alert]:
        """What has fired since a time."""
        return [each for each in self._alerts.values() if each.fired_us > at_us]

    def cools(self, rule: str, scope: str, minutes: int, at_us: int) -> bool:
        """Whether an alert of a scope ended so short before a moment that it does not fire."""
        ended = [
            each.resolved_us or 0 for each in self._alerts.values() if each.key == (rule, scope)
        ]
        last = max(ended, default=0)
        return bool(last) and at_us < last // MINUTE_US * MINUTE_US + minutes * MINUTE_US

    # silences -----------------------------------------------------------------------------------

    def silence(self, silence: Silence) -> None:
        """Let a durable silence hold."""
        now_us, now_s = self._clock.wall_us(), self._clock.monotonic_s()
        left_us = min(silence.until_us - now_us, silence.until_us - silence.at_us)
        self._silences[silence.id] = _Held(silence, now_s + left_us / 1e6)

    def unsilence(self, silence_id: str) -> None:
        """End one."""
        self._silences.pop(silence_id, None)

    def silences(self) -> list[Silence]:
        """Those that hold now."""
        now_s = self._clock.monotonic_s()
        gone = [name for name, held in self._silences.items() if held.ends_s <= now_s]
        for name in gone:
            del self._silences[name]
        return [held.silence for held in self._silences.values()]

    def silence_of(self, silence_id: str) -> Silence | None:
        """A silence that holds, by its id."""
        return next((each for each in self.silences() if each.id == silence_id), None)

    def silenced_by(self, rule: str, scope: str) -> Silence | None:
        """The silence that covers a rule's scope."""
        return next((each for each in self.silences() if each.covers(rule, scope)), None)
