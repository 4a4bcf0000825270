"""What must not get worse while traffic is experimented with: verdicts, and when harm began."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from experiments.arms import Arm, Exposure, arm_of, expose
from experiments.design import Action, Experiment, Guardrail
from experiments.errors import CannotSay, ExperimentError
from experiments.metrics import METRICS, Direction, Frame, Kind, Values
from experiments.plain import plain
from experiments.statistics.evidence import Evidence
from experiments.statistics.fixed_horizon import Sums
from experiments.statistics.mean_sequences import BURN_IN, AsymptoticSequence, Side
from experiments.statistics.moments import Moments
from experiments.statistics.quantiles import QuantileSequence
from experiments.statistics.rate_watch import RateWatch as RateWatch
from experiments.switchback import MICRO, Pairs, pair_up

PLACES = 64  # at which an onset is looked for, where it is not known to the failure
BEST_AT = 1_000.0  # units at which a mean's sequence is narrowest: harm is to be seen early


class Status(StrEnum):
    """What a guardrail says."""

    OK = "ok"
    NOT_ENOUGH = "not enough data yet"
    BREACHED = "breached"
    WOULD_HAVE = "would have acted"  # breached, in a dry run


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guardrail says of a treatment, and by what.

    ``log_e``: the evidence of harm beyond the tolerance, None where nothing can be said yet; it
    is breached at an e-value of ``threshold``. ``units``: measured, of control and treatment.
    ``effect``: treatment over control, less 1, None where the control has nothing to divide by;
    of a rate it is that of units that failed. ``limit``: the effect that is just tolerated.
    """

    metric: str
    treatment: str
    status: Status
    action: Action
    log_e: float | None
    units: tuple[int, int]
    effect: float | None
    limit: float
    threshold: float
    words: str

    @property
    def e_value(self) -> float | None:
        """The evidence as an e-value, None where there is none yet."""
        return None if self.log_e is None else Evidence(self.log_e).e_value

    @property
    def breached(self) -> bool:
        """Whether it was, a dry run or not."""
        return self.status in (Status.BREACHED, Status.WOULD_HAVE)

    def to_dict(self) -> dict[str, Any]:
        """In plain form for JSON."""
        return {**plain(self), "e_value": plain(self.e_value)}


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


def watches(experiment: Experiment) -> dict[tuple[str, str], RateWatch]:
    """A watch for every metric and treatment of which failures alone tell, to be fed by hand."""
    if experiment.blocks is not None:
        return {}
    return {
        (each.metric, treatment.name): RateWatch(alpha_each(experiment), each.tolerance)
        for each in experiment.guardrails
        if failure_of(each) is not None
        for treatment in experiment.treatments
    }


def judge(experiment: Experiment, frame: Frame) -> list[Verdict]:
    """A verdict for each guardrail and treatment, at any look.

    One-sided, each at ``alpha_each``. Rates by the units that failed, a unit once, as in the
    watch of the same metric: there an alarm stays. Means and ratios by the one-sided sequence
    over units, the control's scaled by the tolerance; quantiles by each unit's first row, scaled
    alike. Blocks by the pairs in which the treatment's block was the worse one: under no harm
    that is a fair coin.
    """
    exposure = expose(experiment, frame)
    return [
        _verdict(_Case(experiment, exposure, each, place))
        for each in experiment.guardrails
        for place in range(1, len(experiment.variants))
    ]


def onset(experiment: Experiment, frame: Frame, verdict: Verdict) -> int | None:
    """When the harm of a breached guardrail began (microseconds since 1970), an estimate.

    The start since which the rows speak most for harm (Page, Biometrika 1954): for failures and
    blocks exactly that failure after which the evidence only had to grow, for others the best of
    ``PLACES`` rows. Rather early than late for failures: nothing spoke of harm until then. None
    where nothing is breached.
    """
    if not verdict.breached:
        return None
    names = [each.name for each in experiment.variants]
    asked = next((each for each in experiment.guardrails if each.metric == verdict.metric), None)
    if asked is None or verdict.treatment not in names:
        raise ExperimentError(
            f"{verdict.metric} against {verdict.treatment} is no guardrail of {experiment.slug}: "
            "give a verdict of the same experiment"
        )
    exposure = expose(experiment, frame)
    case = _Case(experiment, exposure, asked, names.index(verdict.treatment))
    if experiment.blocks is not None or failure_of(asked) is not None:
        return case.watched().onset_us
    control, treatment = case.arms()
    starts = np.unique(np.linspace(0, len(exposure), PLACES, endpoint=False).astype(np.int64))
    told = [case.weigh(control.since(row), treatment.since(row)) for row in starts.tolist()]
    heights = [-math.inf if isinstance(each, CannotSay) else each.log_e for each in told]
    return int(exposure.at_us[starts[int(np.argmax(heights))]])


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
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
        """The evidence of harm, of means, ratios and quantiles."""
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
        sums = self._capped((control.sums(), treatment.sums()), row.kind)
        if any(float(each.denominator.mean()) <= 0.0 for each in sums):
            return CannotSay("an arm has nothing yet to divide by")
        one_m, two_m = (each.linearised() for each in sums)
        factor = self.factor if one_m.mean >= 0.0 else 2.0 - self.factor
        limit = Moments(one_m.count, factor * one_m.mean, factor**2 * one_m.squares)
        return sequence.evidence_of_difference(two_m, limit)

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


