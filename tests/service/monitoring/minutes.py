"""Minutes, calls and requests made up for the tests of alerts."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.clock import new_id
from service.domain.minutes import MINUTE_US, Cell, Count, Facts, Minute, Series
from service.domain.records import Attempt, ErrorKind, Mode, Outcome, Role, Usage
from service.monitoring.rules import Seen

START = 1_790_000_040_000_000 // MINUTE_US * MINUTE_US  # 2026-09-21T14:14:00Z
CALM = Facts(("brook", "river"), ("e@1",))


def attempt(at_us: int, name: str = "river", latency_s: float = 1.0, **more: object) -> Attempt:
    fields = {
        "decision_id": new_id(), "number": 1, "at_us": at_us, "deployment": name,
        "provider": "p", "role": Role.FIRST, "status": 200, "error_kind": None,
        "ttft_s": latency_s / 2.0, "latency_s": latency_s, "usage": Usage(10, 20, 0, 100),
    }  # fmt: skip
    return Attempt(**(fields | more))  # type: ignore[arg-type]


def outcome(at_us: int, latency_s: float = 1.0, **more: object) -> Outcome:
    fields = {
        "decision_id": new_id(), "at_us": at_us, "deployment": "river", "mode": Mode.RANDOMISED,
        "status": 200, "error_kind": None, "latency_s": latency_s, "ttft_s": latency_s / 2.0,
        "overhead_s": 0.001, "attempts": 1, "usage": Usage(10, 20, 0, 100),
    }  # fmt: skip
    return Outcome(**(fields | more))  # type: ignore[arg-type]


def failure(at_us: int, kind: ErrorKind = ErrorKind.SERVER, **more: object) -> Attempt:
    return attempt(at_us, status=503, error_kind=kind, ttft_s=None, **more)


def cell(calls: int = 100, p95_s: float = 1.0, **more: object) -> Cell:
    fields = {"calls": calls, "answered": calls, "timed": calls, "p95_s": p95_s}
    return Cell(**(fields | more))  # type: ignore[arg-type]


def seen(
    total: Cell | None = None,
    deployments: Mapping[str, Cell] | None = None,
    facts: Facts | None = CALM,
    series: Series | None = None,
) -> Seen:
    """One closed minute and what rules see of it."""
    minute = Minute(START, total or Cell(), deployments or {}, 0, facts)
    return Seen((minute,), series or Series(), 0.999)


def steady(minutes: int, answered: int, failed: int, cost: int = 0) -> Series:
    """So many alike minutes, the last of which ends with the first minute of ``seen``."""
    first = START + MINUTE_US - (minutes - 1) * MINUTE_US
    return Series(
        tuple(
            Count(first + at * MINUTE_US, answered * (at + 1), failed * (at + 1), cost * (at + 1))
            for at in range(minutes)
        )
    )
