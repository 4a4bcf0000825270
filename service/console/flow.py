"""A graph of steps laid out in layers, each step below what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.console.nodes import Node

WIDE, HIGH, THIN = 150, 50, 10  # of a step; of a line that passes a layer
BESIDE, BELOW, EDGE = 14, 40, 6
SWEEPS = 4
SHOWN, NOTED = 19, 23  # characters that fit


@dataclass(frozen=True, slots=True)
class Step:
    """``needs``: what it waits for; ``note``: its kind or its state; ``tone``: as of badges."""

    id: str
    title: str
    note: str = ""
    tone: str = "quiet"
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    """A step, or where a line passes a layer (``step`` None)."""

    step: Step | None
    above: list[str] = field(default_factory=list)
    order: float = 0.0
    left: float = 0.0

    @property
    def width(self) -> float:
        return THIN if self.step is None else WIDE


def flow(label: str, steps: Sequence[Step], key: str = "") -> Node:
    """The picture; ``label`` tells in words what it shows. What waits in a circle is not drawn."""
    layers, places = _layered(steps)
    rows: list[list[str]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for name, layer in layers.items():
        rows[layer].append(name)
    _ordered(rows, places)
    width = _placed(rows, places)
    boxes, lines = [], []
    for depth, row in enumerate(rows):
        for name in row:
            place, top = places[name], EDGE + depth * (HIGH + BELOW)
            if place.step is not None:
                boxes.append({
                    "x": place.left, "y": top, "title": _cut(place.step.title, SHOWN),
                    "note": _cut(place.step.note, NOTED), "tone": place.step.tone,
                    "told": f"{place.step.title}: {place.step.note}",
                })  # fmt: skip
            lines += [_line(places, name, above, top) for above in place.above]
    height = 2 * EDGE + len(rows) * HIGH + max(0, len(rows) - 1) * BELOW
    spec = {"width": width, "height": height, "wide": WIDE, "high": HIGH, "boxes": boxes,
            "lines": lines}  # fmt: skip
    return ["flow", {"spec": spec, "label": label, "key": key or label}, []]


def depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many steps each one waits for at most, one after another; without those in a circle."""
    found: dict[str, int] = {}
    while True:
        ready = [n for n, of in needs.items()
                 if n not in found and all(e in found for e in of if e in needs)]  # fmt: skip
        if not ready:
            return found
        for name in ready:
            above = [found[each] for each in needs[name] if each in needs]
            found[name] = 1 + max(above, default=-1)


def _layered(steps: Sequence[Step]) -> tuple[dict[str, int], dict[str, _Place]]:
    """Layers of all places; a line over several layers passes one place in each."""
    steps = [replace(each, needs=needs) for each, needs in _plainest(steps)]
    layers = depths({each.id: each.needs for each in steps})
    places = {each.id: _Place(each) for each in steps if each.id in layers}
    for each in [each for each in steps if each.id in layers]:
        for need in dict.fromkeys(each.needs):
            if need not in layers:
                continue
            last = need
            for layer in range(layers[need] + 1, layers[each.id]):
                name = f"{need}\x1f{each.id}\x1f{layer}"
                places[name], layers[name] = _Place(None, [last]), layer
                last = name
            places[each.id].above.append(last)
    return layers, places


def _plainest(steps: Sequence[Step]) -> list[tuple[Step, tuple[str, ...]]]:
    """Each step with what it waits for, less what others of these wait for anyhow."""
    needs = {each.id: each.needs for each in steps}
    before: dict[str, set[str]] = {}
    layers = depths(needs)
    for name in sorted(layers, key=lambda each: layers[each]):
        of = [each for each in needs[name] if each in layers]
        before[name] = set(of).union(*(before[each] for each in of))
    return [
        (step, tuple(n for n in dict.fromkeys(step.needs)
                     if not any(n in before.get(other, ()) for other in step.needs)))
        for step in steps
    ]  # fmt: skip


def _ordered(rows: list[list[str]], places: Mapping[str, _Place]) -> None:
    """Beside each other so that few lines cross: by the mean of their neighbours, up and down."""
    below: dict[str, list[str]] = {name: [] for name in places}
    for name, place in places.items():
        for above in place.above:
            below[above].append(name)
    for row in rows:
        for at, name in enumerate(row):
            places[name].order = float(at)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            means = {}
            for name in row:
                near = places[name].above if down else below[name]
                near_at = [places[each].order for each in near]
                means[name] = sum(near_at) / len(near_at) if near_at else places[name].order
            row.sort(key=lambda name: (means[name], places[name].order))
            for at, name in enumerate(row):
                places[name].order = float(at) - (len(row) - 1) / 2


def _placed(rows: list[list[str]], places: Mapping[str, _Place]) -> float:
    """Each row in the middle; how wide the picture is."""
    widths = [sum(places[n].width for n in row) + BESIDE * (len(row) - 1) for row in rows]
    whole = max(widths, default=0.0) + 2 * EDGE
    for row, width in zip(rows, widths, strict=True):
        left = (whole - width) / 2
        for name in row:
            places[name].left = round(left, 1)
            left += places[name].width + BESIDE
    return whole


def _line(places: Mapping[str, _Place], name: str, above: str, top: float) -> dict[str, object]:
    """From ``y0`` straight down to ``y1`` (where it passes a layer), then over to ``x2``."""
    to, start = places[name], places[above]
    foot = top - BELOW
    return {
        "x1": start.left + start.width / 2, "y0": foot - HIGH if start.step is None else foot,
        "y1": foot, "x2": to.left + to.width / 2, "y2": top, "ends": to.step is not None,
    }  # fmt: skip


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
