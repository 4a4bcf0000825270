"""An experiment's frame to its report: every metric, what may be trusted, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.arms import Exposure, arm_of, expose
from experiments.comparing import ASSUMED, Estimate, Setting, compare, compare_blocks
from experiments.design import Experiment
from experiments.errors import CannotSay, ExperimentError
from experiments.findings import Compared, Counts, Pace, Subject, compared
from experiments.guardrails import Verdict, judge
from experiments.metrics import METRICS, Direction, Frame, Kind, Role, Values
from experiments.plain import plain
from experiments.recommending import Advice, advise
from experiments.responding import Responses, responses
from experiments.slopes import DAYS, LEAST_UNITS, adjustable, at_first
from experiments.statistics import power
from experiments.statistics.evidence import Evidence
from experiments.statistics.multiplicity import OnlineDiscoveries, e_benjamini_hochberg, holm
from experiments.statistics.sample_ratio import ALPHA, sample_ratio
from experiments.switchback import pair_up

CROSSED_MOST = 0.05  # of the units: beyond, those that are left may be others than those drawn
SHARE_ERROR = 1e-6
SMALL_ARM = 0.25  # share below which sums with a heavy tail are warned of
NAMED = 10  # units that crossed, in a report


@dataclass(frozen=True, slots=True)
class Options:
    """How to analyse.

    ``best_at``: the units of both arms at which the sequences are narrowest, planned, never
    chosen from the data: rather too few, since five times as many as that cost 4 % of width, and
    a fifth of it 10 %. ``power`` of the prognosis; ``theta``: by metric the slope of the
    design's covariate, from a period *before* the experiment: only then may the adjusted outcome
    be looked at all along. ``scale``: what a judge's scores are multiplied by, from before as
    well, or 1. ``seed``: of the orders drawn for a switchback of many pairs.
    """

    best_at: float = 2_000.0
    power: float = 0.8
    theta: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ratio:
    """Units found in each variant beside the shares that were meant, and the evidence against
    these at any look; ``alarm``: at 1 / ``ALPHA``.
    """

    found: tuple[int, ...]
    shares: tuple[float, ...]
    log_e: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What an experiment's data say. ``ratio``: None for blocks, which are drawn in pairs.

    ``crossed``: units seen in more than one variant, which are in no estimate, the first few
    ``crossed_names`` of them. ``invalid``: why nothing here may be trusted, empty if it may;
    ``caveats``: what to keep in mind. ``comparisons``: goals first, then guardrails.
    ``responses``: who rated, None where nothing stands on ratings.
    """

    slug: str
    version: int
    alpha: float
    variants: tuple[str, ...]
    rows: int
    first_us: int | None
    last_us: int | None
    ratio: Ratio | None
    responses: Responses | None
    crossed: int
    crossed_names: tuple[str, ...]
    comparisons: tuple[Compared, ...]
    verdicts: tuple[Verdict, ...]
    invalid: tuple[str, ...]
    caveats: tuple[str, ...]
    advice: Advice

    @property
    def valid(self) -> bool:
        """Whether the data are what the design drew."""
        return not self.invalid

    def to_dict(self) -> dict[str, Any]:
        """In plain form for JSON: no NaN and no infinity, None for what has no number."""
        told: dict[str, Any] = plain(self)
        told["valid"] = self.valid
        told["verdicts"] = [each.to_dict() for each in self.verdicts]
        return told


