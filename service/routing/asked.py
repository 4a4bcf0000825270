"""What is asked: who asks, for which task, in which context; every option checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from learning import difficulty
from learning.features import Featurizer, Signals, inspect
from learning.interaction import Context
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest, Options, derived_session, keyed_hash
from service.domain.demands import DATA_POLICIES, NO_DEMAND, Demand
from service.domain.errors import InvalidRequest
from service.domain.expressions import Expression
from service.domain.guesses import ASKED, CLASSIFIER, Guess
from service.domain.modalities import CHAT_KIND, Kind
from service.domain.records import Caller, Key
from service.routing.finding import TaskFinder
from service.routing.foreseeing import Ahead, Foreseer
from service.routing.ladder import NO_LADDERS, Ladders

AUTO = "auto"
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which deployments may serve what the condition takes."""

    condition: Expression | None
    task: str | None
    use: tuple[str, ...]
    exclude: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What is demanded of whoever serves what the condition takes; all that hold add up.
    ``keys``: the names of the keys that it is for; empty: all.
    """

    condition: Expression | None
    task: str | None
    keys: frozenset[str]
    demand: Demand


@dataclass(frozen=True, slots=True)
class Dials:
    """The plan's dials of quality against cost, in [0, 1], by tenant and by tier."""

    tenants: Mapping[str, float] = field(default_factory=dict)
    tiers: Mapping[str, float] = field(default_factory=dict)

    def of(self, asked: float | None, caller: Caller) -> float | None:
        """The request's own, else its tenant's, else its tier's; None: as the plan says."""
        if asked is not None:
            return asked
        return self.tenants.get(caller.tenant, self.tiers.get(caller.tier))


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """The plan's part of routing."""

    catalog: tuple[Deployment, ...]
    tasks: tuple[tuple[str, Expression | None], ...]
    rules: tuple[Rule, ...]
    tiers: tuple[str, ...]  # least first
    policy: str
    sticky: bool
    dials: Dials = Dials()
    ladders: Ladders = NO_LADDERS
    confidences: Mapping[str, float] = field(default_factory=dict)  # of a task's condition; else 1
    finder: TaskFinder | None = None
    requirements: tuple[Requirement, ...] = ()
    kind: Kind = CHAT_KIND  # of those that may answer
    ways: tuple[str, ...] = ()  # of answering by several calls, that may be asked for by name

    @property
    def virtual(self) -> tuple[str, ...]:
        """The names of no deployment that may be asked for, to be routed."""
        return (AUTO, *(f"{AUTO}:{name}" for name in (self.policy, *self.ways)))


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the router sees it. ``names`` are the values that conditions may read."""

    request: ChatRequest
    caller: Caller
    task: str
    confidence: float
    source: str
    context: Context
    names: dict[str, Any]
    guess: Guess | None = None
    unsure: bool = False  # its task is less sure than the taxonomy's threshold
    id: str = ""  # of the decision to come, where it is known before
    demand: Demand = NO_DEMAND
    ahead: Ahead | None = None  # what is foreseen of it, where the plan wants that


class Reader:
    """Reads requests by the plan's table."""

    def __init__(
        self,
        table: RoutingTable,
        featurizer: Featurizer,
        secret: bytes,
        foreseer: Foreseer | None = None,
    ) -> None:
        self._table, self._featurizer, self._secret = table, featurizer, secret
        self._foreseer = foreseer
        self._deployments = {each.name for each in table.catalog}
        self._tasks = {name for name, _ in table.tasks} | {OTHER}
        self._finder = table.finder

    def read(self, request: ChatRequest, key: Key, session_header: str) -> Asked:
        """What is asked; raises InvalidRequest for an option that cannot be."""
        options = request.options
        for option in ("deployments", "exclude"):
            if not self._deployments.issuperset(getattr(options, option)):
                known = ", ".join(each.name for each in self._table.catalog)
                raise _unknown(option, f"names an unknown deployment; known: {known}")
        caller = self._caller(request, key, session_header)
        signals = inspect(request.shape)
        names = names_of(request, signals, caller)
        task, confidence, source = self._task(request, names)
        guess, unsure = None, False
        if self._finder is not None and source != "caller":
            if source == "none" and (guess := self._finder.guess(signals)) is not None:
                (task, confidence), source = guess.best, CLASSIFIER
            unsure = source != "none" and confidence < self._finder.threshold
        dial = self._table.dials.of(options.quality_cost, caller)
        context = Context(
            features=self._featurizer.vector(signals, task),
            tokens_in=request.shape.tokens_in,
            tokens_out_limit=request.shape.tokens_out_limit,
            cost_dial=1.0 if dial is None else cost_dial(dial),
        )
        ahead = self._ahead(signals, context, names)
        demand = self._demand(request, task, key, names)
        return Asked(
            request, caller, task, confidence, source, context, names, guess, unsure,
            demand=demand, ahead=ahead,
        )  # fmt: skip

    def _ahead(self, signals: Signals, context: Context, names: dict[str, Any]) -> Ahead | None:
        """What is foreseen, its scores put among the names that conditions may read."""
        if self._foreseer is None:
            return None
        ahead = self._foreseer.ahead(signals, context.features)
        if ahead is not None:
            names.update(_scores(ahead.demand))
        return ahead

    def settled(self, asked: Asked, key: Key, task: str, confidence: float) -> Asked:
        """The same, its task as somebody who was asked named it; with what is demanded of that."""
        signals = inspect(asked.request.shape)
        context = replace(asked.context, features=self._featurizer.vector(signals, task))
        unsure = self._finder is not None and confidence < self._finder.threshold
        demand = self._demand(asked.request, task, key, asked.names)
        return replace(
            asked, task=task, confidence=confidence, source=ASKED, context=context, unsure=unsure,
            demand=demand, ahead=self._ahead(signals, context, asked.names),
        )  # fmt: skip

    def _demand(self, request: ChatRequest, task: str, key: Key, names: dict[str, Any]) -> Demand:
        """What the request demands, with what the plan demands. A request that lowers its tier
        below its key's does not get out of what is demanded for that.
        """
        demand = demanded_by(request.options)
        if not self._table.requirements:
            return demand
        told = [names]
        if key.tier and key.tier != names["tier"]:
            told.append(names | {"tier": key.tier})
        for each in self._table.requirements:
            if each.task not in (None, task) or (each.keys and key.name not in each.keys):
                continue
            if each.condition is None or any(map(each.condition, told)):
                demand = demand.along(each.demand)
        return demand

    def _caller(self, request: ChatRequest, key: Key, session_header: str) -> Caller:
        labels, options = request.labels, request.options
        name = options.session_id or session_header or labels.get("session", "")
        name = name or derived_session(request.messages)
        session = keyed_hash(self._secret, "session", key.id, name) if name else ""
        unit = session
        if not unit and request.user:
            unit = keyed_hash(self._secret, "user", key.id, request.user)
        return Caller(
            key_id=key.id,
            tenant=key.tenant or labels.get("tenant", ""),
            tier=self._tier(key.tier, options.tier),
            feature=labels.get("feature", ""),
            tags=labels.get("tags", ()),
            unit=unit,
            session=session,
        )

    def _tier(self, of_key: str, asked: str | None) -> str:
        """A request may lower its key's tier, never raise it. No tier counts as the highest."""
        if asked is None:
            return of_key
        tiers = self._table.tiers
        if asked not in tiers:
            known = f"known: {', '.join(tiers)}" if tiers else "the plan has no tiers"
            raise _unknown("tier", f"is unknown; {known}")
        if of_key in tiers and tiers.index(asked) > tiers.index(of_key):
            raise _unknown("tier", f"may not be above the key's tier {of_key}")
        return asked

    def _task(self, request: ChatRequest, names: dict[str, Any]) -> tuple[str, float, str]:
        asked = request.options.task
        if asked is not None:
            if asked not in self._tasks:
                raise _unknown("task", f"is unknown; known: {', '.join(sorted(self._tasks))}")
            return asked, 1.0, "caller"
        for task, condition in self._table.tasks:
            if condition is not None and condition(names):
                return task, self._table.confidences.get(task, 1.0), "rule"
        return OTHER, 0.0, "none"


