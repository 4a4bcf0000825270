"""How large and how long an experiment must be, from what is known of its metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.metrics import Frame, Kind, Metric, Values
from experiments.offline.distributions import BOUNDED
from experiments.statistics.fixed_horizon import Sums
from experiments.statistics.inputs import positive
from experiments.statistics.power import (
    Comparison,
    Sizes,
    Traffic,
    days,
    detectable,
    sizes_for,
    sizes_for_proportions,
)
from experiments.statistics.quantiles import QuantileSequence

LEAST_UNITS = 30  # of a history, before its deviation is believed
WEEKS = (1, 2, 4)
HEAVY = 1.0  # deviation of the logarithm, from where on a mean under looking is to be capped
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a metric before the experiment: its value now, the deviation of one unit
    (of a quantile: of its estimate times the root of the units; None for a rate: that of 0 and 1).
    """

    baseline: float
    sd: float | None = None

    def deviation(self, metric: Metric) -> float:
        """Of one unit."""
        if self.sd is not None:
            return positive(self.sd, "sd")
        if metric.kind is not Kind.RATE:
            raise ExperimentError(
                f"sd is not given: name the deviation of {metric.slug} of one unit, or a state "
                "directory whose history tells it"
            )
        return positive(math.sqrt(max(self.baseline * (1.0 - self.baseline), 0.0)), "sd")


