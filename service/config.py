"""Settings (environment) and the plan (one YAML file); the only reader of either."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from service.domain.catalog import Deployment, Limits, Price
from service.domain.errors import PlanInvalid, Problem
from service.domain.expressions import Expression, ExpressionInvalid, parse

NAME = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Label = Annotated[str, Field(min_length=1, max_length=128)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Money = Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0.0, le=86_400.0, allow_inf_nan=False)]
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things lie and what is secret, from the environment."""

    state_dir: Path = Path("state")
    bootstrap_key: str | None = field(default=None, repr=False)
    hash_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, state_dir: Path) -> Settings:
        """Read HEADGATE_BOOTSTRAP_KEY and HEADGATE_HASH_KEY."""
        return cls(
            state_dir=state_dir,
            bootstrap_key=os.environ.get("HEADGATE_BOOTSTRAP_KEY") or None,
            hash_key=os.environ.get("HEADGATE_HASH_KEY") or None,
        )


def client_key() -> str | None:
    """The key that the command line sends, from HEADGATE_KEY."""
    return os.environ.get("HEADGATE_KEY") or None


def one_blas_thread() -> None:
    """Keep linear algebra on one thread, so that a replay is bit for bit; before numpy loads."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def child_environment() -> dict[str, str]:
    """What a child that computes needs of the environment: no keys, one thread of algebra."""
    needed = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
    kept = {name: os.environ[name] for name in needed if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def process_environment() -> dict[str, str]:
    """A copy of the environment, for a child process."""
    return dict(os.environ)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PricePlan(_Strict):
    """US dollars per million tokens, from a date on."""

    input_usd_per_mtok: Money
    output_usd_per_mtok: Money
    cached_input_usd_per_mtok: Money | None = None
    from_date: date | None = Field(default=None, alias="from")

    def price(self) -> Price:
        """As integer micro-dollars per million tokens."""
        start = 0
        if self.from_date is not None:
            start = int(datetime.combine(self.from_date, datetime.min.time(), UTC).timestamp())
        cached = self.cached_input_usd_per_mtok
        return Price(
            input_micro_usd_mtok=round(self.input_usd_per_mtok * 1e6),
            output_micro_usd_mtok=round(self.output_usd_per_mtok * 1e6),
            cached_input_micro_usd_mtok=None if cached is None else round(cached * 1e6),
            from_us=start * 1_000_000,
        )


class LimitsPlan(_Strict):
    """What the provider allows a minute; 0 for no limit."""

    requests_per_minute: int = Field(default=0, ge=0)
    tokens_per_minute: int = Field(default=0, ge=0)


class DeploymentPlan(_Strict):
    """A model at a provider."""

    name: Name
    dialect: str = "openai"
    provider: str = Field(default="", max_length=64)
    base_url: str = Field(pattern=r"^https?://[^\s@?#]+$")
    model: str = Field(min_length=1, max_length=200)
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Z_][A-Z0-9_]*$")
    price: Annotated[list[PricePlan], Field(min_length=1)]
    context_window: int = Field(default=128_000, ge=1)
    max_output_tokens: int = Field(default=0, ge=0)
    capabilities: list[Literal["tools", "json", "images", "audio", "files"]] = ["tools", "json"]
    limits: LimitsPlan = LimitsPlan()
    tasks: list[str] = []
    prior_quality: Share = 0.7
    prior_latency_s: Seconds = 1.0
    similar_to: str = ""

    @field_validator("price", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

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
            capabilities=frozenset(self.capabilities),
            limits=Limits(self.limits.requests_per_minute, self.limits.tokens_per_minute),
            tasks=frozenset(self.tasks),
            prior_quality=self.prior_quality,
            prior_latency_s=self.prior_latency_s,
            similar_to=self.similar_to,
        )


def _condition(text: str | None) -> str | None:
    if text is not None:
        try:
            parse(text)
        except ExpressionInvalid as error:
            raise ValueError(str(error)) from None
    return text


class TaskPlan(_Strict):
    """A class of requests. Without ``when`` it is reached only by name."""

    name: Name
    description: str = ""
    when: str | None = None

    _check_when = field_validator("when")(_condition)

    @property
    def condition(self) -> Expression | None:
        """The parsed condition."""
        return parse(self.when) if self.when else None


class RulePlan(_Strict):
    """Which deployments may serve what the condition takes; the first that holds decides."""

    when: str | None = None
    task: str | None = None
    use: list[str] = []
    exclude: list[str] = []

    _check_when = field_validator("when")(_condition)

    @model_validator(mode="after")
    def _says_something(self) -> RulePlan:
        if not self.use and not self.exclude:
            raise ValueError("a rule must give use or exclude")
        return self

    @property
    def condition(self) -> Expression | None:
        """The parsed condition."""
        return parse(self.when) if self.when else None


class PolicyPlan(_Strict):
    """Which policy decides, and its parameters."""

    name: Name = "default"
    kind: str = "linear"
    parameters: dict[str, Any] = {}
    learn_from_pinned: bool = False


class RewardPlan(_Strict):
    """What a point of quality is worth, in dollars and in seconds."""

    metric: str = "rating"
    worth_usd: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    patience_s: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)


class MetricPlan(_Strict):
    """A feedback metric. ``unit``: 0 to 1, thumbs allowed; ``stars``: 1 to 5; or ``labels``."""

    scale: Literal["unit", "stars", "labels"] = "unit"
    labels: list[str] = []


class FeedbackPlan(_Strict):
    """Which metrics are taken, and how late."""

    metrics: dict[Name, MetricPlan] = {"rating": MetricPlan()}
    expires_days: float = Field(default=30.0, gt=0.0, le=3650.0)


class QualityPlan(_Strict):
    """How often the quality model is refitted (0: never), and after how many new ratings."""

    refit_minutes: float = Field(default=10.0, ge=0.0, le=10_080.0, allow_inf_nan=False)
    least_ratings: int = Field(default=200, ge=1, le=1_000_000)


class BudgetPlan(_Strict):
    """What the policy paces spend to."""

    usd_per_request: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None


class DialPlan(_Strict):
    """How much a dollar counts for a tenant or a tier, where the request does not say."""

    tenants: dict[Label, Share] = {}
    tiers: dict[str, Share] = {}


class SessionPlan(_Strict):
    """Whether a conversation stays where it began, and for how long it is remembered."""

    sticky: bool = True
    idle_s: Seconds = 3600.0


class ServicePlan(_Strict):
    """Bounds of the service itself."""

    body_bytes: int = Field(default=10_000_000, ge=1_000, le=200_000_000)
    attempt_timeouts_s: list[Seconds] = Field(default=[30.0, 25.0, 20.0], min_length=1)
    stream_idle_s: Seconds = 20.0
    deadline_s: Seconds = 75.0


class Plan(_Strict):
    """What is wanted: one file, one source of truth."""

    deployments: list[DeploymentPlan] = Field(min_length=1)
    tasks: list[TaskPlan] = []
    rules: list[RulePlan] = []
    tiers: list[Name] = []
    policy: PolicyPlan = PolicyPlan()
    reward: RewardPlan = RewardPlan()
    budgets: BudgetPlan = BudgetPlan()
    dials: DialPlan = DialPlan()
    quality: QualityPlan = QualityPlan()
    feedback: FeedbackPlan = FeedbackPlan()
    sessions: SessionPlan = SessionPlan()
    service: ServicePlan = ServicePlan()

    @property
    def task_names(self) -> tuple[str, ...]:
        """Every task, ``other`` last."""
        return (*(t.name for t in self.tasks if t.name != OTHER), OTHER)

    def catalog(self, environment: Mapping[str, str] | None = None) -> tuple[Deployment, ...]:
        """The deployments, with their secrets from the environment."""
        source = os.environ if environment is None else environment
        return tuple(each.deployment(source) for each in self.deployments)

    def missing_secrets(self) -> list[tuple[int, str]]:
        """Deployments (by index) whose key's variable is not set."""
        named = [(i, each.api_key_env) for i, each in enumerate(self.deployments)]
        return [(i, env) for i, env in named if env and not os.environ.get(env)]


