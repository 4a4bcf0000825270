"""What a run will cost and how long it will take, before it: the graph walked with drawn times.

Each step's calls are priced by the tokens that it took so far at the prices of now, and last as
they did; before there were any, as the router foresees it. Chances of conditions, items of maps and
turns of loops are worked out of the inputs where they can be, else taken from earlier runs.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.orchestration.workflows.asks import Entry
from service.orchestration.workflows.forms import CallForm, ChatForm, LoopForm
from service.orchestration.workflows.functions import ValueFault, shown
from service.orchestration.workflows.learned import Learned, StepSeen
from service.orchestration.workflows.operations import Absent
from service.orchestration.workflows.steps import Step, Workflow

DRAWS = 200
SEED = 20_261
FIRST_OUT = 300  # tokens of an answer of which nothing is known
FIRST_ITEMS, FIRST_TURNS, FIRST_CHANCE = 3.0, 2.0, 0.7
ENOUGH = 3  # executions from which on a step is taken as it was


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Of one call: what the router expects. ``shares`` add up to one; ``cost_micro_usd``: of one
    that is not priced by the tokens of its answer.
    """

    shares: Mapping[str, float]
    latency_s: float
    cost_micro_usd: float | None = None


class Foresees(Protocol):
    """Prices, and what the router expects of a call."""

    def price_micro_usd(self, deployment: str, tokens_in: float, tokens_out: float) -> float:
        """What a call of such a size costs now; 0 for one that is not known."""

    def foresee(self, step: Step, tokens_in: int) -> Foreseen:
        """Who would answer, and how long that takes."""


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """Of one step: executions a run, and what all of them cost together."""

    step: str
    executions: float
    cost_usd: float
    learned_from: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Means, and from the tenth to the ninetieth of a hundred runs; ``learned_from``: runs."""

    cost_usd: float
    cost_low_usd: float
    cost_high_usd: float
    time_s: float
    time_low_s: float
    time_high_s: float
    steps: tuple[StepEstimate, ...]
    learned_from: int


@dataclass(frozen=True, slots=True)
class _Call:
    """An execution: its cost, and how long it lasts."""

    cost: float
    mean_s: float
    spread_s: float


class Estimator:
    """Of one workflow with some inputs."""

    def __init__(
        self, workflow: Workflow, inputs: Mapping[str, Any], learned: Learned, foresees: Foresees
    ) -> None:
        self._workflow, self._names = workflow, {"inputs": dict(inputs)}
        self._seen, self._foresees = learned.of(workflow.digest), foresees
        self._sizes = sizes(workflow, inputs)
        self._calls = {each.id: self._call(each) for each in workflow.walk() if not each.body}
        self._counts: dict[str, int] = dict.fromkeys(self._calls, 0)
        self._chance = random.Random(SEED)

    def estimate(self) -> Estimate:
        """The whole."""
        times, costs = [], []
        for _ in range(DRAWS):
            before = self._cost()
            times.append(self._body(self._workflow.steps))
            costs.append((self._cost() - before) / 1e6)
        low, high = DRAWS // 10, DRAWS - 1 - DRAWS // 10
        mean = sum(costs) / DRAWS, sum(times) / DRAWS
        costs.sort()
        times.sort()
        steps = tuple(
            StepEstimate(name, count / DRAWS, count * self._calls[name].cost / DRAWS / 1e6,
                         self._of(name).latency.n)
            for name, count in self._counts.items()
        )  # fmt: skip
        first = self._of(self._workflow.steps[0].id)
        return Estimate(mean[0], costs[low], costs[high], mean[1], times[low], times[high], steps,
                        first.chance.n)  # fmt: skip

    def _cost(self) -> float:
        return sum(count * self._calls[name].cost for name, count in self._counts.items())

    def _of(self, name: str) -> StepSeen:
        return self._seen.get(name) or StepSeen()

    # one execution ----------------------------------------------------------------------------

    def _call(self, step: Step) -> _Call:
        seen = self._of(step.id)
        if not step.calls or not isinstance(step.form, CallForm):
            known = seen.latency.n >= ENOUGH
            return _Call(0.0, seen.latency.value if known else 0.0, seen.latency.spread)
        if seen.calls.n >= ENOUGH:
            return _Call(self._priced(step, seen), seen.latency.value, seen.latency.spread)
        if seen.latency.n >= ENOUGH:  # no call was needed
            return _Call(0.0, seen.latency.value, seen.latency.spread)
        tokens_in = self._first_in(step)
        ahead = self._foresees.foresee(step, int(tokens_in))
        if ahead.cost_micro_usd is not None:
            return _Call(ahead.cost_micro_usd, ahead.latency_s, 0.3 * ahead.latency_s)
        out = first_out(step.form)
        times = 2.0 if step.kind == "judge" else 1.0
        out = 3.0 if step.kind == "judge" else out
        price = self._foresees.price_micro_usd
        cost = sum(share * price(n, tokens_in, out) for n, share in ahead.shares.items())
        return _Call(times * cost, times * ahead.latency_s, 0.3 * times * ahead.latency_s)

    def _priced(self, step: Step, seen: StepSeen) -> float:
        """Its tokens so far at the prices of now; of what is not priced by tokens, as it cost."""
        if step.kind in ("image", "speech"):
            return seen.cost.value
        tokens_in = max(seen.rest_in.value + self._sizes.get(step.id, 0.0), 1.0)
        total = sum(each.n for each in seen.tokens_out.values())
        now = sum(
            each.n / total * self._foresees.price_micro_usd(name, tokens_in, each.value)
            for name, each in seen.tokens_out.items()
        )
        return now * seen.calls.value if now > 0.0 else seen.cost.value

    def _first_in(self, step: Step) -> float:
        """A prompt's tokens before any was seen: its fixed text, the inputs, what it reads."""
        fixed = sum(
            len(part) for text in step.texts.values() for part in text.parts
            if isinstance(part, str)
        )  # fmt: skip
        read = {root for text in step.texts.values() for each in text.values for root in each.roots}
        others = sum(FIRST_OUT for root in read if root != "inputs")
        return fixed / 4.0 + self._sizes.get(step.id, 0.0) + others + 10.0

    # the graph --------------------------------------------------------------------------------

    def _body(self, steps: Sequence[Step]) -> float:
        ends: dict[str, float] = {}
        for step in steps:
            begins = max((ends[need] for need in step.needs), default=0.0)
            ends[step.id] = begins + self._lasts(step)
        return max(ends.values(), default=0.0)

    def _lasts(self, step: Step) -> float:
        if self._chance.random() >= self._of_when(step):
            return 0.0
        form = step.form
        if form.map is None:
            return self._once(step)
        count = self._drawn(self._items(step), form.map.most)
        busy: list[float] = [0.0] * min(form.map.at_once, max(count, 1))
        for _ in range(count):
            heapq.heappush(busy, heapq.heappop(busy) + self._once(step))
        return max(busy)

    def _once(self, step: Step) -> float:
        if isinstance(step.form, LoopForm):
            seen = self._of(step.id).turns
            turns = seen.value if seen.n else min(FIRST_TURNS, step.form.most)
            return sum(self._body(step.body) for _ in range(self._drawn(turns, step.form.most)))
        if step.body:
            return self._body(step.body)
        self._counts[step.id] += 1
        call = self._calls[step.id]
        if call.spread_s <= 0.0 or call.mean_s <= 0.0:
            return call.mean_s
        shape = (call.mean_s / call.spread_s) ** 2
        return self._chance.gammavariate(shape, call.mean_s / shape)

    def _of_when(self, step: Step) -> float:
        exact = self._exact(step.values.get("when"))
        if exact is not None:
            return float(bool(exact))
        seen = self._of(step.id).chance
        whole = step.form.map is not None and self._exact(step.values.get("map.over")) is not None
        if seen.n and not ("when" not in step.values and whole):  # of no items is not of no turn
            return min(seen.value, 1.0)
        return 1.0 if "when" not in step.values else FIRST_CHANCE

    def _items(self, step: Step) -> float:
        exact = self._exact(step.values.get("map.over"))
        if isinstance(exact, list):
            return float(len(exact))
        seen = self._of(step.id).items
        return seen.value if seen.n else FIRST_ITEMS

    def _exact(self, value: Callable[[Mapping[str, Any]], Any] | None) -> Any:
        """What can be worked out of the inputs alone."""
        if value is None or getattr(value, "roots", {"?"}) - {"inputs"}:
            return None
        try:
            return value(self._names)
        except (Absent, ValueFault):
            return None

    def _drawn(self, mean: float, most: int) -> int:
        """A whole number with this mean."""
        whole = int(mean)
        return min(whole + (self._chance.random() < mean - whole), most)


