"""Two arms compared once, at a size fixed beforehand: Welch, CUPED, ratios and proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.inputs import level
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.response_rate import LEAST_EXPECTED, wilson

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """Treatment beside control, for a single look at sizes fixed beforehand.

    ``difference``: treatment less control; ``relative``: treatment over control, less 1, None
    where the control's mean cannot be told from 0. ``degrees`` of freedom: inf for a normal.
    ``units``: of control and treatment.
    """

    control: float
    treatment: float
    difference: Interval
    relative: Interval | None
    standard_error: float
    degrees: float
    p_value: float
    units: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Covaried:
    """Of every unit of an arm the outcome and a covariate known before the assignment, both [n].

    Such as a predicted quality, the tokens of the prompt, or the tenant's past cost: never what
    the treatment can touch, or the effect itself is adjusted away.
    """

    outcome: Values
    covariate: Values

    def __post_init__(self) -> None:
        _check_columns({"outcome": self.outcome, "covariate": self.covariate})


@dataclass(frozen=True, slots=True)
class Cuped:
    """The adjusted effect beside the plain one, and what the covariate took away.

    ``explained``: the part of the plain difference's variance that is gone, the saving in units.
    """

    adjusted: Effect
    plain: Effect
    theta: float
    explained: float


@dataclass(frozen=True, slots=True)
class Sums:
    """Of every unit of an arm a sum and what it is divided by, both [n]: cost and requests, say."""

    numerator: Values
    denominator: Values

    def __post_init__(self) -> None:
        _check_columns({"numerator": self.numerator, "denominator": self.denominator})
        if len(self.denominator) and float(self.denominator.min()) < 0.0:
            raise ExperimentError(
                "denominator falls below 0: give what is counted, such as requests"
            )

    @classmethod
    def by_unit(cls, units: NDArray[np.generic], values: Values, per: Values) -> Sums:
        """Rows added up by the unit that was assigned, all [rows]: a session's requests are one
        observation, because they share the session's draw.
        """
        _check_columns({"values": values, "per": per, "units": units})
        found, place = np.unique(units, return_inverse=True)
        count = len(found)
        sums = [np.bincount(place, weights=each, minlength=count) for each in (values, per)]
        return cls(sums[0].astype(np.float64), sums[1].astype(np.float64))

    def linearised(self) -> Moments:
        """Moments whose mean is the ratio and whose variance is the delta method's."""
        below = float(self.denominator.mean())
        ratio = float(self.numerator.mean()) / below
        moments = Moments.of((self.numerator - ratio * self.denominator) / below)
        return Moments(moments.count, ratio, moments.squares)


@dataclass(frozen=True, slots=True)
class Winsorised:
    """A ratio's effect as it is, and with numerators cut at ``cap``; ``cut`` units of each arm.

    The second is steadier where a few units carry the sum, and answers another question: report
    both. Where they disagree, the tail is what differs.
    """

    raw: Effect
    capped: Effect
    cap: float
    cut: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Successes:
    """``count`` of ``of`` units."""

    count: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.of:
            raise ExperimentError(
                f"count is {self.count} of {self.of}: give no more successes than units"
            )


def welch(control: Moments, treatment: Moments, alpha: float = 0.05) -> Effect | CannotSay:
    """Means of independent units with unequal variances (Welch, Biometrika 1947).

    The relative interval is the delta method's.
    """
    level(alpha)
    fewest = min(control.count, treatment.count)
    if fewest < 2:
        return CannotSay(f"each arm needs two units, one has {fewest}")
    errors = (control.variance / control.count, treatment.variance / treatment.count)
    square = math.fsum(errors)
    if not math.isfinite(square):
        raise ExperimentError("control or treatment is not finite: drop rows without a number")
    if square <= 0.0:
        return CannotSay("the values of both arms do not vary")
    degrees = square**2 / (
        errors[0] ** 2 / (control.count - 1) + errors[1] ** 2 / (treatment.count - 1)
    )
    error, gap = math.sqrt(square), treatment.mean - control.mean
    reach = float(stats.t.ppf(1.0 - alpha / 2.0, degrees))
    return Effect(
        control.mean,
        treatment.mean,
        Interval(gap, gap - reach * error, gap + reach * error),
        _relative((control.mean, treatment.mean), errors, reach),
        error,
        degrees,
        2.0 * float(stats.t.sf(abs(gap) / error, degrees)),
        (control.count, treatment.count),
    )


def cuped(
    control: Covaried, treatment: Covaried, alpha: float = 0.05, theta: float | None = None
) -> Cuped | CannotSay:
    """Welch's comparison of outcomes less what the covariate foretold (CUPED: Deng, Xu,
    Kohavi and Walker, WSDM 2013).

    ``theta`` from a period before the experiment, or None: cov(Y, X) / var(X) pooled within the
    arms. The covariate is centred at the mean over both arms, so the arms' levels stay readable.
    """
    arms = (control, treatment)
    plain = welch(Moments.of(control.outcome), Moments.of(treatment.outcome), alpha)
    if isinstance(plain, CannotSay):
        return plain
    if theta is not None and not math.isfinite(theta):
        raise ExperimentError(f"theta is {theta!r}: give a finite slope, or None to estimate it")
    if theta is None:
        crossed = math.fsum(_crossed(arm.outcome, arm.covariate) for arm in arms)
        squares = math.fsum(_crossed(arm.covariate, arm.covariate) for arm in arms)
        theta = crossed / squares if squares > 0.0 else 0.0  # a constant foretells nothing
    centre = float(np.concatenate([arm.covariate for arm in arms]).mean())
    left = [Moments.of(arm.outcome - theta * (arm.covariate - centre)) for arm in arms]
    adjusted = welch(left[0], left[1], alpha)
    if isinstance(adjusted, CannotSay):
        return adjusted
    kept = (adjusted.standard_error / plain.standard_error) ** 2
    return Cuped(adjusted, plain, theta, 1.0 - kept)