class Lines:
    """Where each key of a YAML text stands."""

    def __init__(self, text: str) -> None:
        self._at: dict[tuple[str | int, ...], int] = {}
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            self._walk(node, ())

    def _walk(self, node: yaml.Node, path: tuple[str | int, ...]) -> None:
        self._at.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                if inner in self._at:
                    raise yaml.MarkedYAMLError(
                        None, None, f"the key {key.value!r} is given twice", key.start_mark
                    )
                self._at[inner] = key.start_mark.line + 1
                self._walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._walk(value, (*path, index))

    def of(self, path: tuple[str | int, ...]) -> int | None:
        """The line of ``path``, or of the nearest thing around it."""
        while path and path not in self._at:
            path = path[:-1]
        return self._at.get(path)


def load(path: Path) -> tuple[Plan, Lines]:
    """Read a plan's form; raises PlanInvalid with every problem, its line, key and mend."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise PlanInvalid(str(path), [Problem("file", f"cannot be read: {reason}")]) from None
    try:
        lines = Lines(text)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = Problem(
            "file", str(error.problem), "mend the YAML", line=mark.line + 1 if mark else None
        )
        raise PlanInvalid(str(path), [problem]) from None
    except (yaml.YAMLError, RecursionError):
        raise PlanInvalid(str(path), [Problem("file", "is not YAML")]) from None
    if not isinstance(data, dict):
        raise PlanInvalid(str(path), [Problem("file", "must be a mapping with deployments")])
    try:
        return Plan.model_validate(data), lines
    except pydantic.ValidationError as error:
        raise PlanInvalid(str(path), _problems(error, lines)) from None


def _problems(error: pydantic.ValidationError, lines: Lines) -> list[Problem]:
    problems = []
    for each in error.errors():
        path = tuple(each["loc"])
        if "price" in path and path[-2:-1] == (0,) and lines.of(path) == lines.of(path[:-2]):
            path = (*path[:-2], path[-1])  # a single price is not written as a list
        mend = ""
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            message = "unknown key"
            mend = _did_you_mean(path)
        key = ".".join(str(part) for part in path) or "file"
        problems.append(Problem(key, message, mend, lines.of(path)))
    return list(dict.fromkeys(problems))


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "deployments": DeploymentPlan, "tasks": TaskPlan, "rules": RulePlan, "policy": PolicyPlan,
    "reward": RewardPlan, "budgets": BudgetPlan, "quality": QualityPlan,
    "feedback": FeedbackPlan, "price": PricePlan,
    "sessions": SessionPlan, "service": ServicePlan, "limits": LimitsPlan, "metrics": MetricPlan,
    "dials": DialPlan,
}  # fmt: skip


def _did_you_mean(path: tuple[str | int, ...]) -> str:
    sections = [part for part in path[:-1] if isinstance(part, str) and part in _SECTIONS]
    model = _SECTIONS[sections[-1]] if sections else Plan
    known = [f.alias or name for name, f in model.model_fields.items()]
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
