"""Every rule fires where it should and is silent where it should be; the docs tell each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest

from service.domain.alerts import Severity
from service.domain.budgets import Budget, BudgetStanding, Forecast, Scope
from service.domain.minutes import MINUTE_US, Facts, Minute
from service.domain.periods import Period
from service.monitoring.rules import ALERT_RULES, Finding, Run, Seen, Verdict, absent, span
from service.plan.alerts import AlertsPlan
from tests.conftest import ROOT
from tests.service.monitoring.minutes import CALM, START, cell, seen, steady

PLAN = AlertsPlan.model_validate({"spend": {"usd_per_hour": 6.0, "usd_per_day": 100.0}})
FAILING = cell(100, answered=80, failed=20, errors={"server": 20})


@dataclass(frozen=True)
class Case:
    """What a rule sees, and what it says of a scope."""

    rule: str
    name: str
    sight: Seen
    scope: str
    verdict: Verdict
    words: str = ""


def budget(
    spent: int, value: str = "team", of: str = "team", limit: int = 100, low: float | None = None
) -> BudgetStanding:
    """A day's budget of a tenant, micro-dollars."""
    kept = Budget("team", Scope.TENANT, Period.DAY, of, soft_micro_usd=limit)
    forecast = None if low is None else Forecast(120.0, low, 140.0)
    return BudgetStanding(kept, value, spent, 0, 30, 0, 1, forecast)


