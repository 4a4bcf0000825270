"""What an experiment is: variants, goals, guardrails, layers; refused if it cannot be analysed."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from experiments.errors import ExperimentError
from experiments.metrics import METRICS, Direction, Kind, Role
from experiments.switchback import Blocks

BUCKETS = 10_000  # of a layer
SHARES_ERROR = 1e-9
MOST_VERSIONS = 1_000_000
LEAST_LEVEL = 1e-6
SMALLEST = 1e-6  # effect: fewer than a trillion units show it
COVARIATES = ("tokens_in",)  # known before a variant is, so never its doing
TOUCHED = {  # what looks like a covariate, and why it is none
    "predicted_quality": ": the version that a variant sets predicts it, of what the variant left",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class DesignError(ExperimentError):
    """A design that cannot be analysed: which ``field``, what is ``wrong``, and the ``mend``."""

    def __init__(self, field: str, wrong: str, mend: str) -> None:
        super().__init__(f"{field}: {wrong}; {mend}")
        self.field, self.wrong, self.mend = field, wrong, mend


class Unit(StrEnum):
    """What is assigned to a variant as a whole, and clustered by."""

    SESSION = "session"
    USER = "user"
    TENANT = "tenant"
    REQUEST = "request"
    BLOCK = "block"  # of time, for treatments that share capacity


class Action(StrEnum):
    """What a guardrail asks for once it is breached."""

    HOLD = "hold"  # expose nobody more; people decide
    ROLL_BACK = "roll back"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Variant:
    """One side of an experiment.

    ``share``: its part of the units in the experiment, in (0, 1). ``settings``: what it changes,
    in pairs of name and value; the control changes nothing, but in a reverse experiment.
    """

    name: str
    share: float
    settings: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check_name("variants.name", self.name)
        if not 0.0 < self.share < 1.0:
            raise DesignError(
                f"variants.{self.name}.share",
                f"{self.share!r} is no share",
                "give a number above 0 and below 1",
            )
        names = [name for name, _ in self.settings]
        if len(set(names)) < len(names):
            raise DesignError(
                f"variants.{self.name}.settings", "a setting stands twice", "keep one of them"
            )


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A metric that must not get worse by more than ``tolerance`` (a share of the control's value).

    ``direction`` is the way that is better; it may be left out where the metric has one.
    ``least``: units of each arm (where failures alone are counted: of the treatment) below which
    nothing is said. ``dry_run``: it says what it would do, and nothing is done.
    """

    metric: str
    direction: Direction | None = None
    tolerance: float = 0.0
    action: Action = Action.ROLL_BACK
    least: int = 30
    dry_run: bool = False

    def __post_init__(self) -> None:
        field, row = f"guardrails.{self.metric}", METRICS[_check_metric("guardrails", self.metric)]
        if self.direction is None and row.direction is None:
            raise DesignError(
                f"{field}.direction",
                f"neither more nor less {self.metric} is better in itself",
                "say direction: up or down",
            )
        if self.direction and row.direction and self.direction is not row.direction:
            raise DesignError(
                f"{field}.direction",
                f"{self.metric} is better {row.direction}, not {self.direction}",
                f"say {row.direction}, or leave it out",
            )
        if not 0.0 <= self.tolerance < math.inf:
            raise DesignError(
                f"{field}.tolerance", f"{self.tolerance!r} is none", "give 0 or more, such as 0.02"
            )
        if self.better is Direction.UP and self.tolerance >= 1.0:
            raise DesignError(
                f"{field}.tolerance",
                f"{self.metric} cannot fall by more than all of it",
                "give less than 1, such as 0.02",
            )
        if self.least < 1:
            raise DesignError(f"{field}.least", f"{self.least!r} is none", "give 1 or more units")

    @property
    def better(self) -> Direction:
        """The way that is better, its own or the metric's."""
        found = self.direction or METRICS[self.metric].direction
        assert found is not None  # refused above
        return found


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question of traffic. The first variant is the control.

    ``goals``: metrics that decide, the first before all; ``alpha``: the level over all goals;
    ``smallest_effect``: the relative difference in the first goal that would matter, for which
    the length is computed; ``winsorise``: the percentile, declared beforehand, at which sums of
    a ratio's units are cut. ``reverse``: a watch over a promotion, where everybody has the new
    state already and the control alone keeps what was before, by its settings. ``covariate``: a
    column known before the assignment, by which outcomes are adjusted (CUPED). A changed
    experiment is a new ``version``, drawn afresh.
    """

    slug: str
    hypothesis: str
    variants: tuple[Variant, ...]
    goals: tuple[str, ...]
    guardrails: tuple[Guardrail, ...] = ()
    unit: Unit = Unit.SESSION
    alpha: float = 0.05
    smallest_effect: float = 0.05
    winsorise: float | None = None
    blocks: Blocks | None = None
    version: int = 1
    reverse: bool = False
    covariate: str | None = None

    def __post_init__(self) -> None:
        _check_name("slug", self.slug)
        if not self.hypothesis.strip():
            raise DesignError("hypothesis", "is empty", "say what should happen, and why")
        if not 1 <= self.version <= MOST_VERSIONS:
            raise DesignError(
                "version", f"{self.version} is none", f"count from 1, up to {MOST_VERSIONS}"
            )
        _check_variants(self.variants, self.reverse)
        _check_goals(self.goals)
        _check_guardrails(self.guardrails, self.goals)
        self._check_numbers()
        self._check_blocks()
        self._check_covariate()

    @property
    def control(self) -> Variant:
        """What the others are compared with."""
        return self.variants[0]

    @property
    def treatments(self) -> tuple[Variant, ...]:
        """All but the control."""
        return self.variants[1:]

    def _check_numbers(self) -> None:
        if not LEAST_LEVEL <= self.alpha <= 0.2:
            raise DesignError(
                "alpha", f"{self.alpha!r} is no level", "give one up to 0.2, such as 0.05"
            )
        if not SMALLEST <= self.smallest_effect < math.inf:
            raise DesignError(
                "smallest_effect",
                f"{self.smallest_effect!r} needs more units than there are",
                "give the relative difference that would matter, such as 0.05",
            )
        if self.winsorise is not None and not 0.5 < self.winsorise < 1.0:
            raise DesignError(
                "winsorise", f"{self.winsorise!r} is no percentile", "give a share such as 0.999"
            )

    def _check_covariate(self) -> None:
        if self.covariate is None:
            return
        if self.covariate not in COVARIATES:
            raise DesignError(
                "covariate",
                f"{self.covariate!r} is not known before the assignment"
                f"{TOUCHED.get(self.covariate, '')}",
                f"use one of {', '.join(COVARIATES)}",
            )
        if self.blocks is not None:
            raise DesignError("covariate", "blocks are compared as a whole", "leave it out")

    def _check_blocks(self) -> None:
        if (self.unit is Unit.BLOCK) != (self.blocks is not None):
            raise DesignError(
                "blocks",
                f"the unit is {self.unit}",
                "a unit of blocks needs their length and burn-in, no other unit has them",
            )
        if self.blocks is None:
            return
        if len(self.variants) != 2 or any(each.share != 0.5 for each in self.variants):
            raise DesignError(
                "variants", "blocks are drawn in pairs", "give two variants with a share of 0.5"
            )
        watched = [("goals", goal) for goal in self.goals]
        watched += [("guardrails", each.metric) for each in self.guardrails]
        for field, slug in watched:
            if METRICS[slug].kind in (Kind.QUANTILE, Kind.JUDGED):
                raise DesignError(
                    field, f"{slug} has no mean of a block", "take a mean, a rate or a ratio"
                )


@dataclass(frozen=True, slots=True)
class Allocation:
    """The buckets ``first`` to ``stop`` (without it) of a layer, given to an experiment."""

    experiment: str
    first: int
    stop: int

    def __post_init__(self) -> None:
        _check_name("allocations.experiment", self.experiment)
        if not 0 <= self.first < self.stop <= BUCKETS:
            raise DesignError(
                f"allocations.{self.experiment}",
                f"{self.first} to {self.stop} holds no bucket, or some that are not there",
                f"give 0 <= first < stop <= {BUCKETS}",
            )

    @property
    def share(self) -> float:
        """Its part of the layer's units."""
        return (self.stop - self.first) / BUCKETS


