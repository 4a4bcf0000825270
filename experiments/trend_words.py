"""A change of a daily series in one sentence."""

from __future__ import annotations

from experiments.mix import Parts
from experiments.series import ALL, Metric, Where
from experiments.statistics.moments import Interval

LEAST_PART = 0.1  # of the change: a smaller part is not named
_NAMED = {
    "tasks": "other shares of tasks",
    "deployments": "traffic that moved between deployments",
    "prompts": "longer or shorter prompts",
    "answers": "longer or shorter answers",
    "prices": "prices of a token",
    "rest": "what no price explains",
    "within": "a change within task and deployment",
}


def in_words(
    metric: Metric,
    where: Where,
    since: str,
    sizes: tuple[float, Interval, Interval | None],
    why: tuple[float | None, Parts | None],
) -> str:
    """What changed, by how much, since when, what it costs and why. ``sizes``: the level before,
    the change, the relative change.
    """
    before, change, relative = sizes
    usd, parts = why
    went = "rose" if change.estimate > 0.0 else "fell"
    told = f"{metric.title} {_place(where)} {went} {_size(metric, change, relative)} since {since}"
    unit = f" {metric.unit}" if metric.unit else ""
    told += f": from {before:.3g} to {before + change.estimate:.3g}{unit}"
    if usd is not None and metric.name != "spend":
        told += f", {usd:+.2f} USD a day"
    reasons = _reasons(parts)
    return f"{told}; by {reasons}" if reasons else told


def _place(where: Where) -> str:
    deployment, task = where
    if deployment == ALL and task == ALL:
        return "of all traffic"
    words = [f"of {deployment}"] if deployment != ALL else []
    return " ".join([*words, f"for {task}"] if task != ALL else words)


def _size(metric: Metric, change: Interval, relative: Interval | None) -> str:
    gap, form = (relative, "{:.0%}") if metric.relative and relative else (change, "{:.3g}")
    signed = form.replace(":", ":+")
    span = f"{signed.format(gap.low)} to {signed.format(gap.high)}"
    return f"by {form.format(abs(gap.estimate))} ({span})"


def _reasons(parts: Parts | None) -> str:
    """The parts that matter, the largest first, each with its part of the whole change."""
    if parts is None or parts.change == 0.0:
        return ""
    names = ["tasks", "deployments"]
    names += ["within"] if parts.prices is None else ["prompts", "answers", "prices", "rest"]
    values = {name: float(getattr(parts, name)) for name in names}
    whole = max(abs(parts.change), max(abs(value) for value in values.values()))
    kept = sorted(
        (name for name in names if abs(values[name]) >= LEAST_PART * whole),
        key=lambda name: -abs(values[name]),
    )
    return ", ".join(f"{_NAMED[name]} ({values[name]:+.3g})" for name in kept)
