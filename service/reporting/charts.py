"""Charts as inline SVG that people can read: axes with units, names beside what they name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = 8  # custom properties --c0 .. of the page
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WIDTH, HEIGHT = 360.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 84.0, 26.0, 24.0
GAP = 13.0  # between two names, so that neither hides the other
TICKS = 4
LONGEST = 13  # letters of a name beside a chart


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the data lie in a picture; ``high`` and ``low`` of the vertical axis."""

    low: float
    high: float
    slots: int
    left: float = LEFT
    right: float = RIGHT
    height: float = HEIGHT

    def x(self, at: float) -> float:
        """The place of a slot; halves lie between two."""
        return self.left + (WIDTH - self.left - self.right) * at / self.slots

    def y(self, value: float) -> float:
        """The place of a value."""
        span = self.high - self.low or 1.0
        inner = self.height - TOP - BOTTOM
        return TOP + inner * (1.0 - (min(max(value, self.low), self.high) - self.low) / span)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, the same in every chart of a page."""
    return {name: f"var(--c{at % COLOURS})" for at, name in enumerate(sorted(names))}


def shares(
    title: str, series: Mapping[str, Sequence[float | None]], colour: Mapping[str, str]
) -> str:
    """Shares over the week, one upon the other."""
    steps = max(len(each) for each in series.values())
    frame = Frame(0.0, 1.0, steps)
    parts, below = _axes(frame, lambda v: f"{v:.0%}"), [0.0] * steps
    names: list[tuple[float, str, str]] = []
    for name, values in sorted(series.items()):
        above = [low + (value or 0.0) for low, value in zip(below, values, strict=True)]
        for first, stop in _runs(values):
            top = [f"{frame.x(at + half):.1f},{frame.y(above[at]):.1f}"
                   for at in range(first, stop) for half in (0.0, 1.0)]  # fmt: skip
            bottom = [f"{frame.x(at + half):.1f},{frame.y(below[at]):.1f}"
                      for at in reversed(range(first, stop)) for half in (1.0, 0.0)]  # fmt: skip
            parts.append(f'<polygon points="{" ".join(top + bottom)}" fill="{colour[name]}"/>')
        ends = [at for at, value in enumerate(values) if value is not None]
        if ends and (values[ends[-1]] or 0.0) >= 0.02:
            middle = frame.y((above[ends[-1]] + below[ends[-1]]) / 2.0)
            names.append((middle, f"{_short(name)} {values[ends[-1]]:.0%}", colour[name]))
        below = above
    parts += _beside(frame, names)
    return _svg(title, parts, frame, _days(frame, steps / 7.0))


def columns(title: str, series: Mapping[str, Sequence[float]], colour: Mapping[str, str]) -> str:
    """Dollars by day, one deployment upon the other, the total above."""
    totals = [math.fsum(each[day] for each in series.values()) for day in range(7)]
    high = _nice(max(totals, default=0.0) or 1.0)
    frame, below = Frame(0.0, high, 7), [0.0] * 7
    parts = _axes(frame, lambda v: _of_size(v, high))
    names: list[tuple[float, str, str]] = []
    seen = [day for day in range(7) if totals[day] > 0.0]
    for name, values in sorted(series.items()):
        for day, value in enumerate(values):
            if value <= 0.0:
                continue
            top, bottom = frame.y(below[day] + value), frame.y(below[day])
            parts.append(
                f'<rect x="{frame.x(day + 0.14):.1f}" y="{top:.1f}" '
                f'width="{frame.x(0.72) - LEFT:.1f}" '
                f'height="{max(bottom - top, 0.2):.1f}" fill="{colour[name]}"/>'
            )
        if seen and values[seen[-1]] > 0.0:
            middle = frame.y(below[seen[-1]] + values[seen[-1]] / 2.0)
            names.append((middle, _short(name), colour[name]))
        below = [low + value for low, value in zip(below, values, strict=True)]
    for day in seen:
        place = frame.x(day + 0.5), frame.y(totals[day]) - 4
        parts.append(_text(*place, _of_size(totals[day], high), "middle", "axis"))
    parts += _beside(frame, names)
    return _svg(title, parts, frame, _days(frame, 1.0))


def dots(title: str, rows: Sequence[Mapping[str, float | str]], colour: Mapping[str, str]) -> str:
    """Means with their intervals on one axis, a line for each deployment, names at the left."""
    height = TOP + BOTTOM + 24.0 * len(rows)
    low = math.floor(10.0 * min(float(each["low"]) for each in rows)) / 10.0
    high = math.ceil(10.0 * max(float(each["high"]) for each in rows)) / 10.0
    high = high if high > low else low + 0.1
    left, right = 108.0, 46.0
    wide = WIDTH - left - right

    def x(value: float) -> float:
        return left + wide * (value - low) / (high - low)

    parts = []
    for step in range(TICKS + 1):
        value = low + (high - low) * step / TICKS
        parts.append(_line(x(value), TOP - 4, x(value), height - BOTTOM, "grid"))
        parts.append(_text(x(value), height - 8, f"{value:.2f}", "middle", "axis"))
    for at, row in enumerate(rows):
        y, fill = TOP + 24.0 * at + 10.0, colour[str(row["deployment"])]
        parts.append(_text(left - 8, y + 4, _short(str(row["deployment"])), "end"))
        parts.append(
            f'<line x1="{x(float(row["low"])):.1f}" y1="{y}" x2="{x(float(row["high"])):.1f}" '
            f'y2="{y}" stroke="{fill}" stroke-width="5" stroke-opacity=".45"/>'
        )
        parts.append(f'<circle cx="{x(float(row["mean"])):.1f}" cy="{y}" r="4.5" fill="{fill}"/>')
        parts.append(_text(WIDTH - right + 8, y + 4, f"{float(row['mean']):.2f}", "start"))
    return _svg(title, parts, Frame(0, 1, 1, height=height), [])


def bands(title: str, days: Sequence[Mapping[str, float] | None]) -> str:
    """Latency by day: the median as a line, up to the 95th percentile as a band."""
    told = [(at, each) for at, each in enumerate(days) if each is not None]
    high = _nice(max(each["p95"] for _, each in told))
    frame = Frame(0.0, high, 7)
    parts = _axes(frame, lambda v: f"{v:.3g} s")
    for first, stop in _runs(days):
        part = [each for each in days[first:stop] if each is not None]
        xs = [frame.x(first + at + 0.5) for at in range(len(part))]
        for name, shade in (("p95", ".22"), ("p90", ".32")):
            top = [f"{x:.1f},{frame.y(each[name]):.1f}" for x, each in zip(xs, part, strict=True)]
            bottom = [f"{x:.1f},{frame.y(each['p50']):.1f}"
                      for x, each in reversed(list(zip(xs, part, strict=True)))]  # fmt: skip
            parts.append(
                f'<polygon points="{" ".join(top + bottom)}" fill="var(--c0)" '
                f'fill-opacity="{shade}"/>'
            )
        line = " ".join(
            f"{x:.1f},{frame.y(each['p50']):.1f}" for x, each in zip(xs, part, strict=True)
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="var(--c0)" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{frame.y(each["p95"]):.1f}" r="2" fill="var(--c0)"/>'
                  for x, each in zip(xs, part, strict=True)]  # fmt: skip
    last = told[-1][1]
    parts += _beside(
        frame,
        [(frame.y(last[name]), f"{label} {last[name]:.2g} s", "var(--c0)")
         for name, label in (("p50", "50 %"), ("p90", "90 %"), ("p95", "95 %"))],
    )  # fmt: skip
    return _svg(title, parts, frame, _days(frame, 1.0))


# pieces -----------------------------------------------------------------------------------------


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved apart, in their order, so that none is nearer than ``gap`` to the next."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    moved = list(places)
    reach = low
    for at in order:
        moved[at] = max(moved[at], reach)
        reach = moved[at] + gap
    reach = high
    for at in reversed(order):
        moved[at] = min(moved[at], reach)
        reach = moved[at] - gap
    return moved


def _axes(frame: Frame, label: Callable[[float], str]) -> list[str]:
    parts = []
    for step in range(TICKS + 1):
        value = frame.low + (frame.high - frame.low) * step / TICKS
        y = frame.y(value)
        parts.append(_line(frame.left, y, WIDTH - frame.right, y, "grid"))
        parts.append(_text(frame.left - 5, y + 4, label(value), "end", "axis"))
    return parts


def _days(frame: Frame, slots_a_day: float) -> list[str]:
    return [
        _text(frame.x((day + 0.5) * slots_a_day), frame.height - 8, name, "middle", "axis")
        for day, name in enumerate(DAYS)
    ]


def _beside(frame: Frame, names: Sequence[tuple[float, str, str]]) -> list[str]:
    low, high = TOP + 4.0, frame.height - BOTTOM
    places = spread([each[0] for each in names], GAP, low, high)
    left = WIDTH - frame.right + 6
    parts = []
    for place, (_, name, fill) in zip(places, names, strict=True):
        parts.append(f'<rect x="{left}" y="{place - 5:.1f}" width="6" height="9" fill="{fill}"/>')
        parts.append(_text(left + 10, place + 3.5, name, "start"))
    return parts


def _runs(values: Sequence[object]) -> list[tuple[int, int]]:
    """First and stop of each stretch without a gap."""
    found, first = [], None
    for at, value in enumerate([*values, None]):
        if value is not None and first is None:
            first = at
        elif value is None and first is not None:
            found.append((first, at))
            first = None
    return found


def _svg(title: str, parts: Sequence[str], frame: Frame, more: Sequence[str]) -> str:
    body = "".join([*parts, *more])
    head = _text(0, 14, title, "start", "head")
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {frame.height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{head}{body}</svg>'
    )


def _text(x: float, y: float, words: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _nice(value: float) -> float:
    """The next number that four ticks divide well."""
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0, 12.0)
                if step * size >= value * 1.04)  # fmt: skip


def _of_size(value: float, high: float) -> str:
    """Dollars with as many places as the greatest of the chart needs, so that all are alike."""
    if high >= 10_000.0:
        return f"${value / 1_000.0:,.1f}k"
    places = 0 if high >= 100.0 else max(1, 2 - math.floor(math.log10(high) + 0.3))
    return f"${value:,.{places}f}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
