"""What moved against the weeks before, and whether that is more than weeks always do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.errors import CannotSay
from experiments.reviewing import ratios
from experiments.reviewing.finding import CONFIDENCE, Finding, Rates, Table, scaled
from experiments.statistics.moments import Interval

Floats = NDArray[np.float64]

WEEK = 7
LEAST_WEEKS = 2  # before the one in question, or nothing is said
UNSETTLED = 0.05  # level at which weeks are taken to differ by more than their days say
LEAST_RATED = 100  # ratings of a slice in the week, before its quality is compared
LEAST_A_DAY = 20.0  # requests of a slice, or its daily rates are noise
MOST_TENANTS = 20


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a day: ``over`` / ``under`` of the sums, or ``over`` itself where under is empty;
    counts and money are compared by their logarithms: what moves them multiplies.
    """

    slug: str
    label: str
    over: str
    under: str = ""
    unit: str = ""

    def of(self, sums: dict[str, Floats]) -> Floats:
        """By day; NaN where there is nothing to divide by."""
        if not self.under:
            return sums[self.over]
        with np.errstate(divide="ignore", invalid="ignore"):
            told: Floats = np.where(
                sums[self.under] > 0, sums[self.over] / sums[self.under], np.nan
            )
        return told


REQUESTS = Measure("requests", "requests", "requests")
SPEND = Measure("spend", "spend", "cost_usd", unit="$")
COST = Measure("cost_per_request", "cost a request", "cost_usd", "requests", "$")
QUALITY = Measure("quality", "rated quality", "quality", "rated")
ERRORS = Measure("error_rate", "share of requests that failed", "failed", "requests", "%")
FALLBACKS = Measure("fallback_rate", "share answered by a fallback", "fallbacks", "requests", "%")
LATENCY = Measure("latency", "mean latency", "latency_s", "requests", "s")
MEASURES = (REQUESTS, SPEND, COST, QUALITY, ERRORS, FALLBACKS, LATENCY)
SUMS = ("requests", "cost_usd", "quality", "rated", "failed", "fallbacks", "latency_s")


@dataclass(frozen=True, slots=True)
class Move:
    """A figure this week, what the weeks before foretold, and their difference.

    ``difference``: in the figure's own unit a day, or of its logarithm (``relative``).
    """

    measure: Measure
    now: float
    before: float
    difference: Interval
    relative: bool
    degrees: float
    log_e: float


def compare_days(now: Floats, before: Floats) -> tuple[Interval, float, float] | CannotSay:
    """The week's mean [7] less the mean of weeks before [B, 7], weekday by weekday; NaN is a day
    without data. The interval (Student's), its degrees of freedom, and the error.

    The error is that of days around their own weekday's mean. Where whole weeks differ by more than
    that says (F test at ``UNSETTLED``), the weeks themselves are the noise: fewer degrees of
    freedom, and wider.
    """
    seen = np.isfinite(before)
    counts = seen.sum(0)
    used = np.isfinite(now) & (counts > 0)
    if not used.any():
        return CannotSay("no weekday was seen both this week and before")
    weeks = int(seen[:, used].any(1).sum())
    if weeks < LEAST_WEEKS:
        return CannotSay(f"{LEAST_WEEKS} weeks before it are needed, there are {weeks}")
    base = np.where(seen, before, 0.0)[:, used]
    means = base.sum(0) / counts[used]
    off = np.where(seen[:, used], base - means, 0.0)
    degrees = float((counts[used] - 1).sum())
    if degrees < 1:
        return CannotSay("each weekday was seen once before: their spread is not known")
    variance, degrees = _noise(off, seen[:, used], degrees)
    gap = float((now[used] - means).mean())
    number = int(used.sum())
    error = math.sqrt(variance * float((1.0 + 1.0 / counts[used]).sum())) / number
    if error <= 0.0:
        return CannotSay("the days before are all alike: their spread is not known")
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, degrees)) * error
    return Interval(gap, gap - reach, gap + reach), degrees, error


def _noise(off: Floats, seen: NDArray[np.bool_], degrees: float) -> tuple[float, float]:
    """The variance of a day around its weekday, and on how many degrees of freedom it rests."""
    total = float((off**2).sum())
    days = seen.sum(1)
    weeks = days > 0
    sums = np.where(seen, off, 0.0).sum(1)[weeks]
    between = float((sums**2 / days[weeks]).sum())
    of_weeks = float(weeks.sum() - 1)
    of_days = degrees - of_weeks
    if of_weeks >= 1 and of_days >= 1 and total > between > 0.0:
        ratio = (between / of_weeks) / ((total - between) / of_days)
        if float(stats.f.sf(ratio, of_weeks, of_days)) < UNSETTLED:
            return between / of_weeks, of_weeks
    return total / degrees, degrees


