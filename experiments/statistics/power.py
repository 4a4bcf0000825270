"""How many units an answer takes, how small an effect they can show, and how many days that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.inputs import positive
from experiments.statistics.mean_sequences import tuned


@dataclass(frozen=True, slots=True)
class Comparison:
    """A two-sided comparison of two arms.

    ``power``: the chance to find the effect it is sized for. ``treatment_share`` of the units of
    both arms. ``sequential``: looked at all along by an asymptotic confidence sequence tuned to
    the planned size, instead of once at its end.
    """

    alpha: float = 0.05
    power: float = 0.8
    treatment_share: float = 0.5
    sequential: bool = False

    def __post_init__(self) -> None:
        for field in ("alpha", "power", "treatment_share"):
            if not 0.0 < getattr(self, field) < 1.0:
                raise ExperimentError(
                    f"{field} is {getattr(self, field)!r}: give a number between 0 and 1"
                )
        if self.power <= self.alpha:
            raise ExperimentError(f"power is {self.power!r}: give more than alpha, such as 0.8")

    @property
    def factor(self) -> float:
        """By how much the looking widens what can be shown."""
        return sequential_factor(self.alpha) if self.sequential else 1.0

    @property
    def reach(self) -> float:
        """The smallest effect that is shown, in standard errors of the difference."""
        return self.factor * (_z(1.0 - self.alpha / 2.0) + _z(self.power))


@dataclass(frozen=True, slots=True)
class Sizes:
    """Units that each arm needs."""

    control: int
    treatment: int

    @property
    def total(self) -> int:
        """Of both arms."""
        return self.control + self.treatment


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in a day: ``units``, of which ``exposed`` are in the experiment (allocation times
    ramp) and ``measured`` have the metric (a rating, say).
    """

    units: float
    exposed: float = 1.0
    measured: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.units < math.inf:
            raise ExperimentError(f"units is {self.units!r}: give the units of a day, 0 or more")
        for field in ("exposed", "measured"):
            if not 0.0 <= getattr(self, field) <= 1.0:
                raise ExperimentError(
                    f"{field} is {getattr(self, field)!r}: give a share, from 0 to 1"
                )

    @property
    def useful(self) -> float:
        """Units a day that bring an answer nearer."""
        return self.units * self.exposed * self.measured


def sequential_factor(alpha: float) -> float:
    """Half-width of that sequence at the planned size, over that of a single look: 1.55 at 5 %.

    Multiplying the whole effect by it is cautious: at 80 % asked, 93 % are found by that size and
    80 % by three quarters of it (simulated in the tests); a larger effect ends earlier.
    """
    x = tuned(alpha)
    width = math.sqrt(2.0 * (x + 1.0) / x * math.log(math.sqrt(x + 1.0) / alpha))
    return width / _z(1.0 - alpha / 2.0)


def detectable(sd: float, sizes: Sizes, asked: Comparison) -> float | CannotSay:
    """The smallest absolute difference of means shown with ``asked.power``; ``sd`` of one unit."""
    positive(sd, "sd")
    if not sizes.control > 0 or not sizes.treatment > 0:
        return CannotSay("an arm has no units")
    return asked.reach * sd * math.sqrt(1.0 / sizes.control + 1.0 / sizes.treatment)


def relative_detectable(
    mean: float, sds: tuple[float, float], sizes: Sizes, asked: Comparison
) -> float | CannotSay:
    """The smallest relative gain d shown with ``asked.power``; ``mean`` of the control, ``sds`` of
    one unit of control and treatment.

    The estimate's own error grows with d: d^2 = reach^2 (v_t + (1 + d)^2 v_c), with v the squared
    relative errors of the means, solved for the positive root (delta method).
    """
    for sd in sds:
        positive(sd, "sds")
    if mean == 0.0 or not math.isfinite(mean):
        raise ExperimentError(f"mean is {mean!r}: a relative effect needs a finite one, not 0")
    if not sizes.control > 0 or not sizes.treatment > 0:
        return CannotSay("an arm has no units")
    square = asked.reach**2
    c = square * sds[0] ** 2 / (mean**2 * sizes.control)
    t = square * sds[1] ** 2 / (mean**2 * sizes.treatment)
    if c >= 1.0:
        return CannotSay("the control is too small to show any relative effect, however large")
    return (c + math.sqrt(c * c + (1.0 - c) * (c + t))) / (1.0 - c)