def ratio(control: Sums, treatment: Sums, alpha: float = 0.05) -> Effect | CannotSay:
    """Ratios of sums over units, such as cost a request, clustered by the assigned unit.

    The delta method: var(N/D) = (var N - 2 R cov(N, D) + R^2 var D) / (n mean(D)^2) (Deng,
    Knoblich and Lu, KDD 2018), with Student's quantiles. It cannot say where an arm's
    denominator cannot be told from 0: no bounded interval exists there (Fieller, JRSS-B 1954).
    """
    level(alpha)
    for name, arm in (("control", control), ("treatment", treatment)):
        below = Moments.of(arm.denominator)
        if below.count < 2:
            return CannotSay(f"each arm needs two units, the {name} has {below.count}")
        if below.interval(1.0 - alpha).low <= 0.0:
            return CannotSay(f"the denominator of the {name} cannot be told from 0")
    return welch(control.linearised(), treatment.linearised(), alpha)


def winsorised_ratio(
    control: Sums, treatment: Sums, percentile: float, alpha: float = 0.05
) -> Winsorised | CannotSay:
    """The ratio as it is, and with units' numerators cut at a percentile of both arms together.

    ``percentile`` in (0.5, 1), declared before the data are seen: chosen afterwards, it can be
    chosen to please. One cap for both arms, or the cut itself would make a difference.
    """
    if not 0.5 < percentile < 1.0:
        raise ExperimentError(f"percentile is {percentile!r}: give a share such as 0.999")
    raw = ratio(control, treatment, alpha)
    if isinstance(raw, CannotSay):
        return raw
    both = np.concatenate([control.numerator, treatment.numerator])
    cap = float(np.quantile(both, percentile))
    arms = (control, treatment)
    cut = [Sums(np.minimum(arm.numerator, cap), arm.denominator) for arm in arms]
    capped = ratio(cut[0], cut[1], alpha)
    if isinstance(capped, CannotSay):
        return capped
    over = [int((arm.numerator > cap).sum()) for arm in arms]
    return Winsorised(raw, capped, cap, (over[0], over[1]))


def two_proportions(
    control: Successes, treatment: Successes, alpha: float = 0.05
) -> Effect | CannotSay:
    """Shares of independent units.

    The p-value is the pooled z-test's, or Fisher's exact one where a count of fewer than five is
    expected. The interval is Newcombe's (Stat. Med. 1998, method 10), made of Wilson's, so near
    the level it may disagree with the p-value. ``relative``: Katz and others (Biometrics 1978),
    None without a success in both arms.
    """
    level(alpha)
    if not control.of or not treatment.of:
        return CannotSay("an arm has no units")
    arms = (control, treatment)
    one, two = (wilson(arm.count, arm.of, 1.0 - alpha) for arm in arms)
    p, q = one.estimate, two.estimate
    low = q - p - math.hypot(q - two.low, one.high - p)
    high = q - p + math.hypot(two.high - q, p - one.low)
    error = math.sqrt(p * (1.0 - p) / control.of + q * (1.0 - q) / treatment.of)
    return Effect(
        p,
        q,
        Interval(q - p, low, high),
        _risk_ratio(control, treatment, alpha),
        error,
        math.inf,
        _p_of_proportions(control, treatment),
        (control.of, treatment.of),
    )


def _p_of_proportions(control: Successes, treatment: Successes) -> float:
    successes, units = control.count + treatment.count, control.of + treatment.of
    rarest = min(successes, units - successes) * min(control.of, treatment.of) / units
    if rarest < LEAST_EXPECTED:
        table = [[arm.count, arm.of - arm.count] for arm in (control, treatment)]
        return float(stats.fisher_exact(table).pvalue)
    share = successes / units
    error = math.sqrt(share * (1.0 - share) * (1.0 / control.of + 1.0 / treatment.of))
    gap = treatment.count / treatment.of - control.count / control.of
    return 2.0 * float(stats.norm.sf(abs(gap) / error))


def _risk_ratio(control: Successes, treatment: Successes, alpha: float) -> Interval | None:
    if not control.count or not treatment.count:
        return None
    told = (treatment.count / treatment.of) / (control.count / control.of)
    parts = [1.0 / arm.count - 1.0 / arm.of for arm in (control, treatment)]
    factor = math.exp(float(stats.norm.ppf(1.0 - alpha / 2.0)) * math.sqrt(math.fsum(parts)))
    return Interval(told - 1.0, told / factor - 1.0, told * factor - 1.0)


def _relative(
    means: tuple[float, float], errors: tuple[float, float], reach: float
) -> Interval | None:
    """Treatment over control, less 1; ``errors`` are the squared ones of the means."""
    control, treatment = means
    if abs(control) <= reach * math.sqrt(errors[0]):
        return None
    told = treatment / control
    error = math.sqrt(errors[1] + told**2 * errors[0]) / abs(control)
    return Interval(told - 1.0, told - 1.0 - reach * error, told - 1.0 + reach * error)


def _crossed(one: Values, two: Values) -> float:
    return float(((one - one.mean()) * (two - two.mean())).sum())


def _check_columns(columns: dict[str, NDArray[np.generic]]) -> None:
    if len({column.shape for column in columns.values()}) > 1:
        told = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise ExperimentError(f"{told}: give one number of each a row")
    for name, column in columns.items():
        if np.issubdtype(column.dtype, np.floating) and not np.isfinite(column).all():
            raise ExperimentError(
                f"{name} holds numbers that are not finite: drop those rows from both arms alike"
            )