def moves(
    days: Table, last_day: int, weeks: int = 4
) -> Iterator[tuple[str, str, Move | CannotSay]]:
    """Every figure of every slice: (dimension, name, move). ``days``: sums by day, task,
    deployment and tenant, ``day`` counted from any origin; the week ends with ``last_day``.
    """
    whole = sums_by_day(days, last_day, weeks)
    open_days = whole["requests"] > 0
    for dimension, name, rows in slices(days, last_day):
        sums = whole if rows is None else sums_by_day(days.where(rows), last_day, weeks)
        for measure in _WANTED.get(dimension, MEASURES):
            yield dimension, name, _move(measure, sums, open_days)


def slices(days: Table, last_day: int) -> Iterator[tuple[str, str, NDArray[np.bool_] | None]]:
    """All of it, each task, each deployment, the tenants that spend most, and each deployment
    within each task: there a change of quality is the deployment's own, not of who is drawn.
    """
    yield "", "", None
    pairs = pairs_of(days)
    for pair in np.unique(pairs):
        yield "pair", str(pair), pairs == pair
    current = days["day"] > last_day - WEEK
    for dimension in ("task", "deployment", "tenant"):
        names, place = np.unique(days[dimension].astype(str), return_inverse=True)
        if dimension == "tenant":
            spent = np.bincount(place, weights=days.number("cost_usd") * current)
            order = np.argsort(-spent, kind="stable")[:MOST_TENANTS]
        else:
            order = np.arange(len(names))
        for at in order:
            yield dimension, str(names[at]), place == at


_WANTED = {"tenant": (REQUESTS, SPEND), "pair": (COST, QUALITY)}


def pairs_of(days: Table) -> NDArray[np.str_]:
    """Task and deployment of each row, as people say it."""
    tasks, deployments = (days[name].astype(str) for name in ("task", "deployment"))
    told: NDArray[np.str_] = np.char.add(np.char.add(tasks, " on "), deployments)
    return told


def sums_by_day(days: Table, last_day: int, weeks: int) -> dict[str, Floats]:
    """Each sum as [weeks + 1, 7], the week in question last."""
    number = WEEK * (weeks + 1)
    place = days["day"].astype(np.int64) - (last_day - number + 1)
    kept = (place >= 0) & (place < number)
    return {
        name: np.bincount(
            place[kept], weights=np.nan_to_num(days.number(name)[kept]), minlength=number
        )
        .astype(np.float64)
        .reshape(weeks + 1, WEEK)
        for name in SUMS
    }


def _move(
    measure: Measure, sums: dict[str, Floats], open_days: NDArray[np.bool_]
) -> Move | CannotSay:
    if measure is QUALITY and sums["rated"][-1].sum() < LEAST_RATED:
        rated = int(sums["rated"][-1].sum())
        return CannotSay(f"{LEAST_RATED} ratings are needed in the week, there are {rated}")
    if sums["requests"][-1].sum() < LEAST_A_DAY * WEEK / 2:
        return CannotSay(f"it has fewer than {LEAST_A_DAY:.0f} requests a day")
    daily = np.where(open_days, measure.of(sums), np.nan)
    told = daily[np.isfinite(daily)]
    relative = not measure.under and bool((told > 0).all())
    values = np.log(daily) if relative else daily
    found = compare_days(values[-1], values[:-1])
    if isinstance(found, CannotSay):
        return found
    difference, degrees, error = found
    now = float(np.nanmean(daily[-1]))
    before = now / math.exp(difference.estimate) if relative else now - difference.estimate
    log_e = ratios.two_sided(difference.estimate / error, degrees)
    return Move(measure, now, before, difference, relative, degrees, log_e)


def as_findings(days: Table, last_day: int, rates: Rates, weeks: int = 4) -> list[Finding]:
    """A candidate for every figure that could be compared."""
    told = []
    pairs = pairs_of(days)
    requests = float(sums_by_day(days, last_day, weeks)["requests"][-1].sum())
    for dimension, name, move in moves(days, last_day, weeks):
        if isinstance(move, CannotSay):
            continue
        number = requests
        if dimension:
            named = pairs if dimension == "pair" else days[dimension].astype(str)
            rows = (named == name) & (days["day"] > last_day - WEEK)
            number = float(days.number("requests")[rows].sum())
        told.append(_finding(dimension, name, move, (number, rates), days.sql))
    return told


