"""What the gateway itself carries, against its bounds, and whom it has refused."""

from __future__ import annotations

from typing import Any

from service.domain.errors import HeadgateError, Overloaded
from service.monitoring.lag import LoopLag
from service.plan.inbound import ServicePlan
from service.telemetry import Telemetry

RETRY_S = 1.0
REASONS = (
    "connections", "head_timeout", "body_timeout", "slow_reader", "head_too_large",
    "bad_http", "body_too_large", "encoding", "too_many_values", "under_way", "held_bytes", "lag",
    "stopping", "key_requests", "key_tokens",
)  # fmt: skip
_BY_CODE = {
    "body_too_large": "body_too_large",
    "unsupported_encoding": "encoding",
    "too_many_values": "too_many_values",
}
_FULL = {
    "connections": "the gateway has as many connections open as it takes",
    "under_way": "the gateway has as many requests in work as it takes",
    "held_bytes": "the gateway holds as many bytes of requests as it takes",
    "lag": "the gateway is short of CPU",
    "stopping": "the gateway is stopping",
}


class Load:
    """Counts on the event loop's thread. ``bounds`` may be replaced while it runs."""

    def __init__(self, bounds: ServicePlan, telemetry: Telemetry) -> None:
        self.bounds = bounds
        self.connections = 0
        self.under_way = 0
        self.held_bytes = 0
        self.stopping = False
        self.lag = LoopLag()
        self.refusals = dict.fromkeys(REASONS, 0)
        self._telemetry = telemetry
        for reason in REASONS:
            telemetry.refused(reason, 0)  # a series that is there before it counts

    def refused(self, reason: str) -> None:
        """Somebody was refused; ``reason`` is one of REASONS."""
        self.refusals[reason] += 1
        self._telemetry.refused(reason)

    def noted(self, error: HeadgateError) -> None:
        """Count an error if it is a refusal by a bound on bodies."""
        reason = _BY_CODE.get(error.code)
        if reason is not None:
            self.refused(reason)

    def check(self) -> None:
        """Take one more request into work, or raise Overloaded."""
        bounds = self.bounds
        if self.lag.average_s > bounds.most_lag_s:
            raise self.full("lag")
        if self.under_way > bounds.most_under_way:  # the one that asks is counted already
            raise self.full("under_way")

    def hold(self, size: int) -> None:
        """Hold so many bytes more of a body, or raise Overloaded and hold none of them."""
        if self.held_bytes + size > self.bounds.most_held_bytes:
            raise self.full("held_bytes")
        self.held_bytes += size

    def full(self, reason: str) -> Overloaded:
        """The refusal, counted."""
        self.refused(reason)
        return Overloaded(f"{_FULL[reason]}; try again soon", retry_after_s=RETRY_S)

    def show(self) -> None:
        """Put the gauges in place, for whoever reads the counters now."""
        for name, value in (
            ("connections_open", self.connections),
            ("under_way", self.under_way),
            ("held_bytes", self.held_bytes),
            ("loop_lag_seconds", self.lag.last_s),
            ("loop_lag_average_seconds", self.lag.average_s),
            ("loop_lag_greatest_seconds", self.lag.greatest_s),
        ):
            self._telemetry.gauge(name, float(value))

    def shown(self) -> dict[str, Any]:
        """As the status tells it."""
        return {
            "connections": self.connections,
            "under_way": self.under_way,
            "held_bytes": self.held_bytes,
            "loop_lag_s": {
                "last": self.lag.last_s,
                "average": self.lag.average_s,
                "greatest": self.lag.greatest_s,
            },
            "refused": {reason: count for reason, count in self.refusals.items() if count},
        }
