"""The plan's deployments: prices, limits, what each can do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from service.domain.catalog import BatchOffer, Deployment, Endpoint, Limits, Price, family_of
from service.domain.demands import promised
from service.domain.modalities import CHAT, DIALECTS, EMBEDDING, FORMATS, SPEECH
from service.plan.words import DataPolicy, Money, Name, Region, Seconds, Share, Strict

ADDRESS = r"^https?://[^\s@?#]+$"
VARIABLE = r"^[A-Z_][A-Z0-9_]*$"


MODAL_WINDOW = 1_000_000  # tokens of one request that is not chat, where the plan says nothing
NO_TOKENS = {"input_usd_per_mtok": 0.0, "output_usd_per_mtok": 0.0}
Factor = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class PricePlan(Strict):
    """US dollars from a date (UTC) on: per million tokens, and where the provider asks them per
    image that it makes, per million characters of input, and per request; ``batch_factor``: what
    a call in a batch costs of that.
    """

    input_usd_per_mtok: Money
    output_usd_per_mtok: Money
    cached_input_usd_per_mtok: Money | None = None
    cache_write_usd_per_mtok: Money | None = None
    reasoning_usd_per_mtok: Money | None = None
    usd_per_image: Money = 0.0
    usd_per_mchar: Money = 0.0
    usd_per_request: Money = 0.0
    batch_factor: Factor = 1.0
    from_date: date | None = Field(default=None, alias="from")

    def price(self) -> Price:
        """As integer micro-dollars per million tokens."""
        start = 0
        if self.from_date is not None:
            start = int(datetime.combine(self.from_date, datetime.min.time(), UTC).timestamp())
        return Price(
            input_micro_usd_mtok=round(self.input_usd_per_mtok * 1e6),
            output_micro_usd_mtok=round(self.output_usd_per_mtok * 1e6),
            cached_input_micro_usd_mtok=_micro(self.cached_input_usd_per_mtok),
            from_us=start * 1_000_000,
            cache_write_micro_usd_mtok=_micro(self.cache_write_usd_per_mtok),
            reasoning_micro_usd_mtok=_micro(self.reasoning_usd_per_mtok),
            image_micro_usd=round(self.usd_per_image * 1e6),
            mchar_micro_usd=round(self.usd_per_mchar * 1e6),
            request_micro_usd=round(self.usd_per_request * 1e6),
            batch_ppm=round(self.batch_factor * 1e6),
        )


def _micro(usd: float | None) -> int | None:
    return None if usd is None else round(usd * 1e6)


class LimitsPlan(Strict):
    """What the provider allows a minute; 0 for no limit."""

    requests_per_minute: int = Field(default=0, ge=0)
    tokens_per_minute: int = Field(default=0, ge=0)

    def limits(self) -> Limits:
        """As the catalogue has it."""
        return Limits(self.requests_per_minute, self.tokens_per_minute)


class EndpointPlan(Strict):
    """One of several addresses or keys of a deployment; what is left out is the deployment's."""

    base_url: str | None = Field(default=None, pattern=ADDRESS)
    api_key_env: str | None = Field(default=None, pattern=VARIABLE)
    limits: LimitsPlan | None = None


class BatchOfferPlan(Strict):
    """Its provider answers batches at ``batch_factor`` of the price. ``window_s``: how long one is
    given before it is called off; ``cancel_s``: how long one that is called off may take to end;
    ``poll_s``: between two looks at first.
    """

    window_s: Annotated[float, Field(gt=0.0, le=86_400.0, allow_inf_nan=False)] = 14_400.0
    cancel_s: Annotated[float, Field(gt=0.0, le=7_200.0, allow_inf_nan=False)] = 900.0
    poll_s: Annotated[float, Field(gt=0.0, le=3_600.0, allow_inf_nan=False)] = 30.0
    most_requests: int = Field(default=50_000, ge=1, le=50_000)
    most_bytes: int = Field(default=100_000_000, ge=1_000, le=200_000_000)

    def offer(self) -> BatchOffer:
        """As the catalogue has it."""
        return BatchOffer(**self.model_dump())


