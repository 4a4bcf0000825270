"""May a policy be tried: its value on logged decisions by every metric, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.errors import CannotSay
from experiments.metrics import metric
from experiments.offline.log_replay import Replayed
from experiments.statistics.adaptive import LoggedDecisions, running_predictions
from experiments.statistics.comparison import (
    Comparison,
    Footing,
    compare,
    footing,
    foreseen,
)
from experiments.statistics.inputs import Floats
from experiments.statistics.moments import Interval
from experiments.statistics.off_policy import LIMITS, Estimator, Limits, PolicyValue

REWARD, SUCCESS, COST, QUALITY = "reward", "success_rate", "cost_per_request", "quality"
REPORTED = (REWARD, SUCCESS, COST, QUALITY)
NOT_RATED = "not rated"
SURE = 1e-3  # no answer is expected to come, or to fail, more surely than this allows
UNKNOWN = 0.5  # expected of an arm that the policy does not know


@dataclass(frozen=True, slots=True)
class Question:
    """``days``: how long the log is that was read; ``cost_cap_usd``: what counts as the greatest
    price of a request, declared beforehand (dearer ones count as that; 0: cost is not reported).
    """

    days: float
    cost_cap_usd: float
    limits: Limits = LIMITS


@dataclass(frozen=True, slots=True)
class Verdict:
    """``metric``: the one that decided, empty where none could; ``report``: JSON, by metric."""

    passed: bool
    reason: str
    metric: str
    report: Mapping[str, Any]


def judge(replayed: Replayed, question: Question) -> Verdict:
    """Every metric's figures, and whether the policy may be tried.

    It may where its reward can be said and is not shown to be worse than the logged policy's, nor
    its success rate; only where nobody rates at all does the success rate decide alone.
    """
    whole = footing(replayed.drawn, replayed.propensities, replayed.target)
    report: dict[str, Any] = {"footing": _footing(whole, replayed.names), "metrics": {}}
    found: dict[str, _Standing] = {}
    for slug in REPORTED:
        if slug == COST and question.cost_cap_usd <= 0.0:
            report["metrics"][slug] = {"refused": "no deployment has a price"}
            continue
        unit = question.cost_cap_usd if slug == COST else 1.0
        measured = _measured(replayed, slug, unit)
        if measured is None:
            report["metrics"][slug] = {"rows": 0, "refused": "no row has a value"}
            continue
        log, target, clipped = measured
        base = footing(log.drawn, log.propensities, target)
        found[slug] = _Standing(base, compare(log, target, question.limits))
        report["metrics"][slug] = {
            **_footing(base, replayed.names),
            "left_out": _lacking(slug, len(replayed), len(log)),
            "clipped_rows": clipped,
            "better": metric(slug).direction,
            "logged_mean": float(log.rewards.mean()) * unit,
            **_figures(found[slug].said, unit),
        }
    passed, reason, decided = _decided(whole, found, replayed, question)
    return Verdict(passed, reason, decided, report)


# the decision ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Standing:
    """A metric: what it rests on, and what is said of it."""

    footing: Footing
    said: Comparison | CannotSay


NO_ROWS = _Standing(Footing(0, 0.0, 0.0, 0, {}), CannotSay("there are no rows"))


def _decided(
    whole: Footing, found: Mapping[str, _Standing], replayed: Replayed, question: Question
) -> tuple[bool, str, str]:
    if not whole.rows:
        told = ", ".join(f"{count} {why}" for why, count in replayed.left_out.items())
        return False, f"no decision can be used ({told or 'none was logged'})", ""
    if whole.unsupported_rows:
        return False, _unsupported(whole, replayed.names), ""
    success, rated = found.get(SUCCESS, NO_ROWS), found.get(REWARD, NO_ROWS)
    if isinstance(success.said, CannotSay):
        return False, missing(success.footing, question, "decisions"), ""
    judged, note = {SUCCESS: success.said}, ""
    if isinstance(rated.said, CannotSay):
        lacking = missing(rated.footing, question, "rated answers")
        if rated.footing.rows:
            return False, lacking, ""
        note = f"; reward is not judged: {lacking}"
    else:
        judged = {REWARD: rated.said} | judged
    for slug, said in judged.items():
        difference = said.difference_at_any_look
        if isinstance(difference, Interval) and difference.high < 0.0:
            return False, f"it is shown to be worse: {_signed(slug, difference)}{note}", slug
    told = ", ".join(_signed(slug, said.difference_at_any_look) for slug, said in judged.items())
    return True, f"it is not shown to be worse: {told}{note}", next(iter(judged))


def missing(found: Footing, question: Question, rows: str) -> str:
    """What an estimate lacks, in numbers, and what would mend it."""
    limits = question.limits
    nearer = "a policy nearer to the live one"
    if not found.rows:
        return f"there are no {rows}"
    if found.ess < limits.least_ess:
        said = f"an effective sample of {found.ess:.0f} of the {limits.least_ess:.0f} needed, from "
        said += f"{found.rows} {rows}"
        days = _days(found, question)
        if found.ess_share < limits.least_ess_share or days is None:
            return f"{said}: {nearer} is needed, or more exploration by the live one"
        return f"{said}: about {_of_days(days)} at today's traffic, or {nearer}"
    if found.ess_share < limits.least_ess_share:
        return (
            f"an effective sample of {found.ess:.0f}, which is {found.ess_share:.1%} of "
            f"{found.rows} {rows} where {limits.least_ess_share:.0%} is needed: more days do not "
            f"mend that, {nearer} does, or more exploration by the live one"
        )
    return (
        f"one of {found.rows} {rows} weighs {found.greatest_weight:.4g} where at most "
        f"{limits.greatest_weight:g} is allowed: {nearer} is needed, or a greater floor of the "
        "live one"
    )


def _days(found: Footing, question: Question) -> float | None:
    """Days until the effective sample is there, if it grows as it has."""
    if found.ess <= 0.0 or question.days <= 0.0:
        return None
    return question.days * (question.limits.least_ess / found.ess - 1.0)


def _of_days(days: float) -> str:
    if days < 2.0 / 24.0:
        return f"{max(1, math.ceil(days * 1440.0))} more minutes"
    if days < 2.0:
        return f"{math.ceil(days * 24.0)} more hours"
    return f"{math.ceil(days)} more days"


def _unsupported(found: Footing, names: tuple[str, ...]) -> str:
    by_most = sorted(found.unsupported.items(), key=lambda each: -each[1])
    told = ", ".join(f"{names[arm]} ({rows} rows)" for arm, rows in by_most)
    return (
        f"in {found.unsupported_rows} of {found.rows} rows it asks for a deployment that had no "
        f"chance: {told}; let the live policy try it there first, or ask for a policy that does not"
    )


def _signed(slug: str, said: Interval | CannotSay) -> str:
    if isinstance(said, CannotSay):
        return f"{slug} ({said})"
    return f"{slug} {said.estimate:+.4f} [{said.low:+.4f}, {said.high:+.4f}]"


# the figures -----------------------------------------------------------------------------------


def _measured(
    replayed: Replayed, slug: str, unit: float
) -> tuple[LoggedDecisions, Floats, int] | None:
    """The rows that have the metric, scaled to [0, 1], with predictions; the target's
    probabilities; and how many values were cut to the cap.
    """
    measured = metric(slug).measure(replayed.shown)
    values, rows = measured.values, measured.rows
    if slug == REWARD:  # failures are told at once, ratings seldom: together they would mislead
        rated = np.isfinite(replayed.shown["quality"][rows])
        values, rows = values[rated], rows[rated]
    if slug == COST:
        values = values / 1e6
    if len(rows) < 2:
        return None
    scaled = np.clip(values / unit, 0.0, 1.0)
    drawn, e = replayed.drawn[rows], replayed.propensities[rows]
    zeros = np.zeros_like(e)
    log = LoggedDecisions(drawn, e, scaled, zeros)
    scores = _expected(replayed, slug, unit)[rows]
    running = running_predictions(drawn, scaled, len(replayed.names))
    log = replace(log, predictions=foreseen(log, (scores, running)))
    return log, replayed.target[rows], int((values > unit).sum())


def _expected(replayed: Replayed, slug: str, unit: float) -> Floats:
    """The metric's values [n, K] that the policy expected, on [0, 1]."""
    r = replayed
    if slug == SUCCESS:
        expected = np.clip(1.0 - r.error_rate, SURE, 1.0 - SURE)
    elif slug == COST:
        expected = r.cost_usd / unit
    elif slug == QUALITY:
        expected = r.quality
    else:
        lost = r.cost_usd * r.per_usd[:, None] + r.latency_s * r.per_second[:, None]
        expected = r.quality - lost
    told: Floats = np.clip(np.nan_to_num(expected, nan=UNKNOWN, posinf=1.0, neginf=0.0), 0.0, 1.0)
    return told


