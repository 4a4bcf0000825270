"""What the providers allow a minute: calls and tokens of each key, never more in any minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.catalog import Deployment

WINDOW_S = 60


@dataclass(slots=True)
class Sent:
    """The calls of one second to one endpoint."""

    second: int
    requests: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Window:
    """The last minute of an endpoint, by seconds; a second leaves when all of it is a minute old,
    so the sums are never below what any sixty seconds hold.
    """

    target: Deployment
    sent: deque[Sent] = field(default_factory=deque)
    requests: int = 0
    tokens: int = 0
    cooling_until_s: float = 0.0

    def turn(self, now_s: float) -> None:
        while self.sent and self.sent[0].second + 1 + WINDOW_S <= now_s:
            gone = self.sent.popleft()
            self.requests -= gone.requests
            self.tokens -= gone.tokens

    def room(self, tokens: int, now_s: float) -> float:
        """The lesser share that is left of the two limits after one more call; below 0: none."""
        limits = self.target.limits
        self.turn(now_s)
        left = 1.0
        if limits.requests_per_minute:
            left = min(left, 1.0 - (self.requests + 1) / limits.requests_per_minute)
        if limits.tokens_per_minute:
            left = min(left, 1.0 - (self.tokens + tokens) / limits.tokens_per_minute)
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

    def pick(self, deployment: Deployment, tokens: int, now_s: float) -> Deployment | None:
        """The endpoint with the most room left, None when none has any."""
        if deployment.name in self._free:
            return deployment
        best, most = None, -1e-9
        for window in self._windows[deployment.name]:
            if now_s < window.cooling_until_s:
                continue
            room = window.room(tokens, now_s)
            if room > most or (room == most and best is None):
                best, most = window.target, room
        return best

    def sent(self, endpoint: Deployment, tokens: int, now_s: float) -> Sent | None:
        """Count a call; what ``settle`` takes when its tokens are known."""
        if endpoint.name in self._free:
            return None
        window = self._windows[endpoint.name][endpoint.endpoint]
        window.turn(now_s)
        if not window.sent or window.sent[-1].second != int(now_s):
            window.sent.append(Sent(int(now_s)))
        last = window.sent[-1]
        last.requests += 1
        last.tokens += tokens
        window.requests += 1
        window.tokens += tokens
        return last

    def settle(self, endpoint: Deployment, sent: Sent | None, more: int, now_s: float) -> None:
        """The call took ``more`` tokens than it was counted with (or fewer, below 0)."""
        if sent is None or not more:
            return
        window = self._windows[endpoint.name][endpoint.endpoint]
        window.turn(now_s)
        if window.sent and sent.second >= window.sent[0].second:
            sent.tokens += more
            window.tokens += more

    def cool(self, endpoint: Deployment, until_s: float) -> bool:
        """Leave one endpoint of several alone; False where it is the only one."""
        windows = self._windows[endpoint.name]
        if len(windows) < 2:
            return False
        window = windows[endpoint.endpoint]
        window.cooling_until_s = max(window.cooling_until_s, until_s)
        return True

    def forgive(self, name: str) -> None:
        """End the cool-downs of a deployment's endpoints."""
        for window in self._windows[name]:
            window.cooling_until_s = 0.0

    def free_in_s(self, now_s: float) -> float:
        """Seconds until the first endpoint that is at its limit has room again, at least 1."""
        soonest = []
        for windows in self._windows.values():
            for window in windows:
                window.turn(now_s)
                if window.cooling_until_s > now_s:
                    soonest.append(window.cooling_until_s - now_s)
                elif window.sent and window.target.limits.any:
                    soonest.append(window.sent[0].second + 1 + WINDOW_S - now_s)
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
                    window.sent, window.requests, window.tokens = was.sent, was.requests, was.tokens
                    window.cooling_until_s = was.cooling_until_s