@dataclass(frozen=True, slots=True)
class Learned:
    """The same from history, and the traffic: units a day, of which ``measured`` have the metric;
    ``units`` that had it, over ``span_days``. ``heavy``: the deviation of the logarithm of what a
    unit brings, where that passes ``HEAVY`` and the metric is a mean or a ratio without bounds.
    """

    known: Known
    units_a_day: float
    measured: float
    units: int
    span_days: float
    heavy: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What to heed in the design."""
        if self.heavy is None:
            return ()
        return (
            f"heavy tails: the logarithm of what a unit brings deviates by {self.heavy:.2f}, above "
            f"{HEAVY:g}; declare a cap before the start, such as the 99th percentile",
        )


def learned(
    metric: Metric, frame: Frame, units: NDArray[np.generic], at_s: Values
) -> Learned | CannotSay:
    """From rows: the metric's columns, the unit of each, and when it came, in seconds.

    Rows of one unit are one observation, a ratio of sums with the delta method's deviation, since
    a unit is what is assigned; but a quantile is of rows.
    """
    found = metric.measure(frame)
    everyone = len(np.unique(units))
    having = len(np.unique(units[found.rows]))
    if having < LEAST_UNITS:
        return CannotSay(f"{LEAST_UNITS} units with {metric.slug} are needed, there are {having}")
    span = max(float(at_s.max() - at_s.min()) / DAY_S, 1.0)
    if float(np.ptp(found.values)) == 0.0 and metric.kind is not Kind.RATIO:
        return CannotSay(f"{metric.slug} is {found.values[0]:g} in every row: nothing to size by")
    if metric.level is not None:
        known = _of_quantile(found.values, metric.level)
        return Learned(known, len(units) / span, len(found.rows) / len(units), having, span)
    sums = Sums.by_unit(units[found.rows], found.values, found.per)
    if float(sums.denominator.sum()) <= 0.0:
        return CannotSay(f"{metric.slug} divides by nothing: no row has a denominator")
    moments = sums.linearised()
    if moments.variance <= 0.0:
        return CannotSay(f"{metric.slug} is {moments.mean:g} of every unit: nothing to size by")
    known = Known(moments.mean, math.sqrt(moments.variance))
    heavy = None if metric.unit in BOUNDED else _heavy(sums.numerator)
    return Learned(known, everyone / span, having / everyone, having, span, heavy)


@dataclass(frozen=True, slots=True)
class Need:
    """What an arm needs, and for how many days; ``wait`` says why those are unknown."""

    sizes: Sizes
    days: float | None
    wait: str = ""

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"control": self.sizes.control, "treatment": self.sizes.treatment,
                "total": self.sizes.total, "days": self.days}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """The least effect that matters (absolute for rates, otherwise relative) and how it is sought:
    as ``Comparison`` has the rest.
    """

    effect: float
    alpha: float = 0.05
    power: float = 0.8
    treatment_share: float = 0.5

    def comparison(self, sequential: bool) -> Comparison:
        """One look at the end, or looking all along."""
        return Comparison(self.alpha, self.power, self.treatment_share, sequential)


def need(
    metric: Metric, known: Known, asked: Asked, traffic: Traffic | None, sequential: bool
) -> Need:
    """Units that show the effect with the power asked, and the days they take."""
    sizes = _sizes(metric, known, asked, sequential)
    if traffic is None:
        return Need(sizes, None, "the traffic of a day is not known")
    took = days(sizes, Sizes(0, 0), traffic, asked.treatment_share)
    return Need(sizes, None, str(took)) if isinstance(took, CannotSay) else Need(sizes, took)


def shown_by(
    metric: Metric, known: Known, asked: Asked, traffic: Traffic, sequential: bool
) -> dict[int, float | None]:
    """The least effect that the traffic of so many weeks shows, by weeks, as the effect is given;
    None where nothing useful comes in.
    """
    found: dict[int, float | None] = {}
    for weeks in WEEKS:
        total = 7.0 * weeks * traffic.useful
        share = asked.treatment_share
        sizes = Sizes(math.floor(total * (1.0 - share)), math.floor(total * share))
        told = detectable(known.deviation(metric), sizes, _comparison(asked, sequential, metric))
        if isinstance(told, CannotSay):
            found[weeks] = None
            continue
        if sequential and metric.level is not None:
            told *= quantile_factor(sizes, asked.alpha)
        found[weeks] = told / _scale(metric, known)
    return found


def quantile_factor(sizes: Sizes, alpha: float) -> float:
    """By how much looking widens what two quantiles can show: the normal limit of the test's
    evidence, z^2 / 2 - log(1 + n / c) / 2 for each arm, against log(1 / alpha).
    """
    prior = QuantileSequence().concentration
    paid = (math.log1p(sizes.control / prior) + math.log1p(sizes.treatment / prior)) / 2.0
    quantile = float(stats.norm.ppf(1.0 - alpha / 2.0))
    return math.sqrt(2.0 * (paid - math.log(alpha))) / quantile


def _sizes(metric: Metric, known: Known, asked: Asked, sequential: bool) -> Sizes:
    comparison = _comparison(asked, sequential, metric)
    if metric.kind is Kind.RATE and known.sd is None:
        return sizes_for_proportions(known.baseline, known.baseline + asked.effect, comparison)
    gap, sd = asked.effect * _scale(metric, known), known.deviation(metric)
    sizes = sizes_for(gap, sd, comparison)
    if sequential and metric.level is not None:
        for _ in range(40):  # the price of looking grows with the logarithm of the units: settles
            sizes = sizes_for(gap / quantile_factor(sizes, asked.alpha), sd, comparison)
    return sizes


def _comparison(asked: Asked, sequential: bool, metric: Metric) -> Comparison:
    return asked.comparison(sequential and metric.level is None)


def _scale(metric: Metric, known: Known) -> float:
    """What an effect of 1 is, in the metric's unit."""
    if metric.kind is Kind.RATE:
        return 1.0
    if known.baseline == 0.0 or not math.isfinite(known.baseline):
        raise ExperimentError(
            f"baseline is {known.baseline!r}: a relative effect needs a finite one, not 0"
        )
    return abs(known.baseline)


def _heavy(values: Values) -> float | None:
    above = values[values > 0.0]
    spread = float(np.log(above).std()) if len(above) else 0.0
    return spread if spread > HEAVY else None


def _of_quantile(values: Values, level: float) -> Known:
    """The quantile, and root(p (1 - p)) over the density there, by spacing (Siddiqui, J. Res. NBS
    1960) at a distance in ranks that falls with the fifth root of the count.
    """
    x = np.sort(values)
    reach = min(level, 1.0 - level) * min(0.5, len(x) ** -0.2)
    low, high = np.quantile(x, [level - reach, level + reach])
    slope = float(high - low) / (2.0 * reach)
    return Known(float(np.quantile(x, level)), math.sqrt(level * (1.0 - level)) * slope)
