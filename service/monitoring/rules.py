"""The alert rules: what each says of the newest of closed minutes, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from experiments.statistics.share_change import log_evidence
from service.domain.alerts import Severity
from service.domain.minutes import MINUTE_US, Cell, Facts, Minute, Series
from service.plan.alerts import AlertsPlan, BurnLimits

ALL = ""  # the scope of the whole service
DAY_US = 86_400_000_000


class Verdict(Enum):
    """What a rule says of a minute. ``NEAR``: below the threshold and not yet clear of it;
    ``INSUFFICIENT``: too little to say either.
    """

    BREACH = "breach"
    NEAR = "near"
    CLEAN = "clean"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of one scope. ``words``: the figure beside its threshold."""

    scope: str
    verdict: Verdict
    value: float | None = None
    threshold: float | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule looks at: closed minutes, oldest first, the sums of days, and the promise."""

    minutes: tuple[Minute, ...]
    series: Series
    availability: float

    @property
    def newest(self) -> Minute:
        """The minute that has just closed."""
        return self.minutes[-1]


Look = Callable[[Seen, AlertsPlan], list[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. ``row``: breaches in a row that fire it. ``by``: whose name its scopes are.
    ``pages``: a person is called when it stays; ``told``: it tells of itself, at once, by the
    operators' notices, so that an alert of it tells nobody a second time.
    """

    name: str
    meaning: str
    severity: Severity
    look: Look
    row: Callable[[AlertsPlan], int] = lambda plan: 1
    by: str = ""
    pages: bool = False
    told: bool = False

    def enabled(self, plan: AlertsPlan) -> bool:
        """Whether the plan wants it."""
        return bool(getattr(plan, self.name).enabled)


def against(value: float, threshold: float, plan: AlertsPlan) -> Verdict:
    """A figure beside its threshold: beyond it, clear of it, or between."""
    if value > threshold:
        return Verdict.BREACH
    return Verdict.CLEAN if value <= threshold * plan.clear_below else Verdict.NEAR


def cells(minute: Minute) -> Iterable[tuple[str, Cell]]:
    """The whole and each deployment."""
    return ((ALL, minute.total), *minute.deployments.items())


def of(scope: str) -> str:
    """A scope in a sentence."""
    return scope or "all requests"