def first_out(form: CallForm) -> float:
    """Tokens of an answer before any was seen."""
    if form.expect_tokens:
        return float(form.expect_tokens)
    most = form.max_tokens if isinstance(form, ChatForm) else None
    return float(min(most or FIRST_OUT, FIRST_OUT))


def sizes(workflow: Workflow, inputs: Mapping[str, Any]) -> dict[str, float]:
    """Tokens of the inputs that each step's texts read, taken at four characters each."""
    found: dict[str, float] = {}
    names = {"inputs": dict(inputs)}
    for step in workflow.walk():
        size = 0
        for text in step.texts.values():
            for each in text.values:
                if each.roots == {"inputs"}:
                    try:
                        size += len(shown(each(names)))
                    except (Absent, ValueFault):
                        continue
        found[step.id] = size / 4.0
    return found


def parents(workflow: Workflow) -> dict[str, str]:
    """What each step stands in; empty at the top."""
    found: dict[str, str] = {}

    def walk(steps: Sequence[Step], inside: str) -> None:
        for each in steps:
            found[each.id] = inside
            walk(each.body, each.id)

    walk(workflow.steps, "")
    return found


def learn(
    learned: Learned, workflow: Workflow, inputs: Mapping[str, Any], entries: Sequence[Entry]
) -> None:
    """Take a run that came to its end."""
    learned.take(workflow.digest, parents(workflow), sizes(workflow, inputs), entries)
