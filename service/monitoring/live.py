"""What is going on now: calls, errors, latency and spend of the last minutes, by deployment."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from service.domain.clock import Clock
from service.domain.minutes import quantile
from service.domain.records import Attempt, Mode, Outcome, Role

WINDOW_S = 300.0
BOUND = 2_000


@dataclass(frozen=True, slots=True)
class Standing:
    """One deployment over the window. Latencies in seconds, None without a call."""

    deployment: str
    calls: int
    errors: int
    p50_s: float | None
    p95_s: float | None
    cost_micro_usd: int
    last_error: str
    p99_s: float | None = None
    ttft_s: float | None = None  # to the first content: the median of the streams
    kinds: tuple[tuple[str, int], ...] = ()  # of errors, the most frequent first


@dataclass(slots=True)
class _Call:
    at_s: float
    latency_s: float | None  # of an answer
    error: str
    cost_micro_usd: int
    ttft_s: float | None


class LiveBoard:
    """Bounded memory of recent calls and requests."""

    def __init__(self, deployments: tuple[str, ...], clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[str, deque[_Call]] = {d: deque(maxlen=BOUND) for d in deployments}
        self._requests: deque[tuple[float, float, int]] = deque(maxlen=BOUND)
        self.started_s = clock.monotonic_s()
        self.requests = 0
        self.failed = 0
        self.cost_micro_usd = 0

    def retain(self, deployments: tuple[str, ...]) -> None:
        """Watch these from now on; of those that stay the calls are kept."""
        self._calls = {d: self._calls.get(d) or deque(maxlen=BOUND) for d in deployments}

    def attempt(self, attempt: Attempt) -> None:
        """A call has ended. A content policy's refusal is neither an answer nor an error, and
        what blames no deployment is no error of its; of one in a batch only what it cost counts.
        """
        kind, cost = attempt.error_kind, attempt.usage.cost_micro_usd
        if attempt.role is Role.BATCH:
            self.cost_micro_usd += cost
            return
        error = kind.value if kind and kind.blames_deployment else ""
        latency_s = attempt.latency_s if kind is None else None
        calls = self._calls.get(attempt.deployment)
        now_s = self._clock.monotonic_s()
        if calls is not None:  # None: a reload dropped it while the call was under way
            calls.append(_Call(now_s, latency_s, error, cost, attempt.ttft_s))
        self.cost_micro_usd += cost

    def outcome(self, outcome: Outcome) -> None:
        """A request has ended."""
        if outcome.mode is Mode.BATCH:
            return
        self.requests += 1
        if outcome.status >= 500:
            self.failed += 1
        self._requests.append((self._clock.monotonic_s(), outcome.latency_s, outcome.status))

    def standings(self) -> list[Standing]:
        """Every deployment over the last minutes."""
        since = self._clock.monotonic_s() - WINDOW_S
        found = []
        for name, calls in self._calls.items():
            recent = [call for call in list(calls) if call.at_s >= since]
            times = sorted(call.latency_s for call in recent if call.latency_s is not None)
            errors = [call.error for call in recent if call.error]
            found.append(
                Standing(
                    name,
                    len(recent),
                    len(errors),
                    quantile(times, 0.5),
                    quantile(times, 0.95),
                    sum(call.cost_micro_usd for call in recent),
                    errors[-1] if errors else "",
                    quantile(times, 0.99),
                    quantile(sorted(c.ttft_s for c in recent if c.ttft_s is not None), 0.5),
                    tuple(Counter(errors).most_common()),
                )
            )
        return found

    def latency(self) -> tuple[float | None, float | None]:
        """Median and 95th percentile of the requests of the last minutes, seconds."""
        since = self._clock.monotonic_s() - WINDOW_S
        times = sorted(t for at, t, status in list(self._requests) if at >= since and status < 400)
        return quantile(times, 0.5), quantile(times, 0.95)