@dataclass(frozen=True, slots=True)
class _Told:
    """What a case comes to; ``by``: what was counted, in words."""

    evidence: Evidence | CannotSay
    units: tuple[int, int]
    effect: float | None
    by: str


def _told(case: _Case) -> _Told:
    guardrail = case.guardrail
    if case.experiment.blocks is not None:
        found = case.pairs()
        count = len(found.differences)
        by = f"{count} pairs of blocks"
        return _Told(
            _alarm(case, count, "pairs of blocks"),
            (count, count),
            _relative(found.control, found.treatment) if count else None,
            by,
        )
    if failure_of(guardrail) is not None:
        one, two = case.arms(whole=True)
        units = (one.number, two.number)
        failed = case.watched().failures
        shares = [f / n if n else 0.0 for f, n in zip(failed, units, strict=True)]
        by = f"{failed[1]} of {units[1]} units against {failed[0]} of {units[0]}"
        alarm = _alarm(case, units[1], "units of the treatment")
        return _Told(alarm, units, _relative(shares[0], shares[1]) if units[1] else None, by)
    one, two = case.arms()
    units = (one.number, two.number)
    by = f"{units[1]} units against {units[0]}"
    return _Told(case.weigh(one, two), units, _effect(case, one, two), by)


def _alarm(case: _Case, count: int, of: str) -> Evidence | CannotSay:
    """Of a watch that was breached the greatest evidence, otherwise that of now."""
    least = case.guardrail.least
    if count < least:
        return CannotSay(f"{least} {of} are needed, there are {count}")
    watch = case.watched()
    return Evidence(watch.peak) if watch.breached else watch.evidence


def _effect(case: _Case, control: Arm, treatment: Arm) -> float | None:
    if not control.number or not treatment.number:
        return None
    level = METRICS[case.guardrail.metric].level
    if level is not None:
        firsts = (np.quantile(arm.first(), level, method="inverted_cdf")
                  for arm in (control, treatment))  # fmt: skip
        one, two = (float(each) for each in firsts)
        return _relative(one, two)
    below = [float(arm.per.sum()) for arm in (control, treatment)]
    if min(below) <= 0.0:
        return None
    return _relative(
        float(control.values.sum()) / below[0], float(treatment.values.sum()) / below[1]
    )


def _relative(control: float, treatment: float) -> float | None:
    return (treatment - control) / abs(control) if control else None


def _verdict(case: _Case) -> Verdict:
    told, guardrail, experiment = _told(case), case.guardrail, case.experiment
    evidence, alpha = told.evidence, alpha_each(experiment)
    if isinstance(evidence, CannotSay):
        status, log_e = Status.NOT_ENOUGH, None
    else:
        harmful = Status.WOULD_HAVE if guardrail.dry_run else Status.BREACHED
        status = harmful if evidence.rejects(alpha) else Status.OK
        log_e = evidence.log_e
    name, limit = experiment.variants[case.place].name, case.factor - 1.0
    shown = "" if told.effect is None else f", {told.effect:+.1%} where {limit:+.1%} is tolerated"
    subject = f"{guardrail.metric} of {name}: "
    if isinstance(evidence, CannotSay):
        words = f"{subject}{status}: {evidence}"
    else:
        said = str(status)
        if status is Status.BREACHED:
            said = f"breached, {guardrail.action}"
        if status is Status.WOULD_HAVE:
            said = f"breached, a dry run would have said: {guardrail.action}"
        words = (
            f"{subject}{said}: {told.by}{shown}; "
            f"evidence {_amount(evidence)}, breached at {1.0 / alpha:.4g}"
        )
    return Verdict(
        guardrail.metric, name, status, guardrail.action, log_e, told.units, told.effect, limit,
        1.0 / alpha, words,
    )  # fmt: skip


def _amount(evidence: Evidence) -> str:
    return f"{evidence.e_value:.3g}" if evidence.log_e < 700.0 else f"e^{evidence.log_e:.0f}"
