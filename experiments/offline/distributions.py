"""Named distributions of what one unit brings, or history drawn again, with an effect put on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.errors import ExperimentError
from experiments.metrics import Kind, Metric, Values
from experiments.statistics.inputs import finite

Shape = tuple[int, ...]
Drawn = tuple[Values, Values | None]  # values, and of a ratio what they are divided by
Draw = Callable[[np.random.Generator, Shape], Drawn]
GRID = np.linspace(0.5, 0.9995, 1_000)  # probabilities of quantiles that are looked up
_NOT_DRAWN = (
    "{} is of a judge's scores and of ratings together, and no distribution here has both: "
    "simulate quality, which stands on the ratings alone and needs more of them"
)
BOUNDED = ("0 to 1", "share")  # units of metrics that cannot leave [0, 1]


@dataclass(frozen=True, slots=True)
class Source:
    """Where units come from. ``draw`` makes values of a shape, of a ratio two arrays of it.

    ``mean`` is that of the values, by which an effect on bounded values is made.
    """

    name: str
    draw: Draw
    mean: float
    clustered: bool = False
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """What the treatment does to a unit's value.

    Unbounded values are multiplied by ``factor``. Values in [0, 1] become 1 (``chance`` > 0) or 0
    (below) with that probability, so that they stay there and the mean moves as asked.
    """

    factor: float = 1.0
    chance: float = 0.0

    def on(self, values: Values, rng: np.random.Generator) -> Values:
        """The values under treatment."""
        if self.chance:
            turned = rng.random(values.shape) < abs(self.chance)
            return np.where(turned, 1.0 if self.chance > 0 else 0.0, values)
        return values if self.factor == 1.0 else values * self.factor


def named(name: str) -> Source:
    """The distribution of that name, its parameter after the last underscore.

    ``bernoulli_P``: 1 with probability P. ``beta_A``: Beta(A, 1), skewed towards 1.
    ``lognormal_S``: median 1, deviation S of the logarithm. ``exponential_M``: mean M.
    ``geometric_P``: tries until a success of probability P. ``clustered_S``: units of 1 +
    Poisson(4) requests that share a lognormal level, each request's cost exponential around it.
    ``successes_S``: the same cost, divided by successes, 97 in 100 requests.
    """
    family, _, told = name.rpartition("_")
    made = FAMILIES.get(family)
    try:
        parameter = float(told)
    except ValueError:
        made = None
    if made is None:
        raise ExperimentError(
            f"distribution is {name!r}: use one of "
            + ", ".join(f"{each}_{letter}" for each, letter in LETTERS.items())
            + ", the letter a number, such as bernoulli_0.98"
        )
    least, greatest = (0.0, 1.0) if LETTERS[family] == "P" else (0.0, 50.0)
    if not least < parameter < greatest:
        raise ExperimentError(
            f"distribution is {name!r}: give a number between {least:g} and {greatest:g}"
        )
    return made(name, parameter)


def resampled(values: Values, per: Values | None = None, name: str = "history") -> Source:
    """Units drawn again, independently and with replacement, from those that were seen."""
    x = finite(values, "values")
    if len(x) < 2:
        raise ExperimentError(f"{name} has {len(x)} units with that metric: at least 2 are needed")
    y = None if per is None else finite(per, "per")
    if y is not None and len(y) != len(x):
        raise ExperimentError(f"per has {len(y)} entries: give one a value, {len(x)}")

    def draw(rng: np.random.Generator, shape: Shape) -> Drawn:
        chosen = rng.integers(0, len(x), shape)
        return x[chosen], None if y is None else y[chosen]

    inside = bool(x.min() >= 0.0 and x.max() <= 1.0)
    return Source(name, draw, float(x.mean()), y is not None, inside)


def usual(metric: Metric) -> Source:
    """The distribution that a metric is simulated with unless another is named."""
    if metric.slug not in USUAL:
        raise ExperimentError(_NOT_DRAWN.format(metric.slug))
    return named(USUAL[metric.slug])


def effect_on(metric: Metric, source: Source, effect: float) -> Effect:
    """The effect as a metric of that kind has it: absolute for rates, otherwise relative."""
    if not math.isfinite(effect):
        raise ExperimentError(f"effect is {effect!r}: give a finite number, 0 for none")
    fits(metric, source)
    if metric.unit not in BOUNDED:
        if effect <= -1.0:
            raise ExperimentError(f"effect is {effect:g}: a relative one must be above -1")
        return Effect(factor=1.0 + effect)
    shift = effect if metric.kind is Kind.RATE else effect * source.mean
    room = 1.0 - source.mean if shift > 0 else source.mean
    if abs(shift) > room:
        raise ExperimentError(
            f"effect is {effect:g}: from a mean of {source.mean:g} it leads out of [0, 1]"
        )
    return Effect(chance=shift / room if shift else 0.0)


def fits(metric: Metric, source: Source) -> None:
    """Refuse a distribution that the metric cannot have."""
    if metric.kind is Kind.JUDGED:
        raise ExperimentError(_NOT_DRAWN.format(metric.slug))
    if (metric.kind is Kind.RATIO) != source.clustered:
        wanted = "clustered_S or successes_S" if metric.kind is Kind.RATIO else "any other"
        raise ExperimentError(f"distribution {source.name} is not for {metric.slug}: use {wanted}")
    if metric.unit in BOUNDED and not source.bounded:
        raise ExperimentError(
            f"distribution {source.name} leaves [0, 1], {metric.slug} cannot: "
            "use bernoulli_P or beta_A"
        )
    if metric.kind is Kind.RATE and not source.name.startswith(("bernoulli", "history")):
        raise ExperimentError(
            f"distribution {source.name} is not of 0 and 1, {metric.slug} is: use bernoulli_P"
        )


def _bernoulli(name: str, rate: float) -> Source:
    return Source(
        name, lambda rng, shape: ((rng.random(shape) < rate).astype(np.float64), None), rate,
        bounded=True,
    )  # fmt: skip


def _beta(name: str, shape_of: float) -> Source:
    return Source(
        name, lambda rng, shape: (rng.random(shape) ** (1.0 / shape_of), None),
        shape_of / (shape_of + 1.0), bounded=True,
    )  # fmt: skip


def _lognormal(name: str, sigma: float) -> Source:
    return Source(
        name, lambda rng, shape: (np.exp(sigma * rng.standard_normal(shape)), None),
        math.exp(sigma**2 / 2.0),
    )  # fmt: skip


def _exponential(name: str, mean: float) -> Source:
    return Source(name, lambda rng, shape: (rng.exponential(mean, shape), None), mean)


def _geometric(name: str, rate: float) -> Source:
    return Source(
        name, lambda rng, shape: (rng.geometric(rate, shape).astype(np.float64), None), 1.0 / rate
    )


def _clustered(sigma: float, success: float) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape) -> Drawn:
        sizes = 1 + rng.poisson(4.0, shape)
        level = np.exp(sigma * rng.standard_normal(shape))
        cost = level * rng.standard_gamma(sizes)
        per = sizes if success == 1.0 else rng.binomial(sizes, success)
        return cost, per.astype(np.float64)

    return draw


def _costs(success: float) -> Callable[[str, float], Source]:
    def made(name: str, sigma: float) -> Source:
        mean = 5.0 * math.exp(sigma**2 / 2.0)
        return Source(name, _clustered(sigma, success), mean, clustered=True)

    return made


LETTERS = {
    "bernoulli": "P", "beta": "A", "lognormal": "S", "exponential": "M", "geometric": "P",
    "clustered": "S", "successes": "S",
}  # fmt: skip
FAMILIES: dict[str, Callable[[str, float], Source]] = {
    "bernoulli": _bernoulli, "beta": _beta, "lognormal": _lognormal, "exponential": _exponential,
    "geometric": _geometric, "clustered": _costs(1.0), "successes": _costs(0.97),
}  # fmt: skip
USUAL = {  # the distribution that a metric is simulated with unless another is named
    "quality": "bernoulli_0.9", "reward": "beta_4", "success_rate": "bernoulli_0.98",
    "cost_per_request": "clustered_1", "cost_per_success": "successes_1",
    "latency_mean": "lognormal_1", "latency_p95": "lognormal_1", "ttft_p95": "exponential_0.5",
    "error_rate": "bernoulli_0.02", "fallback_rate": "bernoulli_0.05",
    "refusal_rate": "bernoulli_0.02",
    "attempts": "geometric_0.9", "rating_rate": "bernoulli_0.1", "tokens_out": "lognormal_1",
}  # fmt: skip
