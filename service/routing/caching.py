"""What the providers' prompt caches are expected to take, by the calls of held sessions."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.catalog import Deployment
from service.domain.records import Attempt, Decision, Mode, Role
from service.routing.narrowing import Draft
from service.routing.sessions import Held

FADE = 0.98  # of what is known, a call
PRIOR_TOKENS = 2_000.0  # without any cached, that are believed before the first call
MOST = 10_000  # deployments that are remembered


class PromptCaches:
    """Of each deployment the share of a held session's prompt that its provider takes from its
    cache; nothing is expected before it has been seen.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}  # cached tokens and all, faded

    def saw(self, decision: Decision, attempt: Attempt) -> None:
        """A call has ended; it tells something where it went to whom the session is held by."""
        used = attempt.usage
        if decision.mode is not Mode.STICKY or attempt.role is not Role.FIRST or not used.tokens_in:
            return
        if used.estimated or (attempt.deployment not in self._known and len(self._known) >= MOST):
            return
        cached, tokens = self._known.get(attempt.deployment, (0.0, 0.0))
        self._known[attempt.deployment] = (
            FADE * cached + min(used.cached_tokens, used.tokens_in), FADE * tokens + used.tokens_in
        )  # fmt: skip

    def share(self, name: str) -> float:
        """The share that is expected of a deployment."""
        cached, tokens = self._known.get(name, (0.0, 0.0))
        return cached / (tokens + PRIOR_TOKENS)

    def credit(
        self, draft: Draft, held: Held | None, catalog: Sequence[Deployment], at_us: int
    ) -> tuple[int, float] | None:
        """Who holds a session (its place), and what its prompt is expected to cost less than at
        the full price, US dollars; None while nobody does, or the cache has gone cold.
        """
        if held is None:
            return None
        index = next(i for i, each in enumerate(catalog) if each.name == held.deployment)
        if draft.now_s - held.seen_s > catalog[index].prompt_cache_s:
            return None
        tokens_in = draft.asked.context.tokens_in
        return index, self.discount_usd(catalog[index], tokens_in, at_us)

    def discount_usd(self, deployment: Deployment, tokens_in: int, at_us: int) -> float:
        """What a warm cache takes off such a prompt, US dollars."""
        price = deployment.price_at(at_us)
        if price.cached_input_micro_usd_mtok is None:
            return 0.0
        each = price.input_micro_usd_mtok - price.cached_input_micro_usd_mtok
        return self.share(deployment.name) * tokens_in * max(each, 0) / 1e12