@dataclass(frozen=True, slots=True)
class Layer:
    """Experiments that exclude each other: a unit has one bucket of 10,000, a bucket one of them.

    Layers are drawn independently of one another (Tang, Agarwal, O'Brien and Meyer, KDD 2010).
    """

    name: str
    allocations: tuple[Allocation, ...]

    def __post_init__(self) -> None:
        _check_name("layers.name", self.name)
        names = [each.experiment for each in self.allocations]
        for twice in _repeated(names):
            raise DesignError(
                f"layers.{self.name}.allocations", f"{twice} stands twice", "give it one range"
            )
        ordered = sorted(self.allocations, key=lambda each: each.first)
        for one, two in itertools.pairwise(ordered):
            if two.first < one.stop:
                raise DesignError(
                    f"layers.{self.name}.allocations",
                    f"{one.experiment} and {two.experiment} share the buckets {two.first} to "
                    f"{min(one.stop, two.stop) - 1}",
                    f"let {two.experiment} start at {one.stop}, or give it a layer of its own",
                )


def _check_name(field: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DesignError(
            field,
            f"{name!r} is no name",
            "use up to 64 lower-case letters, digits, - and _, the first a letter or digit",
        )


def _check_variants(variants: tuple[Variant, ...], reverse: bool) -> None:
    if len(variants) < 2:
        raise DesignError(
            "variants", "there is nothing to compare", "give a control and at least one other"
        )
    for twice in _repeated(each.name for each in variants):
        raise DesignError("variants", f"{twice} stands twice", "give every variant its own name")
    total = math.fsum(each.share for each in variants)
    if abs(total - 1.0) > SHARES_ERROR:
        raise DesignError(
            "variants.share",
            f"the shares sum to {total:.10g}",
            f"change them by {1.0 - total:+.10g} in all, so that they sum to 1",
        )
    control, treatments = variants[0], variants[1:]
    if reverse:
        _check_reverse(control, treatments)
    elif control.settings:
        raise DesignError(
            f"variants.{control.name}.settings",
            "the first variant is the control, which changes nothing",
            "put the control first, or drop its settings",
        )


def _check_reverse(control: Variant, treatments: tuple[Variant, ...]) -> None:
    if not control.settings:
        raise DesignError(
            f"variants.{control.name}.settings",
            "the control of a reverse experiment keeps what was before, and there is nothing",
            "give it the settings of before, or leave reverse out",
        )
    for each in treatments:
        if each.settings:
            raise DesignError(
                f"variants.{each.name}.settings",
                "in a reverse experiment the treatment is what everybody has already",
                "drop its settings, or leave reverse out",
            )


def _check_goals(goals: tuple[str, ...]) -> None:
    if not goals:
        raise DesignError("goals", "there is none", "name the metric that decides")
    for twice in _repeated(goals):
        raise DesignError("goals", f"{twice} stands twice", "name it once")
    for goal in goals:
        if METRICS[_check_metric("goals", goal)].role is not Role.GOAL:
            raise DesignError(
                "goals",
                f"{goal} alone is at its best where nothing is served",
                "make it a guardrail, and name another goal",
            )


def _check_guardrails(guardrails: tuple[Guardrail, ...], goals: tuple[str, ...]) -> None:
    for twice in _repeated([*goals, *(each.metric for each in guardrails)]):
        raise DesignError(
            "guardrails", f"{twice} stands twice", "let it be one goal or one guardrail"
        )


def _check_metric(field: str, slug: str) -> str:
    if slug in METRICS:
        return slug
    near = difflib.get_close_matches(slug, METRICS, n=1)
    mend = f"did you mean {near[0]}?" if near else f"use one of {', '.join(METRICS)}"
    raise DesignError(field, f"no metric is called {slug!r}", mend)


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
