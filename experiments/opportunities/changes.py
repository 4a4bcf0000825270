"""Changes that can be tried on a history, as they are written: tier:code=mill, cache:faq."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experiments.errors import ExperimentError

PATIENT = ("batch", "offline", "nightly", "bulk", "background", "async")
FORMS = (
    "tier:TASK=DEPLOYMENT", "cache:TASK ttl=24h", "batch:TASK window=24h tags=nightly factor=0.5",
    "skip:TASK above=0.9 audit=0.05 acceptable=0.7", "price:DEPLOYMENT=INPUT/OUTPUT[/CACHED]",
    "budget:tenant=NAME usd=50 per=day",
)  # fmt: skip
SCOPES = ("global", "tenant", "key", "feature", "task", "deployment")
PERIODS: Mapping[str, int] = {"hour": 3_600, "day": 86_400}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Tier:
    """Every draw of a task to one deployment, wherever that had a chance."""

    task: str
    deployment: str

    @property
    def text(self) -> str:
        """As it is written."""
        return f"tier:{self.task}={self.deployment}"


@dataclass(frozen=True, slots=True)
class Cache:
    """Answers of a task (``*``: of all) given again for ``ttl_s``."""

    task: str
    ttl_s: float = 86_400.0

    @property
    def text(self) -> str:
        """As it is written."""
        return f"cache:{self.task} ttl={_span(self.ttl_s)}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Patient requests of a task (``*``: of all) at ``factor`` of their price."""

    task: str
    window_s: float = 86_400.0
    tags: tuple[str, ...] = PATIENT
    tiers: tuple[str, ...] = ()
    factor: float = 0.5

    @property
    def text(self) -> str:
        """As it is written."""
        tags = "" if self.tags == PATIENT else f" tags={','.join(self.tags)}"
        tiers = f" tiers={','.join(self.tiers)}" if self.tiers else ""
        return (f"batch:{self.task} window={_span(self.window_s)}{tags}{tiers} "
                f"factor={self.factor:g}")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Skip:
    """No check of answers whose chance to be acceptable was at least ``above``, but ``audit``."""

    task: str
    above: float = 0.9
    audit: float = 0.05
    acceptable: float = 0.7

    @property
    def text(self) -> str:
        """As it is written."""
        return (f"skip:{self.task} above={self.above:g} audit={self.audit:g} "
                f"acceptable={self.acceptable:g}")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Price:
    """Another price of a deployment, micro-dollars per million tokens in and out; cached ones cost
    as any others where nothing is said.
    """

    deployment: str
    input_micro: int
    output_micro: int
    cached_micro: int | None = None

    @property
    def cached(self) -> int:
        """Of a million cached tokens."""
        return self.input_micro if self.cached_micro is None else self.cached_micro

    @property
    def text(self) -> str:
        """As it is written."""
        prices = [self.input_micro, self.output_micro]
        if self.cached_micro is not None:
            prices.append(self.cached_micro)
        return f"price:{self.deployment}={'/'.join(f'{each / 1e6:.10g}' for each in prices)}"


@dataclass(frozen=True, slots=True)
class Cap:
    """A hard budget: what comes after it is spent is refused until the period ends (UTC)."""

    scope: str
    name: str
    cap_micro: int
    per: str = "day"

    @property
    def text(self) -> str:
        """As it is written."""
        of = self.scope if self.scope == "global" else f"{self.scope}={self.name}"
        return f"budget:{of} usd={self.cap_micro / 1e6:g} per={self.per}"


Change = Tier | Cache | Batch | Skip | Price | Cap
ORDER: Sequence[type] = (Price, Skip, Cache, Batch, Cap, Tier)
ORDER_WORDS = "prices, skipped checks, caches, batches, budgets, tiers"


def in_order(changes: Sequence[Change]) -> list[Change]:
    """As they are applied, each on what those before it left; refused where two contradict."""
    seen: set[tuple[type, str]] = set()
    for each in changes:
        at = _where(each)
        if at in seen:
            raise ExperimentError(f"{each.text}: another change is of the same; leave one of them")
        seen.add(at)
    for kind in (Tier, Cache, Batch, Skip):
        of_all = (kind, "*")
        if of_all in seen and sum(each[0] is kind for each in seen) > 1:
            raise ExperimentError("* is all tasks: leave those of single tasks away")
    if any(isinstance(each, Cap) for each in changes) and any(
        isinstance(each, Tier) for each in changes
    ):
        raise ExperimentError(
            "a budget and a tier cannot be tried together: whose request would be refused depends "
            "on what each would have cost elsewhere, which nobody knows; try them one by one"
        )
    return sorted(changes, key=lambda each: ORDER.index(type(each)))


def _where(change: Change) -> tuple[type, str]:
    if isinstance(change, Price):
        return Price, change.deployment
    if isinstance(change, Cap):
        return Cap, f"{change.scope}={change.name} {change.per}"
    return type(change), change.task


