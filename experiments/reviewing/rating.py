"""Who rates and who judges: response rates, and judges that disagree with themselves or people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scipy import stats

from experiments.errors import CannotSay
from experiments.reviewing import ratios
from experiments.reviewing.finding import CONFIDENCE, Finding, Table, usd
from experiments.statistics.moments import Interval
from experiments.statistics.response_rate import Cell, Report, judge, log_evidence, wilson

INCONSISTENT = 0.3  # of the judgements, when the answers change places
APART = 0.05  # of quality, between a judge and people on the same answers
LEAST = 30


def judgements(judged: Table) -> list[Finding]:
    """Does a judge's preference hang on the order? ``judged``: judge, judgements, inconsistent,
    unread, cost_usd.
    """
    told = []
    for row in judged.rows():
        number, off = float(row["judgements"]), float(row["inconsistent"])
        if number < LEAST:
            continue
        z = (off - number * INCONSISTENT) / math.sqrt(number * INCONSISTENT * (1 - INCONSISTENT))
        share, cost = wilson(int(off), int(number)), float(row["cost_usd"])
        name = str(row["judge"])
        words = (
            f"{off:,.0f} of {number:,.0f} judgements of {name} changed with the order of the two "
            f"answers ({share.estimate:.0%} [{share.low:.0%} to {share.high:.0%}]), "
            f"{float(row['unread']):,.0f} could not be read; all its calls cost {usd(cost)}"
        )
        ends = [cost * each for each in (share.estimate, share.low, share.high)]
        told.append(Finding(
            "judge", f"judge-order-{name}", f"The judge {name} disagrees with itself", words,
            Interval(ends[0], ends[1], ends[2]), ratios.above(z), judged.sql,
            "take another judge, or a clearer question; count its ties as nothing", (),
            {"judge": name},
        ))  # fmt: skip
    return told


def judges_and_people(pairs: Table) -> list[Finding]:
    """Do a judge's ratings lie where people's lie on the same answers? ``pairs``: author, metric,
    pairs, difference (judge less people) and squares, both_good, both_bad, judge_good,
    people_good (a half and more is good).
    """
    told = []
    for row in pairs.rows():
        number = float(row["pairs"])
        if number < LEAST:
            continue
        mean = float(row["difference"]) / number
        variance = max(float(row["squares"]) / number - mean**2, 0.0) * number / (number - 1)
        error = math.sqrt(variance / number)
        if error <= 0.0:
            continue
        log_e = ratios.above((abs(mean) - APART) / error) - math.log(2.0)  # either way
        reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, number - 1)) * error
        name = f"{row['author']} ({row['metric']})"
        word = "kinder" if mean > 0 else "harsher"
        agreed = kappa(row, number)
        said = "cannot be said" if agreed is None else f"{agreed:.2f}"
        words = (
            f"on {number:,.0f} answers that both rated, {name} is {word} than people by "
            f"{abs(mean):.3f} [{abs(mean) - reach:.3f} to {abs(mean) + reach:.3f}]; agreement on "
            f"good and bad beyond chance (Cohen's kappa): {said}"
        )
        told.append(Finding(
            "judge", f"judge-people-{row['author']}-{row['metric']}",
            f"The judge {name} and people disagree", words,
            CannotSay("what a wrong rating costs is what it makes the policy do: see waste"),
            log_e, pairs.sql, "correct its ratings by people's (prediction-powered), or keep "
            "it out of reward.metric until they agree", (), {"author": str(row["author"])},
        ))  # fmt: skip
    return told


def kappa(row: Mapping[str, Any], number: float) -> float | None:
    """Agreement beyond chance (Cohen, Educ. Psychol. Meas. 1960); None where chance is all."""
    good, bad, judge_good, people_good = (
        float(row[name]) for name in ("both_good", "both_bad", "judge_good", "people_good")
    )
    seen = (good + bad) / number
    one, two = judge_good / number, people_good / number
    chance = one * two + (1.0 - one) * (1.0 - two)
    return None if chance >= 1.0 else (seen - chance) / (1.0 - chance)


def responses(rates: Table) -> tuple[list[Finding], Report | None]:
    """Is the chance of a rating the same for all deployments within task and day? ``rates``: day,
    deployment, task, answers, rated, mean_rating (of drawn answers).
    """
    cells = [
        Cell(str(row["deployment"]), str(row["task"]), int(row["answers"]), int(row["rated"]),
             None, str(row["day"]))
        for row in rates.rows() if int(row["answers"])
    ]  # fmt: skip
    if not cells or not sum(each.rated for each in cells):
        return [], None
    report = judge(cells)
    spoken = ", ".join(
        f"{each.deployment} {each.interval.estimate:.1%}" for each in report.in_task or report.rates
    )
    where = f" in {report.task}" if report.task else ""
    words = f"{report.reason}. Share of answers rated{where}: {spoken}"
    title = "Some deployments' answers are rated more often than others'"
    finding = Finding(
        "responses", "responses-uneven", title, words,
        CannotSay("what those think who do not rate is not known, so its price is not"),
        log_evidence(cells), rates.sql,
        "ask for ratings at random, of a fixed share of answers; until then mind the bounds of "
        "`headgate status`",
    )  # fmt: skip
    return [finding], report