def _lacking(slug: str, whole: int, rows: int) -> dict[str, int]:
    why = NOT_RATED if slug in (REWARD, QUALITY) else "without a value"
    return {why: whole - rows} if whole > rows else {}


def _footing(found: Footing, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "ess": found.ess,
        "ess_share": found.ess_share,
        "greatest_weight": found.greatest_weight,
        "unsupported_rows": found.unsupported_rows,
        "unsupported": {names[arm]: rows for arm, rows in found.unsupported.items()},
    }


def _figures(found: Comparison | CannotSay, unit: float) -> dict[str, Any]:
    if isinstance(found, CannotSay):
        return {"refused": str(found)}
    return {
        "logged": _said(found.logged, unit),
        "estimates": {each.value: _value(found.values[each], unit) for each in Estimator},
        "at_any_look": _said(found.at_any_look, unit),
        "certified": _said(found.certified, unit),
        "difference": _said(found.difference, unit),
        "difference_at_any_look": _said(found.difference_at_any_look, unit),
    }


def _value(found: PolicyValue | CannotSay, unit: float) -> dict[str, Any]:
    if isinstance(found, CannotSay):
        return {"refused": str(found)}
    more = {} if found.threshold is None else {"threshold": _finite(found.threshold)}
    return _said(found.mean, unit) | more


def _said(found: Interval | CannotSay, unit: float) -> dict[str, Any]:
    if isinstance(found, CannotSay):
        return {"refused": str(found)}
    return {
        "estimate": found.estimate * unit,
        "low": _finite(found.low * unit),
        "high": _finite(found.high * unit),
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