def parse(text: str) -> Change:
    """The change that a text writes; raises ExperimentError that says how it is written."""
    head, *options = text.split() or [""]
    kind, colon, of = head.partition(":")
    if not colon or kind not in _READ or not of:
        raise ExperimentError(f"{text!r} is no change; write one of {'; '.join(FORMS)}")
    given: dict[str, str] = {}
    for each in options:
        name, equals, value = each.partition("=")
        if not (name and equals and value) or name in given:
            raise ExperimentError(f"{text!r}: {each!r} is no NAME=VALUE that stands once")
        given[name] = value
    known = _OPTIONS[kind]
    for name in given:
        if name not in known:
            raise ExperimentError(f"{text!r}: no option {name!r}; there are {', '.join(known)}")
    try:
        return _READ[kind](of, given)
    except ValueError as error:
        raise ExperimentError(f"{text!r}: {error}") from None


def _tier(of: str, given: Mapping[str, str]) -> Change:
    task, _, deployment = of.partition("=")
    if not task or not deployment or task == "*":
        raise ValueError("give a task and a deployment, as tier:code=mill")
    return Tier(task, deployment)


def _cache(of: str, given: Mapping[str, str]) -> Change:
    return Cache(of, _seconds(given.get("ttl", "24h"), "ttl"))


def _batch(of: str, given: Mapping[str, str]) -> Change:
    tags = _names(given.get("tags", ",".join(PATIENT)))
    factor = _share(given.get("factor", "0.5"), "factor")
    window = _seconds(given.get("window", "24h"), "window")
    return Batch(of, window, tags, _names(given.get("tiers", "")), factor)


def _skip(of: str, given: Mapping[str, str]) -> Change:
    usual = (("above", "0.9"), ("audit", "0.05"), ("acceptable", "0.7"))
    return Skip(of, *(_share(given.get(name, share), name) for name, share in usual))


def _price(of: str, given: Mapping[str, str]) -> Change:
    deployment, _, pair = of.partition("=")
    prices = [_micro(each, "a price") for each in pair.split("/")]
    if not deployment or len(prices) not in (2, 3):
        raise ValueError("give prices in dollars a million tokens, as price:mill=0.4/1.6")
    return Price(deployment, prices[0], prices[1], prices[2] if len(prices) > 2 else None)


def _budget(of: str, given: Mapping[str, str]) -> Change:
    scope, _, name = of.partition("=")
    if scope not in SCOPES or (scope != "global") != bool(name):
        raise ValueError(f"give a scope ({', '.join(SCOPES)}) and its name, as budget:tenant=acme")
    per = given.get("per", "day")
    if per not in (*PERIODS, "month"):
        raise ValueError("per is hour, day or month")
    if "usd" not in given:
        raise ValueError("give the cap, as usd=50")
    return Cap(scope, name, _micro(given["usd"], "usd"), per)


def _names(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each)


def _number(text: str, name: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or found < 0.0:
        raise ValueError(f"{name} is {text!r}: give a number of 0 or more")
    return found


def _micro(text: str, name: str) -> int:
    found = round(_number(text, name) * 1e6)
    if found > 10**12:
        raise ValueError(f"{name} is {text!r}: give a million dollars at most")
    return found


def in_words(change: Change) -> str:
    """A change as people say it, as the subject of a sentence."""
    task = getattr(change, "task", "")
    of = "all tasks" if task == "*" else task
    if isinstance(change, Tier):
        return f"every request of {of} to {change.deployment}"
    if isinstance(change, Cache):
        return f"answers for {of} kept for {_span(change.ttl_s)}"
    if isinstance(change, Batch):
        return f"patient requests of {of} in batches"
    if isinstance(change, Skip):
        return f"no check of {of} where the answer is foreseen to be good"
    return change.text


def _span(seconds: float) -> str:
    """A time as people write it."""
    for unit, size in (("h", 3_600.0), ("m", 60.0)):
        if seconds % size == 0.0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:.12g}s"


def _share(text: str, name: str) -> float:
    found = _number(text, name)
    if found > 1.0:
        raise ValueError(f"{name} is {text!r}: give a share from 0 to 1")
    return found


def _seconds(text: str, name: str) -> float:
    unit = _UNITS.get(text[-1:])
    found = _number(text[:-1], name) * unit if unit else 0.0
    if not 0.0 < found <= 366 * 86_400.0:
        raise ValueError(f"{name} is {text!r}: give a time as 24h, 90m, 7d")
    return found


_READ: Mapping[str, Callable[[str, Mapping[str, str]], Change]] = {
    "tier": _tier, "cache": _cache, "batch": _batch, "skip": _skip, "price": _price,
    "budget": _budget,
}  # fmt: skip
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "tier": (), "cache": ("ttl",), "batch": ("window", "tags", "tiers", "factor"),
    "skip": ("above", "audit", "acceptable"), "price": (), "budget": ("usd", "per"),
}  # fmt: skip
