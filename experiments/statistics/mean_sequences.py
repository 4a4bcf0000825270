"""Asymptotic confidence sequences: the interval of a mean or a difference, at every look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import Floats, finite, level, positive
from experiments.statistics.moments import Interval, Moments

BURN_IN = 100  # values of each arm before the first look
LEAST_EVENTS = 10  # of the rarer outcome of each arm, where values are 0 or 1
HELD = 0.5  # of the larger arm's variance, that of a much smaller arm is held above so much


class Side(StrEnum):
    """Which bounds are wanted."""

    BOTH = "both"
    LOW = "low"  # is it greater? the upper bound is infinite
    HIGH = "high"  # is it less? the lower bound is minus infinity


def tuned(alpha: float) -> float:
    """rho^2 times the planned size, at which the two-sided sequence is narrowest.

    The minimum is exact: -W(-alpha^2 / e) - 1 on the lower branch of Lambert's function
    (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Ann. Stat. 52(6) 2024, appendix on the choice
    of rho).
    """
    level(alpha)
    return -float(special.lambertw(-(alpha**2) / math.e, -1).real) - 1.0


def tuning(alpha: float, best_at: float) -> float:
    """The rho that makes the two-sided sequence narrowest at ``best_at`` values. It must not
    depend on the data.
    """
    return math.sqrt(tuned(alpha) / positive(best_at, "best_at"))


def deviation_of_difference(
    one: tuple[ArrayLike, ArrayLike], two: tuple[ArrayLike, ArrayLike]
) -> Floats:
    """sigma = sqrt(n) SE of two arms, n of both; each arm its count and variance; arrays broadcast.

    The smaller arm's variance is held above ``HELD`` (1 - its count / the larger one's) of the
    larger arm's. A small arm that has not met its rare large values yet is low in mean and in
    variance at once and looks certain: with lognormal values of sigma 2 in a tenth of the units
    the truth would be left out in 11 % of runs, in a fiftieth in 24 %; held, in about 1 %. Equal
    arms, and arms that vary alike, are as they were. An empirical remedy, not a theorem.
    """
    (n, v), (m, w) = (tuple(np.asarray(x, dtype=np.float64) for x in arm) for arm in (one, two))
    held_one = np.maximum(v, HELD * np.maximum(1.0 - n / m, 0.0) * w)
    held_two = np.maximum(w, HELD * np.maximum(1.0 - m / n, 0.0) * v)
    deviation: Floats = np.sqrt((n + m) * (held_one / n + held_two / m))
    return deviation


@dataclass(frozen=True, slots=True)
class AsymptoticSequence:
    """A confidence sequence for means of anything with a variance, as its settings.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (Ann. Stat. 52(6) 2024, arXiv 2103.06476).
    ``alpha``: the chance that the truth ever leaves it, from the burn-in on (asymptotically in
    the burn-in). ``best_at``: the number of values at which it is narrowest, both arms together.
    ``burn_in``: values of each arm below which it cannot say; nor can it where values are 0 or 1
    and an arm has shown the rarer one less than ``LEAST_EVENTS`` times: its variance is not known
    yet, and a small arm without a failure would look certain. For the same reason a small arm's
    variance is held up by the large one's (``deviation_of_difference``). Rare failures are for a
    rate guardrail. A single mean with heavy tails, or the size of a difference between them, is
    to be winsorised at a cap declared before: at a lognormal of sigma 2 either leaves out the
    truth in up to one run in five, cut at the 99th percentile in fewer than one in twenty
    (``docs/experiments-calibration.md``).
    """

    alpha: float = 0.05
    best_at: float = 10_000.0
    side: Side = Side.BOTH
    burn_in: int = BURN_IN

    def __post_init__(self) -> None:
        level(self.alpha, below=1.0 if self.side is Side.BOTH else 0.5)
        positive(self.best_at, "best_at")
        if self.burn_in < 2:
            raise ExperimentError(f"burn_in is {self.burn_in}: give at least 2, better {BURN_IN}")

    @property
    def rho(self) -> float:
        """The tuning, by ``alpha`` for two sides and by its double for one."""
        sides = 1.0 if self.side is Side.BOTH else 2.0
        return tuning(sides * self.alpha, self.best_at)

    def reach(self, count: ArrayLike, deviation: ArrayLike) -> Floats:
        """Half the width after ``count`` values of that standard deviation; arrays broadcast.

        Theorem 2.2 of the paper for two sides, its one-sided analogue otherwise.
        """
        n, spread = np.asarray(count, dtype=np.float64), np.asarray(deviation, dtype=np.float64)
        square = self.rho**2
        grown = n * square + 1.0
        root = np.sqrt(grown) / self.alpha
        told = np.log(root) if self.side is Side.BOTH else np.log1p(root / 2.0)
        reached: Floats = spread * np.sqrt(2.0 * grown * told / square) / n
        return reached

    def log_e(self, count: ArrayLike, shift: ArrayLike) -> Floats:
        """The logarithm of the evidence; ``shift``: (mean - null) / deviation. Arrays broadcast.

        It passes log(1 / alpha) where the interval leaves the null, and for no other value.
        """
        n, z = np.asarray(count, dtype=np.float64), np.asarray(shift, dtype=np.float64)
        square = self.rho**2
        grown = n * square + 1.0
        exponent = square * (n * z) ** 2 / (2.0 * grown)
        if self.side is Side.BOTH:
            both: Floats = exponent - np.log(grown) / 2.0
            return both
        away = (z > 0 if self.side is Side.LOW else z < 0) & (exponent > 0)
        # log(2 (exp(x) - 1)), which stays finite where exp(x) does not
        lifted = exponent + np.log(-np.expm1(-np.where(away, exponent, 1.0))) + math.log(2.0)
        one: Floats = np.where(away, lifted - np.log(grown) / 2.0, -np.inf)
        return one

    def of_mean(self, values: Moments) -> Interval | CannotSay:
        """The interval of a mean."""
        return _said(_single(values, self.burn_in), self)

    def of_difference(self, treatment: Moments, control: Moments) -> Interval | CannotSay:
        """The interval of treatment's mean less control's: sigma^2 = n SE^2, n of both arms."""
        return _said(_difference(treatment, control, self.burn_in), self)

    def of_terms(self, terms: ArrayLike, least_variance: float = 0.0) -> Interval | CannotSay:
        """The interval of the mean of terms [n], their variance not below ``least_variance``."""
        found = Moments.of(finite(terms, "terms"))
        standing = _single(found, self.burn_in, least_variance)
        return _said(standing, self)

    def evidence_of_mean(self, values: Moments, null: float = 0.0) -> Evidence | CannotSay:
        """Evidence that the mean is not ``null`` (not at most, at least it for one side)."""
        return _weighed(_single(values, self.burn_in), self, null)

    def evidence_of_difference(
        self, treatment: Moments, control: Moments, null: float = 0.0
    ) -> Evidence | CannotSay:
        """Evidence that treatment's mean less control's is not ``null``."""
        return _weighed(_difference(treatment, control, self.burn_in), self, null)


@dataclass(frozen=True, slots=True)
class _Standing:
    count: int
    mean: float
    deviation: float


def _single(values: Moments, burn_in: int, least: float = 0.0) -> _Standing | CannotSay:
    if values.count < burn_in:
        return CannotSay(f"{burn_in} values are needed, there are {values.count}")
    if least <= 0.0 and (few := _few_events(values)) is not None:
        return few
    variance = max(values.variance, least)
    if variance <= 0.0:
        return CannotSay(f"all {values.count} values are alike: their variance is not known")
    return _Standing(values.count, values.mean, math.sqrt(variance))


def _difference(one: Moments, two: Moments, burn_in: int) -> _Standing | CannotSay:
    fewest = min(one.count, two.count)
    if fewest < burn_in:
        return CannotSay(f"{burn_in} values of each arm are needed, one has {fewest}")
    few = _few_events(one) or _few_events(two)
    if few is not None:
        return few
    count = one.count + two.count
    deviation = float(deviation_of_difference((one.count, one.variance), (two.count, two.variance)))
    if deviation <= 0.0:
        return CannotSay(f"all {count} values are alike in their arm: no variance is known")
    return _Standing(count, one.mean - two.mean, deviation)


def _few_events(values: Moments) -> CannotSay | None:
    """The refusal where values are of 0 and 1, so that squares add to what they do, and few."""
    total = values.count * values.mean
    squares = values.squares + total * values.mean
    if abs(squares - total) > 1e-9 * values.count:
        return None
    rarer = round(min(total, values.count - total))
    if rarer >= LEAST_EVENTS:
        return None
    return CannotSay(f"{LEAST_EVENTS} of the rarer outcome in each arm are needed, one has {rarer}")


def _said(found: _Standing | CannotSay, sequence: AsymptoticSequence) -> Interval | CannotSay:
    if isinstance(found, CannotSay):
        return found
    reach = float(sequence.reach(found.count, found.deviation))
    low = -math.inf if sequence.side is Side.HIGH else found.mean - reach
    high = math.inf if sequence.side is Side.LOW else found.mean + reach
    return Interval(found.mean, low, high)


def _weighed(
    found: _Standing | CannotSay, sequence: AsymptoticSequence, null: float
) -> Evidence | CannotSay:
    if isinstance(found, CannotSay):
        return found
    return Evidence(float(sequence.log_e(found.count, (found.mean - null) / found.deviation)))
