"""One metric of a treatment against the control: the effect, its evidence, and what it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from experiments.arms import Arm
from experiments.errors import CannotSay
from experiments.metrics import Kind, Metric, Values
from experiments.statistics import power
from experiments.statistics.fixed_horizon import Covaried, Sums, cuped
from experiments.statistics.judged import tuned_difference
from experiments.statistics.mean_sequences import BURN_IN, LEAST_EVENTS, AsymptoticSequence
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.quantiles import QuantileSequence
from experiments.switchback import Blocks, Pairs, least_pairs, randomisation_test

ASSUMED = (
    "right only if the rated answers are like the others: whether people rate an answer must not "
    "depend on what they would say of it, nor on how far the judge is off"
)


class Looks(StrEnum):
    """When a number holds."""

    ANY = "any look"
    ONE = "one look"  # at a length fixed beforehand


@dataclass(frozen=True, slots=True)
class Setting:
    """How two arms are compared: the level, at how many units the sequence is narrowest, where
    the design says so the percentile of the cut, the slope of the covariate, and what a judge's
    scores are multiplied by, neither of the last two chosen by the rows compared.
    """

    alpha: float
    best_at: float
    winsorise: float | None = None
    theta: float | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Beside:
    """Another estimate of the same, told beside the one that decides."""

    name: str
    effect: Interval
    looks: Looks
    words: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """Treatment beside control: means (or quantiles), their difference, and treatment over control
    less 1, None where the control's mean cannot be told from 0.

    ``log_e``: None where there is only a p-value, for one look. ``sd``: of one unit, such that
    the error is sd sqrt(1/n + 1/n), None while unknown.
    """

    control: float
    treatment: float
    effect: Interval
    relative: Interval | None
    log_e: float | None
    p_value: float
    looks: Looks
    sd: float | None
    beside: tuple[Beside, ...] = ()
    notes: tuple[str, ...] = ()


def compare(
    metric: Metric, control: Arm, treatment: Arm, covariate: Values | None, setting: Setting
) -> Estimate | CannotSay:
    """The metric's two arms, at any look; ``covariate``: of every row of the frame, or None."""
    for name, arm in (("control", control), ("treatment", treatment)):
        if arm.number < 2:
            return CannotSay(f"each arm needs two measured units, the {name} has {arm.number}")
    if metric.kind is Kind.QUANTILE:
        assert metric.level is not None  # a quantile has one
        return _quantiles(metric.level, control, treatment, setting)
    if metric.kind is Kind.JUDGED:
        return _judged(control, treatment, setting)
    if metric.kind is Kind.RATIO:
        return _ratios(control.sums(), treatment.sums(), setting)
    if metric.kind is Kind.RATE:
        for arm in (control, treatment):
            rarer = min(len(np.unique(arm.units[arm.values == value])) for value in (0.0, 1.0))
            if rarer < LEAST_EVENTS:
                return CannotSay(
                    f"{LEAST_EVENTS} units of each arm with the rarer outcome are needed, one "
                    f"has {rarer}"
                )
    return _means(control, treatment, covariate, setting)


def compare_blocks(
    blocks: Blocks, pairs: Pairs, rng: np.random.Generator, alpha: float
) -> Estimate | CannotSay:
    """A switchback: by re-drawing the order of the pairs, for a length fixed beforehand."""
    found = randomisation_test(pairs.differences, rng, alpha)
    if isinstance(found, CannotSay):
        return found
    base, gap = abs(pairs.control), found.difference
    relative = Interval(gap.estimate / base, gap.low / base, gap.high / base) if base else None
    how = "all orders of the pairs" if found.exact else "drawn orders of the pairs"
    notes = [
        f"tested by {how}: for one look, at a length fixed beforehand",
        "relative to the control's mean as if that were known",
    ]
    if pairs.dropped:
        notes.append(f"{pairs.dropped} pairs lack a block with something to measure")
    if found.pairs < 2 * least_pairs(alpha):
        notes.append("few pairs: only an effect of the same sign in nearly all can be seen")
    sd = math.sqrt(Moments.of(pairs.differences).variance / 2.0)
    return Estimate(
        pairs.control, pairs.treatment, gap, relative, None, found.p_value, Looks.ONE,
        sd if sd > 0.0 else None, notes=tuple(notes),
    )  # fmt: skip


def _sequence(setting: Setting) -> AsymptoticSequence:
    return AsymptoticSequence(setting.alpha, setting.best_at)


