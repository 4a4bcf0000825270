"""What earlier runs of a workflow showed of each step: lengths, costs, times, turns, chances."""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.orchestration.workflows.asks import Entry

MOST_WORKFLOWS = 500
NEWEST = 0.05  # the least weight of the newest in a mean: it forgets what is long ago
_SEGMENT = re.compile(r"([a-z][a-z0-9_]*)(?:@(\d+))?(?:#(\d+))?~?")


@dataclass(slots=True)
class Mean:
    """A mean that forgets, and its spread."""

    n: int = 0
    value: float = 0.0
    square: float = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.n += 1
        weight = max(1.0 / self.n, NEWEST)
        self.value += weight * (value - self.value)
        self.square += weight * (value * value - self.square)

    @property
    def spread(self) -> float:
        """The standard deviation."""
        return float(max(self.square - self.value * self.value, 0.0) ** 0.5)


@dataclass(slots=True)
class StepSeen:
    """Of one step. ``rest_in``: tokens of a prompt beside those of the inputs; ``shares``: how
    often each deployment answered; ``latency``: of an execution.
    """

    rest_in: Mean = field(default_factory=Mean)
    tokens_out: dict[str, Mean] = field(default_factory=lambda: defaultdict(Mean))
    calls: Mean = field(default_factory=Mean)
    cost: Mean = field(default_factory=Mean)
    latency: Mean = field(default_factory=Mean)
    chance: Mean = field(default_factory=Mean)
    items: Mean = field(default_factory=Mean)
    turns: Mean = field(default_factory=Mean)


class Segment(NamedTuple):
    """One step of a path: its id, the item of a map, the turn of a loop; -1 where there is none."""

    id: str
    item: int
    turn: int


def segments(path: str) -> list[Segment]:
    """``outer@2#1/inner`` in its parts."""
    found = []
    for part in path.split("/"):
        match = _SEGMENT.fullmatch(part)
        if match is not None:
            item, turn = match[2], match[3]
            found.append(Segment(match[1], int(item or -1), int(turn or -1)))
    return found


class Learned:
    """By workflow and the digest of its text. Lives on the event loop; its size is bounded."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, dict[str, StepSeen]] = OrderedDict()

    def of(self, digest: str) -> Mapping[str, StepSeen]:
        """What is known of the steps of a workflow."""
        return self._of.get(digest, {})

    def take(
        self, digest: str, siblings: Mapping[str, str], sizes: Mapping[str, float],
        entries: Sequence[Entry],
    ) -> None:  # fmt: skip
        """A run that came to its end. ``siblings``: of each step the id of what it stands in, empty
        at the top; ``sizes``: tokens of the inputs that a step's texts read.
        """
        steps = self._of.setdefault(digest, {})
        self._of.move_to_end(digest)
        if len(self._of) > MOST_WORKFLOWS:
            self._of.popitem(last=False)
        for entry in entries:
            seen = steps.setdefault(entry.step, StepSeen())
            seen.latency.add(entry.latency_s)
            if entry.calls:
                calls = entry.calls
                seen.calls.add(calls)
                seen.cost.add(entry.usage.cost_micro_usd)
                seen.rest_in.add(entry.usage.tokens_in / calls - sizes.get(entry.step, 0.0))
                seen.tokens_out[entry.deployment].add(entry.usage.tokens_out / calls)
        for name, kind, value in _factors(siblings, entries):
            getattr(steps.setdefault(name, StepSeen()), kind).add(value)


def _factors(
    siblings: Mapping[str, str], entries: Sequence[Entry]
) -> Iterator[tuple[str, str, float]]:
    """Chances, items and turns as one run showed them."""
    places: dict[str, set[str]] = defaultdict(set)  # of a body: where it was walked
    walked: dict[str, set[str]] = defaultdict(set)  # of a step: in which of these
    items: dict[tuple[str, str], set[int]] = defaultdict(set)
    turns: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    places[""].add("")
    for entry in entries:
        at = ""
        for part in segments(entry.path):
            places[siblings.get(part.id, "")].add(at)
            walked[part.id].add(at)
            if part.item >= 0:
                items[part.id, at].add(part.item)
            if part.turn >= 0:
                turns[part.id, at, part.item].add(part.turn)
            at += f"/{part.id}@{part.item}#{part.turn}"
    for name, parent in siblings.items():
        if places[parent]:
            yield name, "chance", len(walked[name]) / len(places[parent])
    for (name, _), seen in items.items():
        yield name, "items", float(len(seen))
    for (name, _, _), counted in turns.items():
        yield name, "turns", float(len(counted))