def latency(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """The 95th percentile of the newest minute."""
    limits, found = plan.latency, []
    for scope, cell in cells(seen.newest):
        if cell.p95_s is None or cell.timed < limits.least:
            found.append(Finding(scope, Verdict.INSUFFICIENT))
            continue
        words = f"p95 of {of(scope)} is {cell.p95_s:.3g} s (limit {limits.p95_s:g} s)"
        verdict = against(cell.p95_s, limits.p95_s, plan)
        found.append(Finding(scope, verdict, cell.p95_s, limits.p95_s, words))
    return found


def errors(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """The share of calls, or requests, that failed by a fault that is not the caller's."""
    limits, found = plan.errors, []
    for scope, cell in cells(seen.newest):
        if cell.judged < limits.least:
            found.append(Finding(scope, Verdict.INSUFFICIENT))
            continue
        share = cell.failed / cell.judged
        most = max(cell.errors, key=lambda kind: cell.errors[kind], default="")
        kind = f", most of them {most}" if most and cell.failed else ""
        words = (
            f"{share:.1%} of {cell.judged} of {of(scope)} failed{kind} (limit {limits.share:.1%})"
        )
        found.append(Finding(scope, against(share, limits.share, plan), share, limits.share, words))
    return found


def fallback_rate(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """The share of requests that another deployment had to answer."""
    limits, total = plan.fallback_rate, seen.newest.total
    if total.calls < limits.least:
        return [Finding(ALL, Verdict.INSUFFICIENT)]
    share = total.fallbacks / total.calls
    words = (
        f"{share:.1%} of {total.calls} requests were not answered by the deployment that was "
        f"chosen (limit {limits.share:.1%})"
    )
    return [Finding(ALL, against(share, limits.share, plan), share, limits.share, words)]


def spend(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """The last hour's spend, and the day's as it would end at that rate."""
    limits, end_us, found = plan.spend, seen.newest.end_us, []
    hour = seen.series.last(end_us, 60).cost_micro_usd / 1e6
    if limits.usd_per_hour is not None:
        words = f"${hour:.4g} were spent in the last hour (limit ${limits.usd_per_hour:g})"
        verdict = against(hour, limits.usd_per_hour, plan)
        found.append(Finding("hour", verdict, hour, limits.usd_per_hour, words))
    if limits.usd_per_day is not None:
        today_us = (end_us - 1) % DAY_US + 1
        spent = seen.series.last(end_us, today_us // MINUTE_US).cost_micro_usd / 1e6
        due = spent + hour * (DAY_US - today_us) / 3_600e6
        words = (
            f"${spent:.4g} were spent today, ${due:.4g} by its end at the last hour's rate "
            f"(limit ${limits.usd_per_day:g})"
        )
        verdict = against(due, limits.usd_per_day, plan)
        found.append(Finding("day", verdict, due, limits.usd_per_day, words))
    return found


def budgets(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Each level of the budgets that have reached any, and their forecasts; of the others nothing
    is said, which is clean.
    """
    found = []
    for each in seen.newest.facts.budgets if seen.newest.facts else ():
        limit, spent = each.budget.limit_micro_usd / 1e6, each.spent_micro_usd / 1e6
        told = f"the budget {each.label} of this {each.budget.period}"
        for level in each.budget.levels:
            words = f"{told} is spent to {each.share:.0%}: ${spent:.6g} of ${limit:.6g}"
            verdict = Verdict.BREACH if each.share >= level else Verdict.CLEAN
            found.append(Finding(f"{each.label} {level:.0%}", verdict, each.share, level, words))
        foretold = each.forecast
        if plan.budgets.forecast and foretold is not None:
            low, due, high = (
                f"${usd / 1e6:.4g}" for usd in (foretold.low, foretold.expected, foretold.high)
            )
            words = f"{told} will not last: {due} by its end ({low} to {high}) of ${limit:.6g}"
            verdict = Verdict.BREACH if each.foretold else Verdict.CLEAN
            value = foretold.expected / 1e6
            found.append(Finding(f"{each.label} forecast", verdict, value, limit, words))
    return found


def drift(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Deployments that are tried anew because their quality changed."""
    facts = seen.newest.facts
    words = "the quality of {} has changed; it is tried more until it is known again"
    return [
        Finding(name, Verdict.BREACH, words=words.format(name))
        if name in facts.exploring
        else Finding(name, Verdict.CLEAN)
        for name in facts.deployments
    ] if facts else []  # fmt: skip


def sample_ratio(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Running experiments whose units are not in the shares that were drawn."""
    facts = seen.newest.facts
    return [
        Finding(name, Verdict.BREACH, words=f"{name} is invalid: {facts.invalid[name]}")
        if name in facts.invalid
        else Finding(name, Verdict.CLEAN)
        for name in facts.experiments
    ] if facts else []  # fmt: skip


def tickets(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """How many tickets wait, and the age of the oldest."""
    facts, limits = seen.newest.facts, plan.tickets
    if facts is None:
        return []
    waiting, oldest = float(facts.queue_waiting), facts.queue_oldest_s
    return [
        Finding("length", against(waiting, limits.waiting, plan), waiting, limits.waiting,
                f"{facts.queue_waiting} tickets wait (limit {limits.waiting})"),
        Finding("age", against(oldest, limits.oldest_s, plan), oldest, limits.oldest_s,
                f"the oldest ticket waits for {oldest:.0f} s (limit {limits.oldest_s:g} s)"),
    ]  # fmt: skip


def reviews(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Reviews that are overdue, and the share of the last hour's requests that were refused."""
    facts, limits, found = seen.newest.facts, plan.reviews, []
    if facts is not None:
        overdue = facts.reviews_overdue
        words = f"{overdue} refused requests wait for a person beyond their time"
        verdict = Verdict.BREACH if overdue >= limits.overdue else Verdict.CLEAN
        found.append(Finding("overdue", verdict, float(overdue), float(limits.overdue), words))
    hour = seen.minutes[-60:]
    calls = sum(each.total.calls for each in hour)
    if calls < limits.least:
        return [*found, Finding("rate", Verdict.INSUFFICIENT)]
    share = sum(each.total.errors.get("policy", 0) for each in hour) / calls
    words = (
        f"{share:.1%} of the last hour's {calls} requests were refused by a content policy "
        f"(limit {limits.share:.1%})"
    )
    rate = Finding("rate", against(share, limits.share, plan), share, limits.share, words)
    return [*found, rate]


def propensities(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """The audit's alarm, until it is acknowledged there."""
    return _alarm(seen.newest.facts, lambda facts: facts.propensities)


def outage(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """No deployment can answer."""
    return _alarm(seen.newest.facts, lambda facts: facts.outage)


def _alarm(facts: Facts | None, words: Callable[[Facts], str]) -> list[Finding]:
    if facts is None:
        return []
    said = words(facts)
    return [Finding(ALL, Verdict.BREACH if said else Verdict.CLEAN, words=said)]


def review_rate(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Today's share of requests whose task was not sure enough, beside that of the days before."""
    limits, facts = plan.review_rate, seen.newest.facts
    if facts is None or facts.unsure is None:
        return []
    before, today = facts.unsure
    if before[1] < limits.least_before or today[1] < limits.least:
        return [Finding(ALL, Verdict.INSUFFICIENT)]
    was, now = before[0] / before[1], today[0] / today[1]
    log_e = log_evidence(before, today)
    left = log_e >= -math.log(limits.alpha) and abs(now - was) >= limits.change
    words = (
        f"the task of {now:.1%} of today's {today[1]} requests is not sure enough, of {was:.1%} in "
        f"the days before (evidence {log_e:.1f}, limit {-math.log(limits.alpha):.1f})"
    )
    verdict = Verdict.BREACH if left else Verdict.CLEAN
    return [Finding(ALL, verdict, now, was, words)]


def uneven_ratings(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Ratings come for one deployment's answers more than for another's."""
    return _alarm(seen.newest.facts, lambda facts: facts.uneven_ratings)


def burn_fast(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """14.4 times too fast in an hour and in five minutes, unless the plan says otherwise."""
    return _burn(seen, plan, plan.burn_fast)


def burn_slow(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Six times too fast in six hours and in half an hour."""
    return _burn(seen, plan, plan.burn_slow)


def burn_long(seen: Seen, plan: AlertsPlan) -> list[Finding]:
    """Faster than it lasts, in three days and in six hours."""
    return _burn(seen, plan, plan.burn_long)


def _burn(seen: Seen, plan: AlertsPlan, limits: BurnLimits) -> list[Finding]:
    """Both windows must burn too fast; it is clear once the short one does not. Nothing is said
    before there is a whole short window, or of fewer requests than ``least``.
    """
    end_us = seen.newest.end_us
    long, short = (
        seen.series.last(end_us, minutes) for minutes in (limits.long_minutes, limits.short_minutes)
    )
    whole = seen.series.reaches(end_us - limits.short_minutes * MINUTE_US)
    if long.answered + long.failed < limits.least or not whole:
        return [Finding(ALL, Verdict.INSUFFICIENT)]
    budget = 1.0 - seen.availability
    rates = [
        each.failed / (each.answered + each.failed) / budget if each.answered + each.failed else 0.0
        for each in (long, short)
    ]
    least = min(rates)
    words = (
        f"the error budget is spent {rates[0]:.3g} times too fast over "
        f"{span(limits.long_minutes)} and {rates[1]:.3g} times over "
        f"{span(limits.short_minutes)} (limit {limits.factor:g})"
    )
    if not short.answered + short.failed:
        return [Finding(ALL, Verdict.INSUFFICIENT)]
    verdict = against(least, limits.factor, plan)
    return [Finding(ALL, verdict, least, limits.factor, words)]


def span(minutes: int) -> str:
    """Minutes in words."""
    for length, word in ((1_440, "d"), (60, "h")):
        if minutes % length == 0:
            return f"{minutes // length} {word}"
    return f"{minutes} min"


_RULES = (
    Rule("latency", "slow answers", Severity.TICKET, latency, lambda p: p.latency.minutes,
         "deployment", pages=True),
    Rule("errors", "failing calls or requests", Severity.TICKET, errors,
         lambda p: p.errors.minutes, "deployment", pages=True),
    Rule("fallback_rate", "many requests fall back", Severity.TICKET, fallback_rate,
         lambda p: p.fallback_rate.minutes, pages=True),
    Rule("spend", "money runs away", Severity.TICKET, spend),
    Rule("budgets", "a budget is used up, or will be", Severity.TICKET, budgets, by="budget"),
    Rule("drift", "a deployment's quality changed", Severity.TICKET, drift, by="deployment"),
    Rule("sample_ratio", "an experiment's units are not what was drawn", Severity.TICKET,
         sample_ratio, by="experiment"),
    Rule("tickets", "the queue grows", Severity.TICKET, tickets, pages=True),
    Rule("reviews", "refusals wait or pile up", Severity.TICKET, reviews),
    Rule("review_rate", "more requests, or fewer, are unsure than before", Severity.TICKET,
         review_rate),
    Rule("uneven_ratings", "who rates depends on the deployment", Severity.TICKET, uneven_ratings),
    Rule("propensities", "the log and the draws do not agree", Severity.TICKET, propensities,
         told=True),
    Rule("outage", "no deployment can answer", Severity.PAGE, outage, pages=True, told=True),
    Rule("burn_fast", "the error budget burns fast", Severity.PAGE, burn_fast),
    Rule("burn_slow", "the error budget burns", Severity.PAGE, burn_slow),
    Rule("burn_long", "the error budget will not last", Severity.TICKET, burn_long),
)  # fmt: skip
ALERT_RULES: Mapping[str, Rule] = {rule.name: rule for rule in _RULES}


@dataclass(frozen=True, slots=True)
class Run:
    """What the newest minutes say together: breaches in a row, and clean minutes since the last
    that was not. A minute with too little ends a row, and clears nothing.
    """

    row: int = 0
    clean: int = 0

    def after(self, verdict: Verdict) -> Run:
        """With one more minute."""
        if verdict is Verdict.BREACH:
            return Run(self.row + 1, 0)
        if verdict is Verdict.CLEAN:
            return Run(0, self.clean + 1)
        return Run(0, 0 if verdict is Verdict.NEAR else self.clean)


def absent(rule: Rule, scope: str, minute: Minute) -> Verdict:
    """What a rule that does not speak of a scope says of it: what is gone is clean; of the rest
    nothing is known.
    """
    facts = minute.facts
    if facts is not None and rule.by == "budget":
        return Verdict.CLEAN
    if facts is not None and scope:
        if rule.by == "deployment" and scope not in facts.deployments:
            return Verdict.CLEAN
        if rule.by == "experiment" and scope not in facts.experiments:
            return Verdict.CLEAN
    return Verdict.INSUFFICIENT
