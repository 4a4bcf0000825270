"""One guardrail against one treatment: what is compared, and the evidence of harm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from experiments.arms import Arm, Exposure, arm_of
from experiments.design import Experiment, Guardrail
from experiments.errors import CannotSay, ExperimentError
from experiments.metrics import METRICS, Direction, Kind, Values
from experiments.statistics.evidence import Evidence
from experiments.statistics.fixed_horizon import Sums
from experiments.statistics.mean_sequences import BURN_IN, AsymptoticSequence, Side
from experiments.statistics.moments import Moments
from experiments.statistics.quantiles import QuantileSequence
from experiments.statistics.rate_watch import RateWatch
from experiments.switchback import MICRO, Pairs, pair_up

BEST_AT = 1_000.0  # units at which a mean's sequence is narrowest: harm is to be seen early


def alpha_each(experiment: Experiment) -> float:
    """The level of one guardrail against one treatment: the experiment's, divided by how many
    there are of both, so that the chance of any false alarm of all is at most the experiment's.
    """
    return experiment.alpha / max(1, len(experiment.guardrails) * len(experiment.treatments))


def failure_of(guardrail: Guardrail) -> float | None:
    """The value, 0 or 1, at which a row of a rate has failed; None where failures alone do not
    tell: for other kinds, for rates of which neither way is better in itself, and where a share
    of the successes, not of the failures, is tolerated.
    """
    row = METRICS[guardrail.metric]
    if row.kind is not Kind.RATE or row.direction is None:
        return None
    if row.direction is Direction.DOWN:
        return 1.0
    return 0.0 if guardrail.tolerance == 0.0 else None


def share_against_control(
    experiment: Experiment, treatment: str, variant: str, share: float | Values
) -> Values:
    """The chance that a row of either is the treatment's, not the control's.

    ``variant``: the row's, one of the two; ``share``: its P(variant). Of three variants and more
    the others' parts of the rest are those of the design.
    """
    parts = {each.name: each.share for each in experiment.variants}
    control = experiment.control.name
    if treatment not in parts or treatment == control or variant not in (treatment, control):
        raise ExperimentError(
            f"variant is {variant!r} and treatment {treatment!r}: give the control "
            f"{control!r} or the treatment, of {', '.join(parts)}"
        )
    own = np.asarray(share, dtype=np.float64)
    other = control if variant == treatment else treatment
    rest = (1.0 - own) * parts[other] / (1.0 - parts[variant])
    found: Values = (own if variant == treatment else rest) / (own + rest)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One guardrail against one treatment."""

    experiment: Experiment
    exposure: Exposure
    guardrail: Guardrail
    place: int

    @property
    def factor(self) -> float:
        """What the control's values, if above 0, are multiplied by to stand at the limit."""
        return 1.0 - self.guardrail.better.sign * self.guardrail.tolerance

    def arms(self, whole: bool = False) -> tuple[Arm, Arm]:
        """Control and treatment."""
        measured = METRICS[self.guardrail.metric].measure(self.exposure.frame)
        one, two = (arm_of(self.exposure, measured, at, whole) for at in (0, self.place))
        return one, two

    def weigh(self, control: Arm, treatment: Arm) -> Evidence | CannotSay:
        """The evidence of harm, of means (judged ones too), ratios and quantiles."""
        least = self.guardrail.least
        fewest = min(control.number, treatment.number)
        if fewest < least:
            return CannotSay(f"{least} units of each arm are needed, one has {fewest}")
        row = METRICS[self.guardrail.metric]
        alpha, down = alpha_each(self.experiment), self.guardrail.better is Direction.DOWN
        if row.kind is Kind.QUANTILE:
            assert row.level is not None  # a quantile has one
            band = QuantileSequence(row.level, alpha)
            one, two = control.first() * self.factor, treatment.first()
            return band.evidence_of_excess(two, one) if down else band.evidence_of_excess(one, two)
        side = Side.LOW if down else Side.HIGH
        sequence = AsymptoticSequence(alpha, BEST_AT, side, max(least, BURN_IN))
        found = self._moments(control, treatment)
        if isinstance(found, CannotSay):
            return found
        return sequence.evidence_of_difference(found[1], found[0])

    def arms_that_count(self) -> tuple[Arm, Arm]:
        """Arms whose means tell when harm began: of a quantile each unit's first row, 1 where it
        lies beyond the control's quantile at the limit, because means find a change of a shape
        sooner than quantiles do.
        """
        control, treatment = self.arms()
        level = METRICS[self.guardrail.metric].level
        if level is None:
            return control, treatment
        edge = self.factor * float(np.quantile(control.first(), level))
        firsts = [arm.firsts() for arm in (control, treatment)]
        one, two = (Arm(arm.units, (arm.values > edge).astype(np.float64), arm.per, arm.rows)
                    for arm in firsts)  # fmt: skip
        return one, two

    def distance(self, control: Arm, treatment: Arm) -> float:
        """How far beyond the limit the treatment is, in standard errors; its square is what the
        likelihood gains by harm, so the start at which it is greatest is the likeliest.
        """
        if min(control.number, treatment.number) < max(2, self.guardrail.least):
            return -math.inf
        quantile = METRICS[self.guardrail.metric].kind is Kind.QUANTILE
        found = self._moments(control, treatment, 1.0 if quantile else None)
        if isinstance(found, CannotSay):
            return -math.inf
        error = sum(each.variance / each.count for each in found)
        gap = (found[0].mean - found[1].mean) * self.guardrail.better.sign
        return gap / math.sqrt(error) if error > 0.0 else -math.inf

    def _moments(
        self, control: Arm, treatment: Arm, factor: float | None = None
    ) -> tuple[Moments, Moments] | CannotSay:
        """Of the control at its limit, and of the treatment."""
        kind = METRICS[self.guardrail.metric].kind
        if kind is Kind.JUDGED:
            ours, theirs = control.judged().linearised(), treatment.judged().linearised()
            if isinstance(ours, CannotSay):
                return ours
            if isinstance(theirs, CannotSay):
                return theirs
            return self._at_limit(ours, factor), theirs
        sums = self._capped((control.sums(), treatment.sums()), kind)
        if any(float(each.denominator.mean()) <= 0.0 for each in sums):
            return CannotSay("an arm has nothing yet to divide by")
        one, two = (each.linearised() for each in sums)
        return self._at_limit(one, factor), two

    def _at_limit(self, control: Moments, factor: float | None) -> Moments:
        if factor is None:
            factor = self.factor if control.mean >= 0.0 else 2.0 - self.factor
        return Moments(control.count, factor * control.mean, factor**2 * control.squares)

    def _capped(self, sums: tuple[Sums, Sums], kind: Kind) -> tuple[Sums, ...]:
        if self.experiment.winsorise is None or kind is not Kind.RATIO:
            return sums
        both = np.concatenate([each.numerator for each in sums])
        cap = float(np.quantile(both, self.experiment.winsorise))
        return tuple(Sums(np.minimum(each.numerator, cap), each.denominator) for each in sums)

    def watched(self) -> RateWatch:
        """The watch that has seen all failures of both arms, or all pairs of blocks."""
        alpha, tolerance = alpha_each(self.experiment), self.guardrail.tolerance
        if self.experiment.blocks is not None:
            return self._watched_pairs(RateWatch(alpha))
        watch = RateWatch(alpha, tolerance, self.exposure.first_us)
        names = [each.name for each in self.experiment.variants]
        if "share" not in self.exposure.frame:
            raise ExperimentError("the frame lacks share: add P(variant) of each row's variant")
        shares = np.asarray(self.exposure.frame["share"], dtype=np.float64)
        rows, against = [], []
        for arm, place in zip(self.arms(whole=True), (0, self.place), strict=True):
            mine = arm.rows[arm.values == failure_of(self.guardrail)]
            found = (self.experiment, names[self.place], names[place], shares[mine])
            rows.append(mine)
            against.append(share_against_control(*found))
        every, chances = np.concatenate(rows), np.concatenate(against)
        order = np.argsort(every, kind="stable")
        kept, places = every[order], chances[order]
        ours = self.exposure.variants[kept] == self.place
        units = [str(each) for each in self.exposure.units[kept].tolist()]
        watch.replay(places, ours, units, self.exposure.at_us[kept])
        return watch

    def pairs(self) -> Pairs:
        """The whole pairs of blocks that ended by the last row."""
        blocks, exposure = self.experiment.blocks, self.exposure
        assert blocks is not None
        measured = METRICS[self.guardrail.metric].measure(exposure.frame)
        kept = exposure.kept[measured.rows]
        at_us, until = exposure.at_us[measured.rows][kept], exposure.last_us or 0
        return pair_up(blocks, at_us, measured.values[kept], measured.per[kept], until)

    def _watched_pairs(self, watch: RateWatch) -> RateWatch:
        blocks, found = self.experiment.blocks, self.pairs()
        assert blocks is not None
        excess = found.differences + (1.0 - self.factor) * np.abs(found.controls)
        told = excess != 0.0
        worse = excess[told] * self.guardrail.better.sign < 0.0
        numbers = found.numbers[told]
        starts = blocks.start_us + 2 * numbers * blocks.length_s * MICRO
        units = [str(each) for each in numbers.tolist()]
        watch.replay(np.full(len(worse), 0.5), worse, units, starts)
        return watch