def analyse(experiment: Experiment, frame: Frame, options: Options | None = None) -> Report:
    """The report, at any look (a switchback's: at the end of a length fixed beforehand).

    Units are clusters: rows add up by unit. Variants are drawn by hash whatever a policy learns
    within them, so this compares units that were randomised. Goals share the level over all goals
    and treatments (Holm); guardrails stand each at the experiment's own. Values of units that
    still go on grow with them: a unit's life is taken to be short beside the experiment's.
    """
    asked = options or Options()
    unknown = [name for name in asked.theta if name not in METRICS]
    if unknown:
        raise ExperimentError(f"theta names {', '.join(unknown)}: use {', '.join(METRICS)}")
    if asked.theta and experiment.covariate is None:
        raise ExperimentError("theta is a slope of a covariate: name one in the design")
    if not np.isfinite(list(asked.theta.values())).all():
        raise ExperimentError("theta holds NaN or infinity: give finite slopes")
    if not np.isfinite(asked.scale):
        raise ExperimentError(f"scale is {asked.scale!r}: give a finite number, such as 1")
    exposure = expose(experiment, frame)
    comparisons = _Comparisons(experiment, exposure, asked)
    found = (*comparisons.of_goals(), *comparisons.of_guardrails())
    verdicts = tuple(judge(experiment, frame))
    ratio, told = _ratio(experiment, exposure), responses(experiment, exposure)
    invalid = _invalid(experiment, exposure, ratio)
    return Report(
        experiment.slug,
        experiment.version,
        experiment.alpha,
        tuple(each.name for each in experiment.variants),
        len(exposure),
        exposure.first_us,
        exposure.last_us,
        ratio,
        told,
        len(exposure.crossed),
        exposure.crossed[:NAMED],
        found,
        verdicts,
        invalid,
        (*(told.caveats if told else ()), *_caveats(experiment, exposure, asked)),
        advise(experiment, invalid, found, verdicts),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """An experiment among others: the evidence that its first goal differs in some treatment."""

    slug: str
    version: int
    log_e: float
    discovery: bool  # by e-BH, over all that are given
    online: bool  # by e-LOND, in the order given, as each ended


@dataclass(frozen=True, slots=True)
class Across:
    """Discoveries over experiments; ``next_level``: that of the next one, by e-LOND.

    ``left_out``: reports that are not valid.
    """

    standings: tuple[Standing, ...]
    next_level: float
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """In plain form for JSON."""
        told: dict[str, Any] = plain(self)
        return told


def across(reports: Iterable[Report], alpha: float = 0.05) -> Across:
    """Which experiments found something, the false discovery rate at most ``alpha``.

    In the order in which they ended. An experiment's evidence is the mean of its treatments'
    e-values in the first goal; where there is only a p-value it is 1 / (2 sqrt(p)) (Vovk and Wang,
    Ann. Stat. 2021), and without any 1.
    """
    given = list(reports)
    valid = [each for each in given if each.valid]
    told = [_evidence(each) for each in valid]
    flags = e_benjamini_hochberg(np.array(told), alpha)
    online, standings = OnlineDiscoveries(alpha), []
    for report, log_e, flag in zip(valid, told, flags.tolist(), strict=True):
        rejected, online = online.test(Evidence(log_e))
        standings.append(Standing(report.slug, report.version, log_e, flag, rejected))
    left_out = tuple(each.slug for each in given if not each.valid)
    return Across(tuple(standings), online.next_level, left_out)


def _evidence(report: Report) -> float:
    goal = report.comparisons[0].metric
    first = [each for each in report.comparisons if each.metric == goal]
    told = []
    for each in first:
        calibrated = 0.0
        if each.p_value is not None:
            calibrated = -0.5 * float(np.log(max(each.p_value, 1e-300))) - float(np.log(2.0))
        told.append(calibrated if each.log_e is None else each.log_e)
    return float(np.logaddexp.reduce(told) - np.log(len(told)))


@dataclass(frozen=True, slots=True, eq=False)
class _Comparisons:
    """All comparisons of a report in the making."""

    experiment: Experiment
    exposure: Exposure
    options: Options

    def of_goals(self) -> list[Compared]:
        """Each goal of each treatment, at the level shared by all."""
        experiment = self.experiment
        pairs = [(goal, at) for goal in experiment.goals
                 for at in range(1, len(experiment.variants))]  # fmt: skip
        level = experiment.alpha / len(pairs)
        found = [self._compare(goal, place, level) for goal, place in pairs]
        p_values = [1.0 if isinstance(each, CannotSay) else each.p_value for each, _ in found]
        told = []
        for (goal, place), (estimate, counts), adjusted in zip(
            pairs, found, holm(p_values).tolist(), strict=True
        ):
            better = METRICS[goal].direction
            assert better is not None  # a goal has one
            subject = self._subject(goal, Role.GOAL, place, better, counts)
            pace = self._pace(counts, place, level)
            told.append(compared(subject, estimate, adjusted, experiment.alpha, pace))
        return told

    def of_guardrails(self) -> list[Compared]:
        """Each guardrail's metric of each treatment, each at the experiment's level."""
        told, level = [], self.experiment.alpha
        for each in self.experiment.guardrails:
            for place in range(1, len(self.experiment.variants)):
                found, counts = self._compare(each.metric, place, level)
                p_value = 1.0 if isinstance(found, CannotSay) else found.p_value
                subject = self._subject(each.metric, Role.GUARDRAIL, place, each.better, counts)
                pace = self._pace(counts, place, level)
                told.append(compared(subject, found, p_value, level, pace))
        return told

    def _compare(self, slug: str, place: int, level: float) -> tuple[Estimate | CannotSay, Counts]:
        exposure, blocks = self.exposure, self.experiment.blocks
        measured = METRICS[slug].measure(exposure.frame)
        control, treatment = (arm_of(exposure, measured, at) for at in (0, place))
        rows = (exposure.rows_of(0), exposure.rows_of(place))
        counted = (len(control.rows), len(treatment.rows))
        if blocks is not None:
            kept = exposure.kept[measured.rows]
            at_us, until = exposure.at_us[measured.rows][kept], exposure.last_us or 0
            pairs = pair_up(blocks, at_us, measured.values[kept], measured.per[kept], until)
            rng = np.random.default_rng(self.options.seed)
            number = len(pairs.differences)
            found = compare_blocks(blocks, pairs, rng, level)
            return found, Counts((number, number), rows, counted)
        counts = Counts((control.number, treatment.number), rows, counted)
        theta, scale = self.options.theta.get(slug), self.options.scale
        setting = Setting(level, self.options.best_at, self.experiment.winsorise, theta, scale)
        return compare(METRICS[slug], control, treatment, self._covariate(), setting), counts

    def _covariate(self) -> Values | None:
        name = self.experiment.covariate
        if name is None:
            return None
        if name not in self.exposure.frame:
            raise ExperimentError(f"the frame lacks {name}, the covariate: add the column")
        known = np.asarray(self.exposure.frame[name], dtype=np.float64)
        return at_first(self.exposure.units, known)

    def _subject(
        self, slug: str, role: Role, place: int, better: Direction, counts: Counts
    ) -> Subject:
        return Subject(slug, role, self.experiment.variants[place].name, better, counts)

    def _pace(self, counts: Counts, place: int, level: float) -> Pace:
        experiment, days = self.experiment, self.exposure.days
        control, treatment = experiment.control.share, experiment.variants[place].share
        share = treatment / (control + treatment)
        asked = power.Comparison(level, self.options.power, share, experiment.blocks is None)
        a_day = sum(counts.units) / days if days > 0.0 else 0.0
        return Pace(experiment.smallest_effect, a_day, asked, experiment.blocks)


def _ratio(experiment: Experiment, exposure: Exposure) -> Ratio | None:
    if experiment.blocks is not None:
        return None
    found = tuple(exposure.units_of(at) for at in range(len(experiment.variants)))
    shares = tuple(each.share for each in experiment.variants)
    evidence = sample_ratio(found, np.array(shares) / sum(shares))
    return Ratio(found, shares, evidence.log_e, evidence.rejects(ALPHA))


def _invalid(experiment: Experiment, exposure: Exposure, ratio: Ratio | None) -> tuple[str, ...]:
    told = []
    if ratio is not None and ratio.alarm:
        units = " to ".join(map(str, ratio.found))
        meant = " to ".join(f"{share:g}" for share in ratio.shares)
        told.append(
            f"units stand {units} where {meant} was meant: they were not assigned so, or some "
            "of a variant are lost (evidence e^"
            f"{ratio.log_e:.0f})"
        )
    seen = len(exposure.crossed) + sum(ratio.found if ratio else ())
    if seen and len(exposure.crossed) > CROSSED_MOST * seen:
        told.append(
            f"{len(exposure.crossed)} of {seen} units were seen in more than one variant: those "
            "that are left may be others than those that were drawn"
        )
    off = int((~exposure.kept).sum()) if experiment.blocks is not None else 0
    if off > CROSSED_MOST * max(1, len(exposure)):
        told.append(f"{off} rows had another variant than their block's: the schedule was not kept")
    if "share" in exposure.frame and experiment.blocks is None:
        drawn = np.array([each.share for each in experiment.variants])[exposure.variants]
        share = np.asarray(exposure.frame["share"], dtype=np.float64)
        moved = int((np.abs(share - drawn) > SHARE_ERROR).sum())
        if moved:
            told.append(
                f"{moved} rows were drawn with another share than the design's: a change of "
                "shares is a new version, or time is taken for an effect"
            )
    return tuple(told)


def _caveats(experiment: Experiment, exposure: Exposure, asked: Options) -> tuple[str, ...]:
    told = []
    if exposure.crossed:
        names = ", ".join(exposure.crossed[:NAMED])
        told.append(
            f"{len(exposure.crossed)} units were seen in more than one variant and are left out: "
            f"{names}{' and others' if len(exposure.crossed) > NAMED else ''}"
        )
    watched = (*experiment.goals, *(each.metric for each in experiment.guardrails))
    ratios = [slug for slug in watched if METRICS[slug].kind is Kind.RATIO]
    small = min(each.share for each in experiment.variants) < SMALL_ARM
    if ratios and small and experiment.winsorise is None and experiment.blocks is None:
        told.append(
            f"{', '.join(ratios)}: a few units can carry the sums of a small arm, which alarms "
            "more often than the level says; declare winsorise in the next version"
        )
    judged = [slug for slug in watched if METRICS[slug].kind is Kind.JUDGED]
    if judged:
        told.append(f"{', '.join(judged)}: {ASSUMED}; see the response rates by variant")
    plain = [slug for slug in adjustable(experiment) if slug not in asked.theta]
    if experiment.covariate and plain:
        told.append(
            f"{', '.join(plain)}: not adjusted by {experiment.covariate}, because the {DAYS} days "
            f"before the start have no slope of it: that takes {LEAST_UNITS} units with both"
        )
    if experiment.blocks is not None:
        off = int((~exposure.kept).sum())
        told.append("a switchback is for one look, at a length fixed beforehand")
        if off:
            told.append(f"{off} rows had another variant than their block's, and are left out")
    if len(experiment.goals) * len(experiment.treatments) > 1:
        told.append("goals and treatments share the level: one that is found holds beside the rest")
    return tuple(told)
