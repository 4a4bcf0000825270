"""The deployments: what each costs, can do, and may be asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


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

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.requests_per_minute or self.tokens_per_minute)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and key of a deployment, with what is allowed there."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    limits: Limits = Limits()


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
    region: str = ""  # where prompts are seen; empty: not said
    data_policy: frozenset[str] = frozenset()  # what is promised of them, of DATA_POLICIES
    most_in_flight: int = 1_000
    endpoints: tuple[Endpoint, ...] = ()  # several addresses or keys; empty: the one above
    endpoint: int = 0  # which of them this is

    @property
    def ends(self) -> tuple[Deployment, ...]:
        """This deployment once for each of its endpoints."""
        if not self.endpoints:
            return (self,)
        return tuple(
            replace(
                self,
                base_url=each.base_url,
                api_key=each.api_key,
                limits=each.limits,
                endpoints=(),
                endpoint=index,
            )
            for index, each in enumerate(self.endpoints)
        )

    def price_at(self, at_us: int) -> Price:
        """The price in force at ``at_us``."""
        current = self.prices[0]
        for price in self.prices:
            if price.from_us <= at_us:
                current = price
        return current


TYPICAL_IN, TYPICAL_OUT = 1_000, 500  # tokens of a request, where list prices are compared


def typical_usd(deployment: Deployment, at_us: int) -> float:
    """What a request of typical size costs at list prices, US dollars: which one is the dearer."""
    price = deployment.price_at(at_us)
    whole = price.input_micro_usd_mtok * TYPICAL_IN + price.output_micro_usd_mtok * TYPICAL_OUT
    return whole / 1e12


def cost_micro_usd(price: Price, tokens_in: int, tokens_out: int, cached: int = 0) -> int:
    """Micro-dollars of one call, rounded half up. ``cached`` is the cached part of tokens_in."""
    cached_price = price.cached_input_micro_usd_mtok
    if cached_price is None or cached <= 0:
        cached, cached_price = 0, 0
    cached = min(cached, tokens_in)
    total = (tokens_in - cached) * price.input_micro_usd_mtok
    total += cached * cached_price + tokens_out * price.output_micro_usd_mtok
    return (total + 500_000) // 1_000_000
