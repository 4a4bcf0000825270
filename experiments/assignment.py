"""Which variant a unit gets: the same on every machine and at every time, by hashing alone."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from experiments.design import BUCKETS, DesignError, Experiment, Layer, Unit

SCHEME = "headgate.assignment.1"  # part of every salt: a new scheme is a new draw of everything
_WHOLE = 1 << 64


class Why(StrEnum):
    """Why a unit is in an experiment, or is not."""

    ASSIGNED = "assigned"
    NO_UNIT = "no unit"
    HELD_OUT = "held out"  # of every experiment
    UNALLOCATED = "unallocated"  # its bucket belongs to no experiment that exposes anybody
    NOT_YET = "not yet"  # the ramp has not come to it


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a layer has for a unit; without an assignment the unit gets what everybody gets.

    ``probability``: of the variant, given that the unit is in the experiment.
    """

    layer: str
    why: Why
    experiment: str | None = None
    version: int | None = None
    variant: str | None = None
    probability: float | None = None


def draw(salt: str, unit: str) -> int:
    """64 uniform bits of SHA-256 over the salt and the unit.

    Salts end in a colon and hold no other, so no two pairs of salt and unit share their bytes.
    """
    return _draw(salt.encode(), _bytes(unit))


def salt(kind: str, name: str = "", version: int = 0) -> str:
    """A salt for one purpose: draws of different salts are independent."""
    return f"{SCHEME}/{kind}/{name}/{version}:"


def _draw(salt: bytes, unit: bytes) -> int:
    return int.from_bytes(hashlib.sha256(salt + unit).digest()[:8], "big")


def _bytes(unit: str) -> bytes:
    return unit.encode("utf-8", "surrogatepass")  # what a caller sends must not raise here


@dataclass(frozen=True, slots=True)
class _Drawn:
    """An experiment made ready: its salts, its ramp's bound, its variants' bounds and answers."""

    allocation_salt: bytes
    variant_salt: bytes
    bound: int
    bounds: tuple[int, ...]
    answers: tuple[Assignment, ...]

    @classmethod
    def of(cls, layer: str, experiment: Experiment, percent: int) -> _Drawn:
        shares = itertools.accumulate(each.share for each in experiment.variants)
        slug, version = experiment.slug, experiment.version
        answers = tuple(
            Assignment(layer, Why.ASSIGNED, slug, version, each.name, each.share)
            for each in experiment.variants
        )
        return cls(
            salt("allocation", slug, version).encode(),
            salt("variant", slug, version).encode(),
            _WHOLE * percent // 100,
            tuple(int(share * _WHOLE) for share in shares)[:-1],
            answers,
        )


@dataclass(frozen=True, slots=True)
class _Ready:
    """A layer made ready: for each of its buckets the experiment, or None."""

    salt: bytes
    buckets: Sequence[_Drawn | None]
    unallocated: Assignment
    not_yet: Assignment
    held_out: Assignment
    no_unit: Assignment


@dataclass(frozen=True, slots=True)
class Assigner:
    """Assigns units of one kind (sessions, say) in all layers; nothing is remembered.

    ``exposed``: per cent of the allocated units, by experiment; what is left out has 0.
    A unit is in the experiment when its own allocation draw lies below that per cent, so a ramp
    moves nobody out; its variant is another draw, so at each step control and treatment stand in
    the proportion of their shares. ``holdout``: the share of units that no experiment touches,
    the same in all layers; a larger one holds the smaller one's units and takes more out, so set
    it before experiments start.
    """

    layers: tuple[Layer, ...]
    experiments: tuple[Experiment, ...]
    exposed: Mapping[str, int]
    holdout: float = 0.0
    _ready: tuple[_Ready, ...] = field(init=False, repr=False, compare=False)
    _held_below: int = field(init=False, repr=False, compare=False)
    _holdout_salt: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.holdout < 1.0:
            raise DesignError(
                "holdout", f"{self.holdout!r} is no share", "give 0 or more, below 1, such as 0.02"
            )
        known = {each.slug: each for each in self.experiments}
        _check(self.layers, self.experiments, self.exposed)
        ready = tuple(_make_ready(layer, known, self.exposed) for layer in self.layers)
        object.__setattr__(self, "_ready", ready)
        object.__setattr__(self, "_held_below", int(self.holdout * _WHOLE))
        object.__setattr__(self, "_holdout_salt", salt("holdout").encode())

    def assign(self, unit: str) -> tuple[Assignment, ...]:
        """One answer a layer, in the order of the layers."""
        if not unit:
            return tuple(each.no_unit for each in self._ready)
        data = _bytes(unit)
        if self._held_below and _draw(self._holdout_salt, data) < self._held_below:
            return tuple(each.held_out for each in self._ready)
        return tuple([_of_layer(each, data) for each in self._ready])


