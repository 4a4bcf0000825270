"""The deployments: what each costs, can do, and may be asked."""

from __future__ import annotations

import re
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
    family: str = ""  # whose kin it is: nobody of it judges its answers

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


# Names that a maker gives to one family, where the name alone would not tell.
KIN = {
    "chatgpt": "gpt", "o": "gpt", "davinci": "gpt", "codex": "gpt", "gemma": "gemini",
    "mixtral": "mistral", "ministral": "mistral", "magistral": "mistral", "codestral": "mistral",
    "devstral": "mistral", "pixtral": "mistral", "qwq": "qwen", "qvq": "qwen",
    "codellama": "llama", "haiku": "claude", "sonnet": "claude", "opus": "claude",
}  # fmt: skip


def family_of(provider: str, model: str) -> str:
    """The family by a model's name: its letters up to the first digit or mark, whoever serves it,
    kin put together; of a name without letters the provider.
    """
    name = model.lower().removeprefix("ft:").rsplit("/", 1)[-1]
    # A name such as anthropic.claude-3: what comes before the last dot that letters follow.
    dotted = [each for each in name.split(".") if each[:1].isalpha()]
    found = re.match(r"[a-z]+", dotted[-1] if dotted else name)
    return KIN.get(found[0], found[0]) if found else provider.lower()


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
