"""What the providers allow a minute: calls and tokens of each key, never more in any minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.catalog import Deployment

WINDOW_S = 60
LONGEST_UNNAMED_S = 60.0


@dataclass(slots=True)
class Sent:
    """The calls of one second to one endpoint."""

    second: int
    requests: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Counts:
    """The last minute of an endpoint, by seconds; a second leaves when all of it is a minute old,
    so the sums are never below what any sixty seconds hold. Shared by those who follow on a
    reload, since calls of before still end here.
    """

    sent: deque[Sent] = field(default_factory=deque)
    requests: int = 0
    tokens: int = 0
    cooling_until_s: float = 0.0
    unnamed: int = 0  # refusals in a row that named no time

    def turn(self, now_s: float) -> None:
        while self.sent and self.sent[0].second + 1 + WINDOW_S <= now_s:
            gone = self.sent.popleft()
            self.requests -= gone.requests
            self.tokens -= gone.tokens


@dataclass(slots=True)
class _Window:
    """An endpoint's limits and what it was sent."""

    target: Deployment
    counts: _Counts = field(default_factory=_Counts)

    def room(self, tokens: int, now_s: float) -> float:
        """The lesser share that is left of the two limits after one more call; below 0: none."""
        limits, counts = self.target.limits, self.counts
        counts.turn(now_s)
        left = 1.0
        if limits.requests_per_minute:
            left = min(left, 1.0 - (counts.requests + 1) / limits.requests_per_minute)
        if limits.tokens_per_minute:
            left = min(left, 1.0 - (counts.tokens + tokens) / limits.tokens_per_minute)
        return left


class RateWindows:
    """Calls and tokens sent to each endpoint (an address and a key) of each deployment."""

    def __init__(self, catalog: Sequence[Deployment]) -> None:
        self._windows = {each.name: [_Window(e) for e in each.ends] for each in catalog}
        self._free = {
            name
            for name, windows in self._windows.items()
            if len(windows) == 1 and not windows[0].target.limits.any
        }

    def exhausted(self, deployment: Deployment, tokens: int, now_s: float) -> bool:
        """Whether no endpoint has room for one more call of ``tokens``."""
        return self.pick(deployment, tokens, now_s) is None

    def left(self, deployment: Deployment, tokens: int, now_s: float) -> float:
        """The greatest share of a minute's limits that an endpoint has left after one more call."""
        if deployment.name in self._free:
            return 1.0
        windows = self._windows[deployment.name]
        rooms = [w.room(tokens, now_s) for w in windows if now_s >= w.counts.cooling_until_s]
        return max(rooms, default=0.0)

    def pick(self, deployment: Deployment, tokens: int, now_s: float) -> Deployment | None:
        """The endpoint with the most room left, None when none has any."""
        if deployment.name in self._free:
            return deployment
        best, most = None, -1e-9
        for window in self._windows[deployment.name]:
            if now_s < window.counts.cooling_until_s:
                continue
            room = window.room(tokens, now_s)
            if room > most or (room == most and best is None):
                best, most = window.target, room
        return best

    def sent(self, endpoint: Deployment, tokens: int, now_s: float) -> Sent | None:
        """Count a call; what ``settle`` takes when its tokens are known."""
        if endpoint.name in self._free:
            return None
        counts = self._windows[endpoint.name][endpoint.endpoint].counts
        counts.turn(now_s)
        if not counts.sent or counts.sent[-1].second != int(now_s):
            counts.sent.append(Sent(int(now_s)))
        last = counts.sent[-1]
        last.requests += 1
        last.tokens += tokens
        counts.requests += 1
        counts.tokens += tokens
        return last

    def settle(self, endpoint: Deployment, sent: Sent | None, more: int, now_s: float) -> None:
        """The call took ``more`` tokens than it was counted with (or fewer, below 0)."""
        if sent is None or not more:
            return
        counts = self._windows[endpoint.name][endpoint.endpoint].counts
        counts.turn(now_s)
        if counts.sent and sent.second >= counts.sent[0].second:
            sent.tokens += more
            counts.tokens += more

    def cool(self, endpoint: Deployment, wait_s: float | None, now_s: float) -> float:
        """Leave one endpoint of several alone; for how long, 0 where it is the only one.

        ``wait_s`` None: no time was named; then a second, doubling to a minute.
        """
        windows = self._windows[endpoint.name]
        if len(windows) < 2:
            return 0.0
        counts = windows[endpoint.endpoint].counts
        if wait_s is None:
            wait_s = min(2.0**counts.unnamed, LONGEST_UNNAMED_S)
            counts.unnamed = min(counts.unnamed + 1, 16)
        counts.cooling_until_s = max(counts.cooling_until_s, now_s + wait_s)
        return wait_s

    def well(self, endpoint: Deployment) -> None:
        """A call was answered there."""
        if endpoint.name not in self._free:
            self._windows[endpoint.name][endpoint.endpoint].counts.unnamed = 0

    def forgive(self, name: str) -> None:
        """End the cool-downs of a deployment's endpoints."""
        for window in self._windows[name]:
            window.counts.cooling_until_s = 0.0

    def free_in_s(self, now_s: float) -> float:
        """Seconds until the first endpoint that is at its limit has room again, at least 1."""
        soonest = []
        for windows in self._windows.values():
            for window in windows:
                counts = window.counts
                counts.turn(now_s)
                if counts.cooling_until_s > now_s:
                    soonest.append(counts.cooling_until_s - now_s)
                elif counts.sent and window.target.limits.any:
                    soonest.append(counts.sent[0].second + 1 + WINDOW_S - now_s)
        return max(min(soonest, default=1.0), 1.0)

    def inherit(self, other: RateWindows) -> None:
        """Take over the counts of the endpoints that both have."""
        known = {
            (w.target.name, w.target.base_url, w.target.api_key): w
            for windows in other._windows.values()
            for w in windows
        }
        for windows in self._windows.values():
            for window in windows:
                target = window.target
                was = known.get((target.name, target.base_url, target.api_key))
                if was is not None:
                    window.counts = was.counts
