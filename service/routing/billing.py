"""What a call costs: as the provider says, or estimated and marked so; never silently nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.domain.catalog import Deployment, cost_micro_usd
from service.domain.records import ErrorKind, Usage
from service.providers.base import ProviderFailure, Tokens

CHARACTERS_PER_TOKEN = 4
_UNBILLED = (
    ErrorKind.CONNECTION,
    ErrorKind.RATE_LIMIT,
    ErrorKind.OVERLOADED,
    ErrorKind.AUTH,
    ErrorKind.INVALID,
    ErrorKind.CONTEXT_LENGTH,
    ErrorKind.POLICY,
    ErrorKind.SERVER,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of an answer: whether the prompt went out, content, tokens, first token."""

    sent: bool = False
    content_chars: int = 0
    tokens: Tokens | None = None
    ttft_s: float | None = None


def seen_of(failure: ProviderFailure, seen: Seen | None = None) -> Seen:
    """What a failed call showed. A refusal that came as an answer is billed as one."""
    seen = seen or Seen()
    if failure.kind is not ErrorKind.POLICY or failure.status != 200:
        return seen
    return replace(seen, sent=True, tokens=failure.tokens or seen.tokens)


def usage_of(
    deployment: Deployment, tokens_in: int, seen: Seen, kind: ErrorKind | None, at_us: int
) -> Usage:
    """Tokens and money of one call. ``tokens_in`` is our own count of the prompt."""
    price = deployment.price_at(at_us)
    if seen.tokens is not None:
        tokens = seen.tokens
        cost = cost_micro_usd(price, tokens.tokens_in, tokens.tokens_out, tokens.cached)
        return Usage(tokens.tokens_in, tokens.tokens_out, tokens.cached, cost)
    answered = bool(seen.content_chars) or (kind is ErrorKind.POLICY and seen.sent)
    if kind in _UNBILLED and not answered:
        return Usage(0, 0, 0, 0)
    if not seen.sent:
        return Usage(0, 0, 0, 0, estimated=kind is not None)
    out = -(-seen.content_chars // CHARACTERS_PER_TOKEN)
    return Usage(tokens_in, out, 0, cost_micro_usd(price, tokens_in, out), estimated=True)