def demanded_by(options: Options) -> Demand:
    """What the request itself demands; raises InvalidRequest for a word that is none."""
    if options.region is None and not options.data_policy:
        return NO_DEMAND
    for word in options.data_policy:
        if word not in DATA_POLICIES:
            raise _unknown(
                "data_policy", f"has no {word[:64]!r}; known: {', '.join(DATA_POLICIES)}"
            )
    region = options.region
    regions = frozenset((region,) if isinstance(region, str) else region or ())
    if region is not None and not regions:
        raise _unknown("region", "is empty; name one, or leave it out")
    return Demand(None if region is None else regions, frozenset(options.data_policy))


def _unknown(option: str, said: str) -> InvalidRequest:
    return InvalidRequest(
        f"headgate.{option} {said}", param=f"headgate.{option}", code="invalid_option"
    )


def cost_dial(quality_cost: float) -> float:
    """The request's dial: 0 is quality alone, 0.5 as the plan says, 1 thrift.

    Maps to a factor on the price of a dollar: 0, 1 and 10 at the ends and the middle.
    """
    if quality_cost <= 0.5:
        return 2.0 * quality_cost
    return math.pow(10.0, 2.0 * quality_cost - 1.0)


class Names(dict[str, Any]):
    """The values that conditions may read; the scores of the text are made when one is read."""

    __slots__ = ("_signals",)

    def __init__(self, values: dict[str, Any], signals: Signals) -> None:
        super().__init__(values)
        self._signals = signals

    def __missing__(self, name: str) -> Any:
        if name not in difficulty.NAMES:
            raise KeyError(name)
        self.update(_scores(difficulty.demand(self._signals)))
        return self[name]


def _scores(found: difficulty.Demand) -> dict[str, float]:
    return {
        "complexity": found.complexity, "ambiguity": found.ambiguity,
        "difficulty": found.difficulty,
    }  # fmt: skip


def names_of(request: ChatRequest, signals: Signals, caller: Caller) -> dict[str, Any]:
    """The values that conditions may read."""
    shape = request.shape
    values = {
        "word_count": signals.word_count,
        "tokens": shape.tokens_in,
        "turns": shape.turns,
        "images": shape.images,
        "tools": shape.tools,
        "max_tokens": shape.tokens_out_limit,
        "has_code": signals.has_code,
        "has_maths": signals.has_maths,
        "json_mode": shape.json_mode,
        "stream": request.stream,
        "system": shape.system,
        "type": request.labels.get("type", ""),
        "modality": request.modality,
        "tier": caller.tier,
        "tenant": caller.tenant,
        "feature": caller.feature,
        "tags": caller.tags,
    }
    return Names(values, signals)
