"""What to do with an experiment, why, and what would change that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from experiments.design import Action, Experiment
from experiments.findings import Compared, Finding
from experiments.guardrails import Status, Verdict
from experiments.metrics import Role


class Recommendation(StrEnum):
    """What to do."""

    SHIP = "ship"
    KEEP_ON = "keep on"
    STOP = "stop"
    CANNOT_SAY = "cannot say"
    ROLL_BACK = "roll back"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, with which variant (that to ship, or the harmful one), why, and what would
    change it.
    """

    recommendation: Recommendation
    variant: str | None
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]


def advise(
    experiment: Experiment,
    invalid: Sequence[str],
    comparisons: Sequence[Compared],
    verdicts: Sequence[Verdict],
) -> Advice:
    """By the first goal, unless another goal, a guardrail or the data forbid it.

    Harm is answered before gain: a breached guardrail that rolls back decides whatever the goals
    say. A guardrail that holds, and one that has too few data, keep a variant from being shipped;
    one that warns, and a dry run, are told and change nothing.
    """
    if invalid:
        mend = "find what broke the assignment, and start a new version: these data stay invalid"
        return Advice(Recommendation.INVALID, None, tuple(invalid), (mend,))
    rolled = [
        each
        for each in verdicts
        if each.status is Status.BREACHED and each.action is Action.ROLL_BACK
    ]
    told = tuple(each.words for each in verdicts if each.breached)
    if rolled:
        mend = "nothing in these data: an alarm stays; a new version with another treatment"
        return Advice(Recommendation.ROLL_BACK, rolled[0].treatment, told, (mend,))
    sides = [_side(experiment, each.name, comparisons, verdicts) for each in experiment.treatments]
    shipped = [each for each in sides if each.advice is Recommendation.SHIP]
    if shipped:
        best = max(shipped, key=lambda each: each.gain)
        return Advice(Recommendation.SHIP, best.name, (*best.reasons, *told), best.would_change)
    for wanted in (Recommendation.ROLL_BACK, Recommendation.KEEP_ON, Recommendation.CANNOT_SAY):
        found = [each for each in sides if each.advice is wanted]
        if found:
            break
    else:
        wanted, found = Recommendation.STOP, sides
    variant = found[0].name if wanted is Recommendation.ROLL_BACK else None
    reasons = tuple(reason for each in found for reason in each.reasons)
    mends = tuple(dict.fromkeys(mend for each in found for mend in each.would_change))
    return Advice(wanted, variant, (*reasons, *told), mends)


@dataclass(frozen=True, slots=True)
class _Side:
    """What speaks for and against one treatment; ``gain``: in the first goal, relative."""

    name: str
    advice: Recommendation
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    gain: float = 0.0


def _side(
    experiment: Experiment, name: str, comparisons: Sequence[Compared], verdicts: Sequence[Verdict]
) -> _Side:
    goals = [each for each in comparisons if each.treatment == name and each.role is Role.GOAL]
    first, watched = goals[0], [each for each in verdicts if each.treatment == name]
    worse = [each for each in goals if each.finding is Finding.WORSE]
    reasons = tuple(each.words for each in goals)
    if first.finding is Finding.WORSE:
        back = Recommendation.ROLL_BACK if experiment.reverse else Recommendation.STOP
        mend = "only another treatment: this one is worse where it was to be better"
        return _Side(name, back, reasons, (mend,))
    if worse:
        mend = "people who weigh the goals against each other"
        said = f"{', '.join(each.metric for each in worse)} of {name} is worse"
        if first.finding is Finding.BETTER:
            said = f"the goals disagree: {said}, {first.metric} is better"
            return _Side(name, Recommendation.CANNOT_SAY, (said, *reasons), (mend,))
        return _Side(name, Recommendation.STOP, (said, *reasons), (mend,))
    if first.finding is Finding.BETTER:
        return _better(name, first, reasons, watched)
    return _undecided(experiment, name, first, reasons)


def _better(
    name: str, first: Compared, reasons: tuple[str, ...], watched: Sequence[Verdict]
) -> _Side:
    held = [each for each in watched
            if each.status is Status.BREACHED and each.action is Action.HOLD]  # fmt: skip
    if held:
        told = (f"hold {name} where it is: {held[0].words}", *reasons)
        mend = f"people who decide that {held[0].metric} may be so"
        return _Side(name, Recommendation.KEEP_ON, told, (mend,))
    waiting = [each for each in watched
               if each.status is Status.NOT_ENOUGH and each.action is not Action.WARN]  # fmt: skip
    if waiting:
        told = (*reasons, *(each.words for each in waiting))
        mend = f"units enough for {', '.join(each.metric for each in waiting)}"
        return _Side(name, Recommendation.KEEP_ON, told, (mend,))
    calm = tuple(each.words for each in watched)
    mends = tuple(
        f"{each.metric} of {name}, breached at an e-value of {each.threshold:.4g} "
        f"({_e_value(each)} now)"
        for each in watched
    )
    changed = mends or ("nothing that is watched: the experiment has no guardrail",)
    gap = first.relative or first.effect
    assert gap is not None  # it was found better
    gain = gap.estimate * first.better.sign
    said = "if the length was fixed beforehand and has been reached"
    once = () if first.log_e is not None else (said,)
    return _Side(name, Recommendation.SHIP, (*reasons, *calm, *once), changed, gain)


def _undecided(
    experiment: Experiment, name: str, first: Compared, reasons: tuple[str, ...]
) -> _Side:
    matters = experiment.smallest_effect
    if first.finding is Finding.NO_DIFFERENCE:
        gap = first.relative
        if gap is not None and max(abs(gap.low), abs(gap.high)) < matters:
            told = f"no effect of {matters:.1%} that would matter: it lies within that"
            return _Side(name, Recommendation.STOP, (told, *reasons),
                         ("a smaller effect that matters, in a new version",))  # fmt: skip
        if first.days == 0.0:
            told = f"an effect of {matters:.1%} would most likely have been seen by now"
            return _Side(name, Recommendation.STOP, (told, *reasons),
                         ("a smaller effect that matters, in a new version",))  # fmt: skip
    if min(first.counts.units) == 0:
        mend = f"units of both arms with {first.metric}: traffic, exposure, or ratings"
        return _Side(name, Recommendation.CANNOT_SAY, reasons, (mend,))
    if first.days is None:
        mend = "more units; how many cannot be said yet"
        return _Side(name, Recommendation.KEEP_ON, reasons, (mend,))
    mend = f"more units: about {first.days:.1f} days of them for an effect of {matters:.1%}"
    return _Side(name, Recommendation.KEEP_ON, reasons, (mend,))


def _e_value(verdict: Verdict) -> str:
    value = verdict.e_value
    return "none yet" if value is None else f"{value:.3g}"