B, C, N, I = Verdict.BREACH, Verdict.CLEAN, Verdict.NEAR, Verdict.INSUFFICIENT  # noqa: E741
CASES = [
    Case("latency", "slow", seen(deployments={"river": cell(20, 45.1)}), "river", B,
         "p95 of river is 45.1 s (limit 45 s)"),
    Case("latency", "all slow", seen(cell(20, 46.0)), "", B, "all requests"),
    Case("latency", "just at it", seen(deployments={"river": cell(20, 45.0)}), "river", N),
    Case("latency", "well", seen(deployments={"river": cell(20, 40.5)}), "river", C),
    Case("latency", "too few", seen(deployments={"river": cell(19, 90.0)}), "river", I),
    Case("errors", "failing", seen(deployments={"river": FAILING}), "river", B,
         "20.0% of 100 of river failed, most of them server (limit 10.0%)"),
    Case("errors", "requests fail", seen(FAILING), "", B),
    Case("errors", "a few", seen(deployments={"river": cell(100, answered=91, failed=9)}),
         "river", C),
    Case("errors", "between", seen(deployments={"river": cell(99, answered=89, failed=9)}),
         "river", N),
    Case("errors", "not its fault", seen(deployments={"river": cell(30, errors={"policy": 9})}),
         "river", C),
    Case("errors", "too few", seen(deployments={"river": cell(19, answered=0, failed=19)}),
         "river", I),
    Case("fallback_rate", "many", seen(cell(100, fallbacks=21)), "", B, "21.0% of 100 requests"),
    Case("fallback_rate", "few", seen(cell(100, fallbacks=18)), "", C),
    Case("fallback_rate", "too few", seen(cell(19, fallbacks=19)), "", I),
    Case("spend", "dear", seen(series=steady(60, 1, 0, 110_000)), "hour", B, "$6.6 were spent"),
    Case("spend", "cheap", seen(series=steady(60, 1, 0, 50_000)), "hour", C),
    Case("spend", "the day will be", seen(series=steady(855, 1, 0, 80_000)), "day", B,
         "$68.4 were spent today, $115.2 by its end"),
    Case("spend", "the day will do", seen(series=steady(855, 1, 0, 60_000)), "day", C),
    Case("budgets", "half", seen(facts=replace(CALM, budgets=(budget(55),))), "team 50%", B,
         "the budget team of this day is spent to 55%: $5.5e-05 of $0.0001"),
    Case("budgets", "not all", seen(facts=replace(CALM, budgets=(budget(79),))), "team 80%", C),
    Case("budgets", "all", seen(facts=replace(CALM, budgets=(budget(100),))), "team 100%", B),
    Case("budgets", "each its own", seen(facts=replace(CALM, budgets=(budget(80, "acme", ""),))),
         "team/acme 80%", B),
    Case("budgets", "nothing to spend", seen(facts=replace(CALM, budgets=(budget(0, limit=0),))),
         "team 100%", B),
    Case("budgets", "will not last",
         seen(facts=replace(CALM, budgets=(budget(60, low=101.0),))), "team forecast", B,
         "will not last: $0.00012 by its end ($0.000101 to $0.00014) of $0.0001"),
    Case("budgets", "may last",
         seen(facts=replace(CALM, budgets=(budget(60, low=100.0),))), "team forecast", C),
    Case("drift", "re-exploring", seen(facts=replace(CALM, exploring=("river",))), "river", B,
         "the quality of river has changed"),
    Case("drift", "the other", seen(facts=replace(CALM, exploring=("river",))), "brook", C),
    Case("sample_ratio", "invalid", seen(facts=replace(CALM, invalid={"e@1": "units"})), "e@1", B,
         "e@1 is invalid: units"),
    Case("sample_ratio", "valid", seen(), "e@1", C),
    Case("tickets", "many", seen(facts=Facts(queue_waiting=101)), "length", B, "101 tickets wait"),
    Case("tickets", "old", seen(facts=Facts(queue_oldest_s=601.0)), "age", B, "for 601 s"),
    Case("tickets", "few", seen(facts=Facts(queue_waiting=90)), "length", C),
    Case("tickets", "young", seen(facts=Facts(queue_oldest_s=540.0)), "age", C),
    Case("reviews", "overdue", seen(facts=Facts(reviews_overdue=1)), "overdue", B, "1 refused"),
    Case("reviews", "in time", seen(), "overdue", C),
    Case("reviews", "refused", seen(cell(100, errors={"policy": 6})), "rate", B, "6.0% of the"),
    Case("reviews", "few refused", seen(cell(100, errors={"policy": 4})), "rate", C),
    Case("reviews", "too few", seen(cell(99, errors={"policy": 99})), "rate", I),
    Case("review_rate", "more", seen(facts=Facts(unsure=((500, 10_000), (60, 400)))), "", B,
         "the task of 15.0% of today's 400 requests is not sure enough, of 5.0%"),
    Case("review_rate", "fewer", seen(facts=Facts(unsure=((3_000, 10_000), (60, 400)))), "", B),
    Case("review_rate", "as before", seen(facts=Facts(unsure=((500, 10_000), (24, 400)))), "", C),
    Case("review_rate", "sure but small",
         seen(facts=Facts(unsure=((50_000, 1_000_000), (65_000, 1_000_000)))), "", C),
    Case("review_rate", "too few", seen(facts=Facts(unsure=((500, 10_000), (150, 199)))), "", I),
    Case("review_rate", "no past", seen(facts=Facts(unsure=((50, 999), (150, 400)))), "", I),
    Case("uneven_ratings", "uneven", seen(facts=Facts(uneven_ratings="they differ")), "", B,
         "they differ"),
    Case("uneven_ratings", "even", seen(), "", C),
    Case("propensities", "alarm", seen(facts=Facts(propensities="draws are off")), "", B,
         "draws are off"),
    Case("propensities", "none", seen(), "", C),
    Case("outage", "down", seen(facts=Facts(outage="all are down")), "", B, "all are down"),
    Case("outage", "up", seen(), "", C),
    Case("burn_fast", "burns", seen(series=steady(60, 980, 20)), "", B, "20 times too fast over"),
    Case("burn_fast", "less", seen(series=steady(60, 988, 12)), "", C),
    Case("burn_fast", "between", seen(series=steady(60, 986, 14)), "", N),
    Case("burn_fast", "too few", seen(series=steady(60, 1, 0)), "", I),
    Case("burn_fast", "just begun", seen(series=steady(4, 0, 500)), "", I),
    Case("burn_slow", "burns", seen(series=steady(360, 993, 7)), "", B, "over 6 h and 7 times"),
    Case("burn_slow", "less", seen(series=steady(360, 995, 5)), "", C),
    Case("burn_long", "burns", seen(series=steady(4_320, 9_980, 20)), "", B, "over 3 d"),
    Case("burn_long", "less", seen(series=steady(4_320, 99_920, 80)), "", C),
    Case("burn_long", "just begun", seen(series=steady(300, 9_000, 1_000)), "", I),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_a_rule_says(case: Case) -> None:
    found = {each.scope: each for each in ALERT_RULES[case.rule].look(case.sight, PLAN)}
    assert found[case.scope].verdict is case.verdict, found
    assert case.words in found[case.scope].words


@pytest.mark.parametrize("rule", ALERT_RULES)
def test_every_rule_has_its_cases_and_its_section_of_the_plan(rule: str) -> None:
    verdicts = {case.verdict for case in CASES if case.rule == rule}
    assert {B, C} <= verdicts, "it fires, and it is silent"
    limits = getattr(AlertsPlan(), rule)
    assert limits.enabled and ALERT_RULES[rule].enabled(AlertsPlan())
    assert ALERT_RULES[rule].row(AlertsPlan()) == getattr(limits, "minutes", 1)


def test_without_what_it_looks_at_a_rule_says_nothing() -> None:
    blind = Seen((Minute(START),), steady(1, 0, 0), 0.999)
    for rule in ALERT_RULES.values():
        said = rule.look(blind, AlertsPlan())
        assert all(each.verdict is I for each in said), (rule.name, said)


def test_a_budget_that_has_nothing_to_tell_any_more_is_clean() -> None:
    """As when its period begins anew, or the plan has it no more."""
    rule = ALERT_RULES["budgets"]
    assert absent(rule, "team 50%", Minute(START, facts=CALM)) is C
    assert absent(rule, "team 50%", Minute(START)) is I
    telling = [budget(49).telling, budget(50).telling, budget(10, low=101.0).telling]
    assert telling == [False, True, True]


def test_both_windows_must_burn() -> None:
    """An hour's old fault does not fire once the last five minutes are well."""
    burning, well = steady(60, 900, 100), steady(65, 1_000, 0)
    counts = list(burning.counts)
    for at in range(-5, 0):
        counts[at] = replace(counts[at], failed=counts[-6].failed)
    mended = replace(burning, counts=tuple(counts))
    (said,) = ALERT_RULES["burn_fast"].look(seen(series=mended), PLAN)
    assert said.verdict is C and mended.last(START + MINUTE_US, 60).failed == 5_500
    (said,) = ALERT_RULES["burn_fast"].look(seen(series=well), PLAN)
    assert said == Finding("", C, 0.0, 14.4, said.words)


def test_a_run_counts_breaches_in_a_row_and_clean_minutes_since() -> None:
    run = Run()
    for verdict, row, clean in (
        (B, 1, 0), (B, 2, 0), (I, 0, 0), (B, 1, 0), (C, 0, 1), (I, 0, 1), (C, 0, 2), (N, 0, 0),
        (C, 0, 1), (B, 1, 0),
    ):  # fmt: skip
        run = run.after(verdict)
        assert (run.row, run.clean) == (row, clean)


def test_what_is_gone_is_clean_and_what_is_quiet_is_not() -> None:
    minute, rule = Minute(START, facts=CALM), ALERT_RULES["latency"]
    assert absent(rule, "river", minute) is I and absent(rule, "dropped", minute) is C
    assert absent(rule, "", minute) is I and absent(rule, "dropped", Minute(START)) is I
    ratio = ALERT_RULES["sample_ratio"]
    assert absent(ratio, "e@1", minute) is I and absent(ratio, "f@1", minute) is C
    assert [span(each) for each in (5, 60, 360, 4_320)] == ["5 min", "1 h", "6 h", "3 d"]


def test_the_docs_tell_every_rule_as_it_is() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (page|ticket) \|", text, flags=re.M)
    told = dict(rows)
    assert told == {name: rule.severity.value for name, rule in ALERT_RULES.items()}
    assert {Severity.PAGE, Severity.TICKET} == {rule.severity for rule in ALERT_RULES.values()}