def sizes_for(effect: float, sd: float, asked: Comparison) -> Sizes:
    """Units to show an absolute difference of means; ``sd`` of one unit."""
    positive(sd, "sd")
    _check_effect(effect)
    share = asked.treatment_share
    total = (asked.reach * sd / effect) ** 2 / (share * (1.0 - share))
    return Sizes(math.ceil(total * (1.0 - share)), math.ceil(total * share))


def sizes_for_proportions(control: float, treatment: float, asked: Comparison) -> Sizes:
    """Units to tell two shares apart by the pooled z-test (Fleiss, Levin and Paik, Statistical
    Methods for Rates and Proportions, 2003, chapter 4, without the continuity correction).
    """
    for field, value in (("control", control), ("treatment", treatment)):
        if not 0.0 <= value <= 1.0:
            raise ExperimentError(f"{field} is {value!r}: give a share, from 0 to 1")
    _check_effect(treatment - control)
    share = asked.treatment_share
    pooled = (1.0 - share) * control + share * treatment
    null = pooled * (1.0 - pooled) / (share * (1.0 - share))
    apart = control * (1.0 - control) / (1.0 - share) + treatment * (1.0 - treatment) / share
    z_level, z_power = _z(1.0 - asked.alpha / 2.0), _z(asked.power)
    reach = asked.factor * (z_level * math.sqrt(null) + z_power * math.sqrt(apart))
    total = (reach / (treatment - control)) ** 2
    return Sizes(math.ceil(total * (1.0 - share)), math.ceil(total * share))


def power_of(effect: float, sd: float, sizes: Sizes, asked: Comparison) -> float | CannotSay:
    """The chance that ``sizes`` show that absolute difference of means, whichever its sign.

    Of a sequential one the chance to show it at that size, which is less than by then.
    """
    positive(sd, "sd")
    if not sizes.control > 0 or not sizes.treatment > 0:
        return CannotSay("an arm has no units")
    error = sd * math.sqrt(1.0 / sizes.control + 1.0 / sizes.treatment)
    shift, bound = abs(effect) / error, asked.factor * _z(1.0 - asked.alpha / 2.0)
    return float(stats.norm.sf(bound - shift) + stats.norm.cdf(-bound - shift))


def days(needed: Sizes, seen: Sizes, traffic: Traffic, treatment_share: float) -> float | CannotSay:
    """Days until both arms have what they need, at today's traffic; 0 once they have it.

    CannotSay where nothing useful comes in.
    """
    if not 0.0 < treatment_share < 1.0:
        raise ExperimentError(
            f"treatment_share is {treatment_share!r}: give a number between 0 and 1"
        )
    lacking = (
        max(0, needed.control - seen.control) / (1.0 - treatment_share),
        max(0, needed.treatment - seen.treatment) / treatment_share,
    )
    if max(lacking) == 0.0:
        return 0.0
    if traffic.useful <= 0.0:
        return CannotSay("at today's traffic it never ends: no unit is exposed and measured")
    return max(lacking) / traffic.useful


def design_effect(mean_size: float, correlation: float) -> float:
    """By how much clustering multiplies the rows needed: 1 + (m - 1) rho (Kish, Survey Sampling
    1965); ``mean_size`` rows a unit, ``correlation`` within one.
    """
    if not 1.0 <= mean_size < math.inf:
        raise ExperimentError(f"mean_size is {mean_size!r}: give the rows of a unit, 1 or more")
    if not 0.0 <= correlation <= 1.0:
        raise ExperimentError(f"correlation is {correlation!r}: give one from 0 to 1")
    return 1.0 + (mean_size - 1.0) * correlation


def _z(share: float) -> float:
    return float(stats.norm.ppf(share))


def _check_effect(effect: float) -> None:
    if effect == 0.0 or not math.isfinite(effect):
        raise ExperimentError(
            f"effect is {effect!r}: no number of units shows that, give the least that matters"
        )
