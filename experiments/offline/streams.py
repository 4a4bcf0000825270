"""Recorded outcomes as a stream that changes: prices, quality, newcomers, late ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay
from experiments.offline.baselines import Known, static_mix
from experiments.offline.outcomes import Matrix, Outcomes

SCENARIOS = (
    "stationary", "price_drop", "price_drop_silent", "quality", "newmodel", "newbad",
    "newmodel_mid", "delayed", "sparse10",
)  # fmt: skip
UNSCORED = 0
MISSING_DELAYED, MISSING_SPARSE = 0.7, 0.9
LEAST_DELAY, MOST_DELAY = 50, 350
FALLEN = 0.75


@dataclass(frozen=True, slots=True)
class Event:
    """At a step, deployment ``arm`` arrives (``factor`` 1) or its list price is multiplied."""

    arm: int
    factor: float = 1.0

    @property
    def arrives(self) -> bool:
        """Whether it is an arrival."""
        return self.factor == 1.0


@dataclass(frozen=True, slots=True)
class Stream:
    """One seed's requests in order.

    ``rows`` [n] index the outcomes; ``reward`` and ``cost_usd`` [n, K] are as the scenario makes
    them; ``phase`` [n] is 0 for what is not scored, then 1, 2, 3. ``focus`` is the deployment
    that the scenario is about. A rating comes ``delay`` [n] steps later, or never (``missing``).
    """

    scenario: str
    rows: NDArray[np.int64]
    reward: Matrix
    cost_usd: Matrix
    phase: NDArray[np.int64]
    starting: tuple[int, ...]
    focus: int | None = None
    events: Mapping[int, Event] = field(default_factory=dict)
    delay: NDArray[np.int64] | None = None
    missing: NDArray[np.bool_] | None = None


def focus_of(outcomes: Outcomes, scenario: str, budget_usd: float | None) -> int | None:
    """Whom a scenario is about, where nobody is named.

    A price drop: the dearest. A fall of quality: the second strongest (of two, the stronger). A
    newcomer: the one that the best static mix at the budget misses most.
    """
    means, costs = outcomes.reward.mean(0), outcomes.cost_usd.mean(0)
    if scenario.startswith("price_drop"):
        return int(costs.argmax())
    if scenario == "quality":
        return int(np.argsort(means)[-1 if len(means) == 2 else -2])
    if scenario.startswith("new"):
        if len(means) < 3:
            raise CannotSay("a newcomer needs at least two deployments before it")
        return min(range(len(means)), key=lambda at: _mix_without(outcomes, at, budget_usd))
    return None


def _mix_without(outcomes: Outcomes, gone: int, budget_usd: float | None) -> float:
    rest = [at for at in range(len(outcomes.names)) if at != gone]
    names = tuple(outcomes.names[at] for at in rest)
    known = Known(names, outcomes.reward[:, rest], outcomes.cost_usd[:, rest])
    if budget_usd is None:
        return float(known.reward.mean(0).max())
    if known.cost_usd.mean(0).min() > budget_usd:
        return np.inf  # without it nothing can be afforded: it must be there from the start
    return static_mix(known, budget_usd)[0]


def make(outcomes: Outcomes, scenario: str, seed: int, focus: int | None) -> Stream:
    """The stream of a scenario; every policy of one seed sees the same."""
    if scenario not in SCENARIOS:
        raise CannotSay(f"unknown scenario {scenario!r}; known: {', '.join(SCENARIOS)}")
    rng = np.random.default_rng(seed)
    before = rng.permutation(np.flatnonzero(~outcomes.scored))
    scored = rng.permutation(np.flatnonzero(outcomes.scored))
    first, phases = len(before), np.ones(len(scored), dtype=np.int64)
    if scenario in ("price_drop", "price_drop_silent", "quality"):
        third = len(scored) // 3
        scored, phases = scored[: 3 * third], np.repeat([1, 2, 3], third)
    elif scenario == "newmodel_mid":
        phases[len(scored) // 3 :] = 2
    rows = np.concatenate([before, scored])
    stream = Stream(
        scenario, rows, outcomes.reward[rows].copy(), outcomes.cost_usd[rows].copy(),
        np.concatenate([np.full(first, UNSCORED), phases]), tuple(range(len(outcomes.names))),
        focus,
    )  # fmt: skip
    return _shaped(stream, outcomes, rng)


def scored_only(stream: Stream) -> Stream:
    """The stream from its first scored request on."""
    begin = int(np.flatnonzero(stream.phase != UNSCORED)[0])
    return replace(
        stream, rows=stream.rows[begin:], reward=stream.reward[begin:],
        cost_usd=stream.cost_usd[begin:], phase=stream.phase[begin:],
        events={step - begin: event for step, event in stream.events.items()},
        delay=None if stream.delay is None else stream.delay[begin:],
        missing=None if stream.missing is None else stream.missing[begin:],
    )  # fmt: skip


def _shaped(stream: Stream, outcomes: Outcomes, rng: np.random.Generator) -> Stream:
    scenario, focus, count = stream.scenario, stream.focus, len(stream.rows)
    extra: dict[str, object] = {}
    if scenario.startswith("price_drop"):
        extra["events"] = _drop(stream, outcomes, announced=scenario == "price_drop")
    elif scenario == "quality":
        _fall(stream, outcomes, rng)
    elif scenario.startswith("new"):
        assert focus is not None
        if scenario == "newbad":
            stream.reward[:, focus] *= 0.5
        extra["starting"] = tuple(at for at in stream.starting if at != focus)
        last = stream.phase.max() if scenario == "newmodel_mid" else 1
        extra["events"] = {int(np.flatnonzero(stream.phase == last)[0]): Event(focus)}
    elif scenario == "delayed":
        extra["delay"] = rng.integers(LEAST_DELAY, MOST_DELAY, count)
        extra["missing"] = rng.random(count) < MISSING_DELAYED
    elif scenario == "sparse10":
        extra["missing"] = rng.random(count) < MISSING_SPARSE
        extra["delay"] = np.zeros(count, dtype=np.int64)
    fields = {name: getattr(stream, name) for name in Stream.__dataclass_fields__}
    return Stream(**(fields | extra))


def _drop(stream: Stream, outcomes: Outcomes, announced: bool) -> dict[int, Event]:
    """The deployment becomes as cheap as the next cheaper one, for the middle third."""
    focus = stream.focus
    assert focus is not None
    costs = outcomes.cost_usd.mean(0)
    cheaper = costs[costs < costs[focus]]
    factor = float(cheaper.max() / costs[focus]) if len(cheaper) else 0.5
    middle = np.flatnonzero(stream.phase == 2)
    stream.cost_usd[middle, focus] *= factor
    if not announced:
        return {}
    return {int(middle[0]): Event(focus, factor), int(middle[-1]) + 1: Event(focus, 1.0 / factor)}


def _fall(stream: Stream, outcomes: Outcomes, rng: np.random.Generator) -> None:
    """For the middle third the reward falls to 0.75, or is halved where it never was above."""
    focus = stream.focus
    assert focus is not None
    middle, own = stream.phase == 2, outcomes.reward[:, focus]
    if set(np.unique(own)) <= {0.0, 1.0}:
        stream.reward[middle, focus] *= rng.random(int(middle.sum())) < 0.5
    elif own.mean() > FALLEN:
        stream.reward[middle, focus] = FALLEN
    else:
        stream.reward[middle, focus] *= 0.5