def _finding(
    dimension: str, name: str, move: Move, at_stake: tuple[float, Rates], sql: str
) -> Finding:
    measure, where = (
        move.measure,
        f"{dimension} {name}".removeprefix("pair ") if dimension else "all traffic",
    )
    slug = "-".join(part for part in ("moved", measure.slug, dimension, name) if part)
    up = "rose" if move.difference.estimate > 0 else "fell"
    change = relative_change(move)
    words = (
        f"{measure.label} of {where} {up} from {figure(measure, move.before)} to "
        f"{figure(measure, move.now)}{'' if measure.under else ' a day'}, "
        f"{change.estimate:+.1%} [{change.low:+.1%} to {change.high:+.1%}] against the same "
        "weekdays of the weeks before"
    )
    proposal = _PROPOSALS.get((measure.slug, up), _PROPOSALS[measure.slug, ""])
    money = _money(move, *at_stake)
    title = f"{measure.label[:1].upper()}{measure.label[1:]} of {where} {up}"
    subject = {"figure": measure.slug, "slice": f"{dimension} {name}".removeprefix("pair ").strip(),
               "change": f"{change.estimate:+.1%}"}  # fmt: skip
    return Finding("moved", slug, title, words, money, move.log_e, sql, proposal, (), subject)


_PROPOSALS = {
    ("requests", ""): "see whether the traffic is wanted; if it stays, renew limits and budgets",
    ("spend", "rose"): "see the decomposition: a mix that moved is the policy's, a dearer call "
    "within a deployment is longer answers or another price",
    ("spend", ""): "nothing to mend; see the decomposition for what carried it",
    ("cost_per_request", "rose"): "see which of mix and price within carried it; try a thriftier "
    "dial where quality did not follow",
    ("cost_per_request", ""): "see that quality did not fall with it",
    ("quality", "fell"): "see the decomposition; where it fell within a deployment, evaluate the "
    "deployment afresh before it gets more",
    ("quality", ""): "nothing to mend",
    ("error_rate", "rose"): "see the deployment's failures and limits; exclude it while they last",
    ("error_rate", ""): "nothing to mend",
    ("fallback_rate", "rose"): "see which deployment is left, and for what failure",
    ("fallback_rate", ""): "nothing to mend",
    ("latency", "rose"): "see the slow hours; hedge, or route the task elsewhere in them",
    ("latency", ""): "nothing to mend",
}  # fmt: skip


def relative_change(move: Move) -> Interval:
    """The change over what was foretold."""
    d = move.difference
    if move.relative:
        ends = [math.expm1(each) for each in (d.estimate, d.low, d.high)]
        return Interval(ends[0], ends[1], ends[2])
    return scaled(d, 1.0 / abs(move.before)) if move.before else Interval(d.estimate, d.low, d.high)


def figure(measure: Measure, value: float) -> str:
    """A figure in its unit."""
    if measure.unit == "$":
        return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.4g}"
    if measure.unit == "%":
        return f"{value:.2%}"
    if measure.unit == "s":
        return f"{value:.2f} s"
    return f"{value:,.0f}" if not measure.under else f"{value:.3f}"


def _money(move: Move, requests: float, rates: Rates) -> Interval | CannotSay:
    measure, d = move.measure, move.difference
    if measure is SPEND:
        if not move.relative:
            return scaled(d, WEEK)
        week = move.now * WEEK
        ends = [week * -math.expm1(-each) for each in (d.estimate, d.low, d.high)]
        return Interval(ends[0], ends[1], ends[2])
    if measure is COST:
        return scaled(d, requests)
    if measure is QUALITY:
        if rates.quality_usd is None:
            return CannotSay("no version says what a point of quality is worth")
        return scaled(d, -requests * rates.quality_usd)
    if measure is LATENCY:
        if rates.second_usd is None:
            return CannotSay("no version says what a second of waiting is worth")
        return scaled(d, requests * rates.second_usd)
    return CannotSay(f"a change of {measure.label} has no price of its own")


def folded(found: list[Finding]) -> list[Finding]:
    """Of moves that stand, slices of a figure that moved as all traffic did are told with it."""
    whole = {each.subject["figure"]: each for each in found if each.subject.get("slice") == ""}
    kept: list[Finding] = []
    likewise: dict[str, list[str]] = {}
    for each in found:
        lead = whole.get(each.subject.get("figure", ""))
        if lead is None or lead is each or lead.title[-4:] != each.title[-4:]:
            kept.append(each)
        else:
            said = f"{each.subject['slice']} ({each.subject['change']})"
            likewise.setdefault(lead.slug, []).append(said)
    return [
        replace(each, words=f"{each.words}. Likewise in {', '.join(likewise[each.slug])}")
        if each.slug in likewise else each
        for each in kept
    ]  # fmt: skip
