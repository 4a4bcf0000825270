"""What must not get worse while traffic is experimented with: verdicts, and when harm began."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from experiments.arms import Arm, expose
from experiments.design import Action, Experiment
from experiments.errors import CannotSay, ExperimentError
from experiments.harm import Case
from experiments.harm import alpha_each as alpha_each
from experiments.harm import failure_of as failure_of
from experiments.harm import share_against_control as share_against_control
from experiments.metrics import METRICS, Frame, Kind
from experiments.plain import plain
from experiments.statistics.evidence import Evidence
from experiments.statistics.rate_watch import RateWatch as RateWatch

PLACES = 64  # at which an onset is looked for, where it is not known to the failure


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
    watch of the same metric: there an alarm stays. Means, judged ones too, and ratios by the
    one-sided sequence over units, the control's scaled by the tolerance; quantiles by each unit's
    first row, scaled alike. Blocks by the pairs in which the treatment's block was the worse one:
    under no harm that is a fair coin.
    """
    exposure = expose(experiment, frame)
    return [
        _verdict(Case(experiment, exposure, each, place))
        for each in experiment.guardrails
        for place in range(1, len(experiment.variants))
    ]


def onset(experiment: Experiment, frame: Frame, verdict: Verdict) -> int | None:
    """When the harm of a breached guardrail began (microseconds since 1970), an estimate.

    The start since which the rows speak most for harm (Page, Biometrika 1954): for failures and
    blocks exactly that failure after which the evidence only had to grow, which is rather early
    than late: nothing spoke of harm until then. For others the best of ``PLACES`` rows. None
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
    case = Case(experiment, exposure, asked, names.index(verdict.treatment))
    if experiment.blocks is not None or failure_of(asked) is not None:
        return case.watched().onset_us
    control, treatment = case.arms_that_count()
    starts = np.unique(np.linspace(0, len(exposure), PLACES, endpoint=False).astype(np.int64))
    heights = [case.distance(control.since(row), treatment.since(row)) for row in starts.tolist()]
    return int(exposure.at_us[starts[int(np.argmax(heights))]])


@dataclass(frozen=True, slots=True)
class _Told:
    """What a case comes to; ``by``: what was counted, in words."""

    evidence: Evidence | CannotSay
    units: tuple[int, int]
    effect: float | None
    by: str


def _told(case: Case) -> _Told:
    guardrail = case.guardrail
    if case.experiment.blocks is not None:
        found = case.pairs()
        count = len(found.differences)
        by = f"{count} pairs of blocks"
        return _Told(
            _alarm(case, case.watched(), count, "pairs of blocks"),
            (count, count),
            _relative(found.control, found.treatment) if count else None,
            by,
        )
    if failure_of(guardrail) is not None:
        one, two = case.arms(whole=True)
        units = (one.number, two.number)
        watch = case.watched()
        failed = watch.failures
        shares = [f / n if n else 0.0 for f, n in zip(failed, units, strict=True)]
        by = f"{failed[1]} of {units[1]} units against {failed[0]} of {units[0]}"
        alarm = _alarm(case, watch, units[1], "units of the treatment")
        return _Told(alarm, units, _relative(shares[0], shares[1]) if units[1] else None, by)
    one, two = case.arms()
    units = (one.number, two.number)
    by = f"{units[1]} units against {units[0]}"
    return _Told(case.weigh(one, two), units, _effect(case, one, two), by)


def _alarm(case: Case, watch: RateWatch, count: int, of: str) -> Evidence | CannotSay:
    """Of a watch that was breached the greatest evidence, otherwise that of now."""
    least = case.guardrail.least
    if count < least:
        return CannotSay(f"{least} {of} are needed, there are {count}")
    return Evidence(watch.peak) if watch.breached else watch.evidence


def _effect(case: Case, control: Arm, treatment: Arm) -> float | None:
    if not control.number or not treatment.number:
        return None
    level = METRICS[case.guardrail.metric].level
    if level is not None:
        firsts = (np.quantile(arm.first(), level, method="inverted_cdf")
                  for arm in (control, treatment))  # fmt: skip
        one, two = (float(each) for each in firsts)
        return _relative(one, two)
    if METRICS[case.guardrail.metric].kind is Kind.JUDGED:
        corrected = [arm.judged().mean() for arm in (control, treatment)]
        if corrected[0] is None or corrected[1] is None:
            return None
        return _relative(corrected[0], corrected[1])
    below = [float(arm.per.sum()) for arm in (control, treatment)]
    if min(below) <= 0.0:
        return None
    return _relative(
        float(control.values.sum()) / below[0], float(treatment.values.sum()) / below[1]
    )


def _relative(control: float, treatment: float) -> float | None:
    return (treatment - control) / abs(control) if control else None


def _verdict(case: Case) -> Verdict:
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
