"""A circuit breaker: when a deployment is left alone, for how long, and how it comes back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from service.domain.records import ErrorKind

GATEWAY = frozenset(
    {
        ErrorKind.TIMEOUT,
        ErrorKind.CONNECTION,
        ErrorKind.CUT,
        ErrorKind.STALLED,
        ErrorKind.OVERLOADED,
    }
)
COUNTED = GATEWAY | {ErrorKind.SERVER, ErrorKind.MALFORMED}
TOLD_TO_WAIT = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED, ErrorKind.SERVER})


class State(StrEnum):
    """The three states of a breaker (Nygard, Release It!, 2007)."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens and for how long. Counts are calls, times seconds.

    The defaults are Envoy's outlier detection (five failures in a row, 30 s times the number of
    ejections in a row, one step back for every ten healthy seconds), with a share of recent calls
    beside it, since a deployment that fails every second time never fails five times in a row for
    long, and waits for a rate limit that names no time (doubling).
    """

    failures_in_a_row: int = 5
    window: int = 20
    failures_in_window: int = 8
    ejection_s: float = 30.0
    longest_ejection_s: float = 300.0
    healthy_interval_s: float = 10.0
    unnamed_wait_s: float = 1.0
    longest_unnamed_wait_s: float = 60.0
    refused_key_s: float = 300.0


class Breaker:
    """One deployment's; told of every call's end, asked before every call. Times are monotonic.

    A deployment that asks to be left alone (a rate limit, an overload with Retry-After) is
    *cooling* until the latest time that it named, whatever the state; that is never cut short.
    Streams and whole answers are counted apart, since one may fail while the other does not.
    """

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._recent = {s: deque[bool](maxlen=rules.window) for s in (False, True)}
        self._in_a_row = {False: 0, True: 0}
        self.probing = False
        self._last_failure_s = -1e9
        self._healthy_since_s = 0.0
        self.forgive()

    def follow(self, rules: BreakerRules) -> None:
        """Go on by other rules; what is known stays."""
        self._rules = rules
        self._recent = {s: deque(was, maxlen=rules.window) for s, was in self._recent.items()}

    def forgive(self) -> None:
        """Begin anew: at the start, and where an operator knows better. A probe stays one."""
        self._clear()
        self._unnamed_waits = 0
        self._open = False
        self.until_s = 0.0
        self.cooling_until_s = 0.0
        self.ejections = 0
        self.why = ""

    def state(self, now_s: float) -> State:
        """Where it stands."""
        if not self._open:
            return State.CLOSED
        return State.OPEN if now_s < self.until_s else State.HALF_OPEN

    def cooling(self, now_s: float) -> bool:
        """Whether the provider has asked to be left alone until later."""
        return now_s < self.cooling_until_s

    def free_in_s(self, now_s: float) -> float:
        """Seconds until a call may be tried, 0 when at once."""
        until_s = max(self.cooling_until_s, self.until_s if self._open else 0.0)
        return max(until_s - now_s, 0.0)

    def began(self, now_s: float) -> bool:
        """A call begins; whether it is the probe of a half-open breaker."""
        if self._open and now_s >= self.until_s and not self.probing:
            self.probing = True
            return True
        return False

    def succeeded(self, now_s: float, probe: bool = False, stream: bool = False) -> None:
        """A call was answered; a probe closes the breaker.

        An answer to a call that was sent before it opened proves nothing of now.
        """
        if probe:
            self.probing = False
            self._open = False
            self.until_s = 0.0
            self.why = ""
            self._clear()
            self._healthy_since_s = now_s
        elif self._open:
            return
        self._in_a_row[stream] = 0
        self._unnamed_waits = 0
        self._recent[stream].append(False)
        self._decay(now_s)

    def neutral(self, probe: bool = False) -> None:
        """A call ended for the request's own sake, or its caller left: nothing is known."""
        if probe:
            self.probing = False

    def failed(
        self,
        kind: ErrorKind,
        now_s: float,
        retry_after_s: float | None = None,
        probe: bool = False,
        stream: bool = False,
    ) -> bool:
        """A call failed; whether that is reason to leave the deployment alone from now on.

        The caller says ``open`` then, or does not (when too many are left alone already).
        """
        if probe:
            self.probing = False
        if kind in TOLD_TO_WAIT and retry_after_s is not None:
            self._cool(now_s + retry_after_s, kind)
        elif kind is ErrorKind.RATE_LIMIT:
            wait_s = self._rules.unnamed_wait_s * 2.0**self._unnamed_waits
            self._unnamed_waits = min(self._unnamed_waits + 1, 16)
            self._cool(now_s + min(wait_s, self._rules.longest_unnamed_wait_s), kind)
        elif kind is ErrorKind.AUTH:
            self._cool(now_s + self._rules.refused_key_s, kind)
        if kind not in COUNTED:
            # A rate limit or a refused key still shows a deployment that answers: a probe that
            # meets one leaves the breaker half open, behind the cool-down.
            return False
        self._last_failure_s = now_s
        if self._open:
            return probe
        self._in_a_row[stream] += 1
        recent = self._recent[stream]
        recent.append(True)
        rules, what = self._rules, "streams" if stream else "calls"
        if self._in_a_row[stream] >= rules.failures_in_a_row:
            self.why = f"{self._in_a_row[stream]} {what} in a row failed, the last: {kind.value}"
            return True
        failures = sum(recent)
        if failures >= rules.failures_in_window:
            self.why = f"{failures} of the last {len(recent)} {what} failed: {kind.value}"
            return True
        return False

    def open(self, now_s: float, why: str = "") -> float:
        """Leave the deployment alone; for how many seconds."""
        self._decay(now_s)
        self.ejections += 1
        for_s = min(self._rules.ejection_s * self.ejections, self._rules.longest_ejection_s)
        self._open = True
        self.until_s = now_s + for_s
        self.why = why or self.why
        self._clear()
        return for_s

    def _clear(self) -> None:
        for stream in (False, True):
            self._in_a_row[stream] = 0
            self._recent[stream].clear()

    def _cool(self, until_s: float, kind: ErrorKind) -> None:
        if until_s > self.cooling_until_s:
            self.cooling_until_s = until_s
            if not self._open:
                self.why = kind.value

    def _decay(self, now_s: float) -> None:
        """Every healthy interval takes one ejection back."""
        if not self.ejections:
            return
        since_s = max(self._healthy_since_s, self._last_failure_s)
        steps = int((now_s - since_s) / self._rules.healthy_interval_s)
        if steps > 0 and not self._open:
            self.ejections = max(self.ejections - steps, 0)
            self._healthy_since_s = now_s
