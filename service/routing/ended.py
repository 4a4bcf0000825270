"""What a call's end tells of its deployment: to the breaker, the limits and the windows."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.records import ErrorKind, Usage
from service.routing.fleet import Failure, Fleet
from service.routing.run import Call

KEYED = (ErrorKind.RATE_LIMIT, ErrorKind.AUTH)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended, and when (monotonic): None where it was answered."""

    kind: ErrorKind | None
    retry_after_s: float | None
    now_s: float


def tell(fleet: Fleet, call: Call, usage: Usage, ended: Ended) -> None:
    """The breaker, the limits and the windows learn of a call from here and nowhere else."""
    name, now_s, kind = call.deployment.name, ended.now_s, ended.kind
    used = usage.tokens_in + usage.tokens_out
    fleet.windows.settle(call.endpoint, call.sent, used - call.counted_tokens, now_s)
    waited_s = now_s - call.started_s
    if kind is None or kind is ErrorKind.QUALITY:
        fleet.answered(name, call.probe, None if call.stream else waited_s, now_s)
        fleet.windows.well(call.endpoint)
        return
    if kind in KEYED and fleet.cool_key(call.endpoint, kind, ended.retry_after_s, now_s):
        fleet.failed(name, Failure(ErrorKind.CANCELLED, None, call.probe), now_s)
        return
    how = Failure(kind, ended.retry_after_s, call.probe, call.stream, waited_s)
    fleet.failed(name, how, now_s)
