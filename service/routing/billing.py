"""What a call costs: as the provider says, or estimated and marked so; never silently nothing."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.catalog import Amounts, Deployment, Price, charge_micro_usd
from service.domain.records import ErrorKind, Extras, Usage
from service.providers.base import ProviderFailure, Tokens, reached

CHARACTERS_PER_TOKEN = 4
_UNBILLED = (
    ErrorKind.CONNECTION,
    ErrorKind.RATE_LIMIT,
    ErrorKind.OVERLOADED,
    ErrorKind.AUTH,
    ErrorKind.INVALID,
    ErrorKind.DIALECT,
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
    images: int = 0


def seen_before(failure: ProviderFailure, opened: bool = False) -> Seen:
    """What was seen of an answer before a failure; ``opened``: a stream of it had been opened.

    A refusal that came as an answer is billed as one.
    """
    answered = failure.kind is ErrorKind.POLICY and failure.status == 200
    return Seen(failure.begun or opened or answered, failure.content_chars, failure.tokens)


def seen_in_time() -> Seen:
    """What was seen when time ran out: the prompt went out if the provider was reached at all."""
    return Seen(sent=reached.get())


def usage_of(
    deployment: Deployment, tokens_in: int, seen: Seen, kind: ErrorKind | None, at_us: int,
    batch: bool = False,
) -> Usage:  # fmt: skip
    """Tokens and money of one call. ``tokens_in`` is our own count of the prompt; ``batch``: it was
    answered in a batch of the provider's.
    """
    price = deployment.price_at(at_us)
    if seen.tokens is not None:
        tokens, odd = seen.tokens, seen.tokens.estimated
        made = tokens.tokens_out
        if made == 0 and seen.content_chars:  # it says that it made nothing of what we have seen
            made, odd = -(-seen.content_chars // CHARACTERS_PER_TOKEN), True
        used = Amounts(
            tokens.tokens_in, made, tokens.cached, tokens.cache_write, tokens.reasoning,
            seen.images, _characters(price, tokens_in, tokens.characters), batch,
        )  # fmt: skip
        return _billed(price, used, odd or (bool(used.characters) and tokens.characters is None))
    answered = bool(seen.content_chars) or (kind is ErrorKind.POLICY and seen.sent)
    if kind in _UNBILLED and not answered:
        return Usage(0, 0, 0, 0)
    if not seen.sent:
        return Usage(0, 0, 0, 0, estimated=kind is not None)
    out = -(-seen.content_chars // CHARACTERS_PER_TOKEN)
    characters = _characters(price, tokens_in)
    used = Amounts(tokens_in, out, images=seen.images, characters=characters, batch=batch)
    return _billed(price, used, True)


def _characters(price: Price, tokens_in: int, known: int | None = None) -> int:
    """Characters of the prompt where they are priced, by our own count of its tokens if need be."""
    if not price.mchar_micro_usd:
        return 0
    return tokens_in * CHARACTERS_PER_TOKEN if known is None else known


def _billed(price: Price, used: Amounts, odd: bool) -> Usage:
    extras = None
    if used.cache_write or used.reasoning or used.images or used.characters:
        extras = Extras(used.cache_write, used.reasoning, used.images, used.characters)
    cost = charge_micro_usd(price, used)
    return Usage(used.tokens_in, used.tokens_out, used.cached, cost, odd, extras)
