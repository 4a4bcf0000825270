"""The deployments: what each costs, can do, and may be asked."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Price:
    """US micro-dollars per million tokens, in force from ``from_us`` (microseconds, UTC)."""

    input_micro_usd_mtok: int
    output_micro_usd_mtok: int
    cached_input_micro_usd_mtok: int | None = None
    from_us: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the provider allows: per minute, 0 for no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0


CAPABILITIES = ("tools", "json", "images", "audio", "files")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model at a provider."""

    name: str
    dialect: str
    base_url: str
    model: str
    prices: tuple[Price, ...]
    api_key: str | None = field(default=None, repr=False)
    provider: str = ""
    context_window: int = 128_000
    max_output_tokens: int = 0
    capabilities: frozenset[str] = frozenset(CAPABILITIES[:2])
    limits: Limits = Limits()
    tasks: frozenset[str] = frozenset()  # empty: every task
    prior_quality: float = 0.7
    prior_latency_s: float = 1.0
    similar_to: str = ""  # the deployment that it is believed to resemble

    def price_at(self, at_us: int) -> Price:
        """The price in force at ``at_us``."""
        current = self.prices[0]
        for price in self.prices:
            if price.from_us <= at_us:
                current = price
        return current


def cost_micro_usd(price: Price, tokens_in: int, tokens_out: int, cached: int = 0) -> int:
    """Micro-dollars of one call, rounded half up. ``cached`` is the cached part of tokens_in."""
    cached_price = price.cached_input_micro_usd_mtok
    if cached_price is None or cached <= 0:
        cached, cached_price = 0, 0
    cached = min(cached, tokens_in)
    total = (tokens_in - cached) * price.input_micro_usd_mtok
    total += cached * cached_price + tokens_out * price.output_micro_usd_mtok
    return (total + 500_000) // 1_000_000