def _of_moments(control: Moments, treatment: Moments, setting: Setting) -> Estimate | CannotSay:
    sequence = _sequence(setting)
    effect = sequence.of_difference(treatment, control)
    evidence = sequence.evidence_of_difference(treatment, control)
    if isinstance(effect, CannotSay):
        return effect
    if isinstance(evidence, CannotSay):
        return evidence
    return Estimate(
        control.mean,
        treatment.mean,
        effect,
        _relative(control, treatment, sequence),
        evidence.log_e,
        evidence.p_value,
        Looks.ANY,
        math.sqrt((control.variance + treatment.variance) / 2.0),
    )


def _relative(
    control: Moments, treatment: Moments, sequence: AsymptoticSequence
) -> Interval | None:
    """The sequence of treatment over control, less 1, by the delta method."""
    count, base = control.count + treatment.count, abs(control.mean)
    own = math.sqrt(control.variance)
    if base <= float(sequence.reach(control.count, own)):
        return None
    told = treatment.mean / control.mean
    error = treatment.variance / treatment.count + told**2 * control.variance / control.count
    reach = float(sequence.reach(count, math.sqrt(count * error) / base))
    gap = (treatment.mean - control.mean) / base
    return Interval(gap, gap - reach, gap + reach)


def _means(
    control: Arm, treatment: Arm, covariate: Values | None, setting: Setting
) -> Estimate | CannotSay:
    """Means and rates of rows, clustered by unit; adjusted by a covariate where there is one.

    With a slope from before the experiment the adjusted outcome is an outcome like any other,
    so it decides, at any look; with a slope from the same rows it is told beside, for one look.
    """
    arms = (control, treatment)
    plain = _of_moments(control.sums().linearised(), treatment.sums().linearised(), setting)
    if covariate is None or isinstance(plain, CannotSay):
        return plain
    known = [covariate[arm.rows] for arm in arms]
    finite = np.concatenate(known)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return _with(plain, note="no row has the covariate: not adjusted")
    centre = float(finite.mean())
    off = [np.where(np.isfinite(each), each - centre, 0.0) for each in known]
    if setting.theta is None:
        return _adjusted_once(plain, arms, off, setting)
    theta = setting.theta
    less = [
        Arm(arm.units, arm.values - theta * each, arm.per, arm.rows)
        for arm, each in zip(arms, off, strict=True)
    ]
    found = _of_moments(less[0].sums().linearised(), less[1].sums().linearised(), setting)
    if isinstance(found, CannotSay):
        return found
    aside = Beside("unadjusted", plain.effect, Looks.ANY, "without the covariate")
    note = f"adjusted by the covariate with the slope {theta:.4g} from before (CUPED)"
    return _with(found, aside, note)


def _adjusted_once(
    plain: Estimate, arms: tuple[Arm, Arm], off: list[Values], setting: Setting
) -> Estimate:
    sides = [
        Covaried(_per_unit(arm.sums()), _per_unit(Sums.by_unit(arm.units, each, arm.per)))
        for arm, each in zip(arms, off, strict=True)
    ]
    found = cuped(sides[0], sides[1], setting.alpha)
    if isinstance(found, CannotSay):
        return plain
    words = (
        f"by the covariate, which takes {found.explained:.0%} of the variance away; its slope is "
        "from the same rows, so this holds for one look at a size fixed beforehand"
    )
    return _with(plain, Beside("CUPED", found.adjusted.difference, Looks.ONE, words))


def _per_unit(sums: Sums) -> Values:
    """Numbers a unit whose mean is the ratio and whose variance is the delta method's, [units]."""
    below = float(sums.denominator.mean())
    ratio = float(sums.numerator.mean()) / below
    told: Values = ratio + (sums.numerator - ratio * sums.denominator) / below
    return told


