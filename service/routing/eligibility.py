"""Who may be drawn: what a deployment can do, what its limits leave, what people excluded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.records import Disqualified

WINDOW_S = 60.0
ANSWER_RESERVE = 256


@dataclass(slots=True)
class _Window:
    started_s: float = -1e9
    requests: int = 0
    tokens: int = 0


class RateWindows:
    """Requests and tokens sent to each deployment in the current minute."""

    def __init__(self, catalog: Sequence[Deployment], before: RateWindows | None = None) -> None:
        kept: dict[str, _Window] = (
            before._windows if before else {}
        )  # shared: calls under way still count there
        self._windows: dict[str, _Window] = {
            each.name: kept.get(each.name) or _Window() for each in catalog
        }

    def exhausted(self, deployment: Deployment, tokens: int, now_s: float) -> bool:
        """Whether one more call of ``tokens`` would pass the provider's limits."""
        limits = deployment.limits
        if not limits.requests_per_minute and not limits.tokens_per_minute:
            return False
        window = self._current(deployment.name, now_s)
        over_requests = 0 < limits.requests_per_minute <= window.requests
        over_tokens = 0 < limits.tokens_per_minute < window.tokens + tokens
        return over_requests or over_tokens

    def sent(self, deployment: Deployment, tokens: int, now_s: float) -> None:
        """Count a call."""
        window = self._current(deployment.name, now_s)
        window.requests += 1
        window.tokens += tokens

    def free_in_s(self, now_s: float) -> float:
        """Seconds until the first full window ends."""
        ends = [w.started_s + WINDOW_S - now_s for w in self._windows.values() if w.requests]
        return max(min((end for end in ends if end > 0), default=1.0), 1.0)

    def _current(self, name: str, now_s: float) -> _Window:
        window = self._windows[name]
        if now_s - window.started_s >= WINDOW_S:
            window.started_s, window.requests, window.tokens = now_s, 0, 0
        return window


class Eligibility:
    """The hard disqualifiers, in an order in which the plainest reason is told first."""

    def __init__(self, catalog: Sequence[Deployment], windows: RateWindows) -> None:
        self.catalog = tuple(catalog)
        self._windows = windows

    def incapable(self, deployment: Deployment, request: ChatRequest, task: str) -> str | None:
        """Why a deployment cannot serve a request at all; None when it can."""
        missing = request.needs - deployment.capabilities
        if missing:
            return "lacks " + "+".join(sorted(missing))
        shape = request.shape
        limit = shape.tokens_out_limit
        if shape.tokens_in + min(limit or ANSWER_RESERVE, ANSWER_RESERVE) > (
            deployment.context_window
        ):
            return "context_window"
        if 0 < deployment.max_output_tokens < limit:
            return "max_output_tokens"
        if deployment.tasks and task not in deployment.tasks:
            return "task"
        return None

    def split(
        self, request: ChatRequest, task: str, now_s: float
    ) -> tuple[list[int], list[Disqualified]]:
        """Indices of the eligible, and the others with their reasons."""
        eligible: list[int] = []
        out: list[Disqualified] = []
        needs, shape = request.needs, request.shape
        reserve = min(shape.tokens_out_limit or ANSWER_RESERVE, ANSWER_RESERVE)
        for index, each in enumerate(self.catalog):
            fits = (
                needs <= each.capabilities
                and shape.tokens_in + reserve <= each.context_window
                and not 0 < each.max_output_tokens < shape.tokens_out_limit
                and (not each.tasks or task in each.tasks)
            )
            if not fits:
                reason = self.incapable(each, request, task) or "unknown"
                out.append(Disqualified(each.name, reason))
            elif self._windows.exhausted(each, shape.tokens_in, now_s):
                out.append(Disqualified(each.name, "rate_limit"))
            else:
                eligible.append(index)
        return eligible, out


def only(
    eligible: Sequence[int],
    catalog: Sequence[Deployment],
    use: Sequence[str],
    exclude: Sequence[str],
    reason: str,
) -> tuple[list[int], list[Disqualified]]:
    """Keep what ``use`` names (all when empty) and ``exclude`` does not."""
    kept: list[int] = []
    out: list[Disqualified] = []
    for index in eligible:
        name = catalog[index].name
        if (use and name not in use) or name in exclude:
            out.append(Disqualified(name, reason))
        else:
            kept.append(index)
    return kept, out