def bucket(layer: str, unit: str) -> int:
    """The unit's bucket in a layer, 0 to 9,999."""
    return draw(salt("layer", layer), unit) % BUCKETS


def _of_layer(ready: _Ready, unit: bytes) -> Assignment:
    found = ready.buckets[_draw(ready.salt, unit) % BUCKETS]
    if found is None:
        return ready.unallocated
    if _draw(found.allocation_salt, unit) >= found.bound:
        return ready.not_yet
    return found.answers[bisect_right(found.bounds, _draw(found.variant_salt, unit))]


def _make_ready(
    layer: Layer, known: Mapping[str, Experiment], exposed: Mapping[str, int]
) -> _Ready:
    buckets: list[_Drawn | None] = [None] * BUCKETS
    for each in layer.allocations:
        percent = exposed.get(each.experiment, 0)
        if percent:
            drawn = _Drawn.of(layer.name, known[each.experiment], percent)
            buckets[each.first : each.stop] = [drawn] * (each.stop - each.first)
    why = [Why.UNALLOCATED, Why.NOT_YET, Why.HELD_OUT, Why.NO_UNIT]
    answers = [Assignment(layer.name, each) for each in why]
    return _Ready(salt("layer", layer.name).encode(), tuple(buckets), *answers)


def _check(
    layers: Iterable[Layer], experiments: Iterable[Experiment], exposed: Mapping[str, int]
) -> None:
    units: dict[str, Unit] = {}
    for each in experiments:
        if each.slug in units:
            raise DesignError(
                "experiments", f"{each.slug} stands twice", "keep the version that runs"
            )
        units[each.slug] = each.unit
    kinds = sorted({unit for unit in units.values() if unit is not Unit.BLOCK})
    if len(kinds) > 1:
        raise DesignError(
            "experiments.unit", f"{' and '.join(kinds)} are drawn apart", "assign each by its own"
        )
    names: set[str] = set()
    placed: dict[str, str] = {}
    for layer in layers:
        if layer.name in names:
            raise DesignError("layers", f"{layer.name} stands twice", "give each its own name")
        names.add(layer.name)
        for allocation in layer.allocations:
            _check_place(layer.name, allocation.experiment, units, placed)
            placed[allocation.experiment] = layer.name
    for slug, percent in exposed.items():
        if slug not in placed:
            raise DesignError(f"exposed.{slug}", "it has no buckets", "allocate it some in a layer")
        if not 0 <= percent <= 100:
            raise DesignError(f"exposed.{slug}", f"{percent} is no per cent", "give 0 to 100")


def _check_place(
    layer: str, slug: str, units: Mapping[str, Unit], placed: Mapping[str, str]
) -> None:
    where = f"layers.{layer}.allocations"
    if slug not in units:
        raise DesignError(where, f"no experiment is called {slug}", "define it, or drop the range")
    if slug in placed:
        raise DesignError(
            where, f"{slug} is in the layer {placed[slug]} too", "keep it in one of them"
        )
    if units[slug] is Unit.BLOCK:
        raise DesignError(
            where, f"{slug} is assigned by blocks of time", "leave it out: it takes all traffic"
        )