def _ratios(control: Sums, treatment: Sums, setting: Setting) -> Estimate | CannotSay:
    """Sums over sums by the delta method; where a cut was declared, the cut one decides."""
    for name, arm in (("control", control), ("treatment", treatment)):
        below = Moments.of(arm.denominator)
        reach = float(_sequence(setting).reach(below.count, math.sqrt(below.variance)))
        if below.count < BURN_IN:
            return CannotSay(f"{BURN_IN} units of each arm are needed, one has {below.count}")
        if below.mean <= reach:
            return CannotSay(f"what the {name} is divided by cannot be told from 0")
    raw = _of_moments(control.linearised(), treatment.linearised(), setting)
    if setting.winsorise is None or isinstance(raw, CannotSay):
        return raw
    cap = float(np.quantile(np.concatenate([control.numerator, treatment.numerator]),
                            setting.winsorise))  # fmt: skip
    cut = [Sums(np.minimum(arm.numerator, cap), arm.denominator) for arm in (control, treatment)]
    capped = _of_moments(cut[0].linearised(), cut[1].linearised(), setting)
    if isinstance(capped, CannotSay):
        return capped
    over = [int((arm.numerator > cap).sum()) for arm in (control, treatment)]
    note = (
        f"sums of {over[1]} units of the treatment and {over[0]} of the control are cut at "
        f"{cap:.6g}, as declared"
    )
    told = _with(capped, Beside("not winsorised", raw.effect, Looks.ANY, "with every sum"), note)
    if capped.effect.estimate * raw.effect.estimate < 0.0:
        told = _with(told, note="with and without the cut the signs differ: the tail decides")
    return told


def _judged(control: Arm, treatment: Arm, setting: Setting) -> Estimate | CannotSay:
    """A judge's scores of all answers, corrected by the few that people rated (prediction-powered
    inference), at any look; beside it what each says alone, and the tuned scale for one look.
    """
    one, two = control.judged(), treatment.judged()
    terms = (one.linearised(setting.scale), two.linearised(setting.scale))
    if isinstance(terms[0], CannotSay):
        return terms[0]
    if isinstance(terms[1], CannotSay):
        return terms[1]
    found = _of_moments(terms[0], terms[1], setting)
    if isinstance(found, CannotSay):
        return found
    labels = [int(each.labelled.sum()) for each in (one, two)]
    words = (
        f"{labels[1]} ratings of the treatment and {labels[0]} of the control correct the judge's "
        f"scores, taken {setting.scale:.3g} times; {ASSUMED}"
    )
    found = _with(found, note=words)
    for name, arms, said in (
        ("ratings alone", (control.rated(), treatment.rated()), "of the judged answers rated"),
        ("judge alone", (control, treatment), "not corrected: it errs where the judge does"),
    ):
        sides = [arm.sums().linearised() for arm in arms]
        gap = _sequence(setting).of_difference(sides[1], sides[0])
        if not isinstance(gap, CannotSay):
            found = _with(found, Beside(name, gap, Looks.ANY, said))
    tuned = tuned_difference(one, two, setting.alpha)
    if isinstance(tuned, CannotSay):
        return found
    words = (
        f"the judge's scores times {tuned.scale:.3g}, which is from the same rows, so this holds "
        "for one look at a size fixed beforehand"
    )
    return _with(found, Beside("PPI++", tuned.effect, Looks.ONE, words))


def _quantiles(
    probability: float, control: Arm, treatment: Arm, setting: Setting
) -> Estimate | CannotSay:
    one, two = control.first(), treatment.first()
    sequence = QuantileSequence(probability, setting.alpha)
    effect, evidence = sequence.difference(two, one), sequence.evidence_of_difference(two, one)
    if isinstance(effect, CannotSay):
        return effect
    half = QuantileSequence(probability, setting.alpha / 2.0)
    below, above = half.interval(one), half.interval(two)
    assert not isinstance(below, CannotSay) and not isinstance(above, CannotSay)  # as in effect
    relative = None
    if below.low > 0.0:
        nothing = -1.0 if float(two.min()) >= 0.0 else -math.inf  # less than none there is not
        low = above.low / below.high - 1.0 if above.low > 0.0 else nothing
        told = above.estimate / below.estimate - 1.0
        relative = Interval(told, low, above.high / below.low - 1.0)
    width = effect.high - effect.low
    sd = None
    if math.isfinite(width) and width > 0.0:
        reach = power.Comparison(setting.alpha, sequential=True)
        errors = reach.reach * math.sqrt(1.0 / len(one) + 1.0 / len(two))
        sd = width / 2.0 / errors
    rows = len(control.units) + len(treatment.units) - len(one) - len(two)
    notes = (
        f"of each unit the first measured row: {rows} others are not used, because rows of one "
        "unit are not independent",
    )
    return Estimate(
        below.estimate, above.estimate, effect, relative, evidence.log_e, evidence.p_value,
        Looks.ANY, sd, notes=notes,
    )  # fmt: skip


def _with(found: Estimate, aside: Beside | None = None, note: str | None = None) -> Estimate:
    beside = (*found.beside, *([aside] if aside else []))
    return replace(found, beside=beside, notes=(*found.notes, *([note] if note else [])))