class DeploymentPlan(Strict):
    """A model at a provider."""

    name: Name
    dialect: str = "openai"
    provider: str = Field(default="", max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
    base_url: str = Field(pattern=ADDRESS)
    model: str = Field(min_length=1, max_length=200)
    api_key_env: str | None = Field(default=None, pattern=VARIABLE)
    price: Annotated[list[PricePlan], Field(min_length=1)]
    context_window: int = Field(default=128_000, ge=1)
    max_output_tokens: int = Field(default=0, ge=0)
    capabilities: list[Literal["tools", "json", "images", "audio", "files"]] = ["tools", "json"]
    limits: LimitsPlan = LimitsPlan()
    most_in_flight: int = Field(default=1_000, ge=3, le=100_000)
    endpoints: list[EndpointPlan] = []
    tasks: list[str] = []
    prior_quality: Share = 0.7
    prior_latency_s: Seconds = 1.0
    similar_to: str = ""
    strengths: dict[Name, Share] = {}  # by task: its quality there, as far as is believed
    region: Region | None = None
    data_policy: list[DataPolicy] = []
    family: str = Field(default="", max_length=64)
    modality: Literal["chat", "image", "speech", "embedding"] = "chat"
    formats: list[Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]] = []
    space: str = Field(default="", max_length=200)
    batch: BatchOfferPlan | None = None

    @model_validator(mode="before")
    @classmethod
    def _unpriced(cls, data: Any) -> Any:
        """What is not chat is priced by what its provider asks for, and need not price tokens; its
        context window is that of a whole request.
        """
        if not isinstance(data, dict) or data.get("modality", CHAT) == CHAT:
            return data
        data = {"context_window": MODAL_WINDOW} | data
        given = data.get("price")
        prices = given if isinstance(given, list) else [given]
        if given and all(isinstance(each, dict) and set(each) - {"from"} for each in prices):
            data["price"] = [NO_TOKENS | each for each in prices]
        return data

    @model_validator(mode="after")
    def _of_its_modality(self) -> DeploymentPlan:
        if self.formats and self.modality != SPEECH:
            raise ValueError("formats are those of modality: speech; drop them")
        if self.space and self.modality != EMBEDDING:
            raise ValueError("space is that of modality: embedding; drop it")
        if self.modality != CHAT:
            if "capabilities" in self.model_fields_set:
                raise ValueError("capabilities are those of modality: chat; drop them")
            if self.dialect not in DIALECTS:
                raise ValueError(
                    f"the dialect {self.dialect} is spoken for chat alone; modality: "
                    f"{self.modality} takes {', '.join(DIALECTS)}"
                )
        return self

    @property
    def can(self) -> frozenset[str]:
        """What it may be asked for beyond the plain."""
        if self.modality == CHAT:
            return frozenset(self.capabilities)
        return frozenset(self.formats or FORMATS) if self.modality == SPEECH else frozenset()

    prompt_cache_s: Seconds = 300.0  # how long its provider keeps a prompt that was read

    @field_validator("price", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @property
    def secrets(self) -> list[str]:
        """The variables that its keys come from."""
        named = [self.api_key_env, *(each.api_key_env for each in self.endpoints)]
        return [name for name in named if name]

    def _endpoints(self, environment: Mapping[str, str]) -> tuple[Endpoint, ...]:
        return tuple(
            Endpoint(
                base_url=(each.base_url or self.base_url).rstrip("/"),
                api_key=environment.get(variable) if variable else None,
                limits=(each.limits or self.limits).limits(),
            )
            for each in self.endpoints
            for variable in [each.api_key_env or self.api_key_env]
        )

    def deployment(self, environment: Mapping[str, str]) -> Deployment:
        """The catalogue's entry, its secret filled in."""
        host = self.base_url.split("://", 1)[1].split("/", 1)[0]
        return Deployment(
            name=self.name,
            dialect=self.dialect,
            base_url=self.base_url.rstrip("/"),
            model=self.model,
            prices=tuple(sorted((p.price() for p in self.price), key=lambda p: p.from_us)),
            api_key=environment.get(self.api_key_env) if self.api_key_env else None,
            provider=self.provider or host,
            context_window=self.context_window,
            max_output_tokens=self.max_output_tokens,
            capabilities=self.can,
            limits=self.limits.limits(),
            most_in_flight=self.most_in_flight,
            endpoints=self._endpoints(environment),
            tasks=frozenset(self.tasks),
            prior_quality=self.prior_quality,
            prior_latency_s=self.prior_latency_s,
            similar_to=self.similar_to,
            region=self.region or "",
            data_policy=promised(frozenset(self.data_policy)),
            prompt_cache_s=self.prompt_cache_s,
            family=self.family or family_of(self.provider or host, self.model),
            modality=self.modality,
            space=(self.space or self.model) if self.modality == EMBEDDING else "",
            batch=self.batch.offer() if self.batch is not None else None,
        )
