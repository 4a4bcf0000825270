"""The deployments: what each costs, can do, and may be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from service.domain.modalities import CHARACTERS_PER_TOKEN, CHAT, IMAGE, IMAGE_UNITS, Kind


@dataclass(frozen=True, slots=True)
class Price:
    """US micro-dollars per million tokens, in force from ``from_us`` (microseconds, UTC).

    What has no price of its own is billed as what it is a part of: a cached part and one written
    to a cache as input, reasoning as output. ``image``, ``request``: micro-dollars each;
    ``mchar``: of a million characters of input; ``batch_ppm``: what a call in a batch costs, in
    millionths of the same call alone.
    """

    input_micro_usd_mtok: int
    output_micro_usd_mtok: int
    cached_input_micro_usd_mtok: int | None = None
    from_us: int = 0
    cache_write_micro_usd_mtok: int | None = None
    reasoning_micro_usd_mtok: int | None = None
    image_micro_usd: int = 0
    mchar_micro_usd: int = 0
    request_micro_usd: int = 0
    batch_ppm: int = 1_000_000


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


@dataclass(frozen=True, slots=True)
class BatchOffer:
    """A provider's batches: how long one is given, how long a cancelled one may take to end, how
    often one is looked at first (seconds); how many requests and bytes one may have.
    """

    window_s: float = 86_400.0
    cancel_s: float = 900.0
    poll_s: float = 30.0
    most_requests: int = 50_000
    most_bytes: int = 100_000_000

    @property
    def needs_s(self) -> float:
        """From its submission to its end at the latest."""
        return self.window_s + self.cancel_s


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
    prompt_cache_s: float = 300.0  # how long its provider keeps a prompt that was read
    family: str = ""  # whose kin it is: nobody of it judges its answers
    modality: str = CHAT
    space: str = ""  # of embeddings: whose vectors may be compared
    batch: BatchOffer | None = None  # None: its provider answers single calls alone

    @property
    def kind(self) -> Kind:
        """Which requests it may meet."""
        return Kind(self.modality, self.space)

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
    if deployment.modality != CHAT:  # an image, or as many characters as tokens
        whole += (
            price.image_micro_usd * 1_000_000
            + price.mchar_micro_usd * CHARACTERS_PER_TOKEN * TYPICAL_IN
        )
    return whole / 1e12


def asked_micro_usd_mtok(deployment: Deployment, price: Price) -> int:
    """Of a million tokens that are asked, as choices reckon: where an image counts as IMAGE_UNITS
    of them, and four characters of a text to be spoken as one.
    """
    if deployment.modality == CHAT:
        return price.input_micro_usd_mtok
    each = (price.image_micro_usd + price.request_micro_usd) * (1_000_000 // IMAGE_UNITS)
    if deployment.modality == IMAGE:
        return each
    return price.input_micro_usd_mtok + CHARACTERS_PER_TOKEN * price.mchar_micro_usd


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a call is billed for. ``cached`` and ``cache_write`` are parts of ``tokens_in``,
    ``reasoning`` of ``tokens_out``; ``images``: made; ``characters``: of input, where they are
    priced.
    """

    tokens_in: int
    tokens_out: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    images: int = 0
    characters: int = 0
    batch: bool = False


def charge_micro_usd(price: Price, used: Amounts) -> int:
    """Micro-dollars of one call: exact in millionths of one, then rounded half up, once a call, so
    that sums over calls are sums of integers. A part larger than its whole counts as the whole.
    """
    plain, total = used.tokens_in, 0
    for part, own in (
        (used.cached, price.cached_input_micro_usd_mtok),
        (used.cache_write, price.cache_write_micro_usd_mtok),
    ):
        if own is not None and part > 0:
            part = min(part, plain)
            plain -= part
            total += part * own
    total += plain * price.input_micro_usd_mtok
    out = used.tokens_out
    if price.reasoning_micro_usd_mtok is not None and used.reasoning > 0:
        thought = min(used.reasoning, out)
        out -= thought
        total += thought * price.reasoning_micro_usd_mtok
    total += out * price.output_micro_usd_mtok
    total += used.characters * price.mchar_micro_usd
    total += (used.images * price.image_micro_usd + price.request_micro_usd) * 1_000_000
    if used.batch:
        return (total * price.batch_ppm + 500_000_000_000) // 1_000_000_000_000
    return (total + 500_000) // 1_000_000


def cost_micro_usd(price: Price, tokens_in: int, tokens_out: int, cached: int = 0) -> int:
    """Micro-dollars of one call of tokens alone. ``cached`` is the cached part of tokens_in."""
    return charge_micro_usd(price, Amounts(tokens_in, tokens_out, cached))


def dearest_in(price: Price) -> int:
    """Of a million tokens of input, whatever part of it they are."""
    cached, written = price.cached_input_micro_usd_mtok, price.cache_write_micro_usd_mtok
    return max(price.input_micro_usd_mtok, cached or 0, written or 0)


def dearest_out(price: Price) -> int:
    """Of a million tokens of output, reasoning or not."""
    return max(price.output_micro_usd_mtok, price.reasoning_micro_usd_mtok or 0)


def worst_micro_usd(price: Price, used: Amounts) -> int:
    """The most that a call of such amounts may cost, however they are divided; rounded up."""
    total = used.tokens_in * dearest_in(price) + used.tokens_out * dearest_out(price)
    total += used.characters * price.mchar_micro_usd
    whole = used.images * price.image_micro_usd + price.request_micro_usd
    most = -(-total // 1_000_000) + whole
    return -(-most * price.batch_ppm // 1_000_000) if used.batch else most
