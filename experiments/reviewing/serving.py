"""How requests were served: slow hours, fallbacks, repeats for a cache, wrong prices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.errors import CannotSay
from experiments.reviewing import ratios
from experiments.reviewing.finding import CONFIDENCE, Finding, Rates, Table, usd, usd_range
from experiments.statistics.moments import Interval
from experiments.statistics.response_rate import wilson

Floats = NDArray[np.float64]

BINS = 20.0  # of latency, to a factor of e: five per cent each
USUAL = 0.95  # share of a task's requests that are usually faster than its bound
SLOW_SHARE = 0.10  # of the requests beyond that bound: twice what is usual
LEAST_REQUESTS = 100  # of a task in a day or an hour of the day
FALLBACK_RATE = 0.02  # more is frequent
WRONG_PRICE = 0.10  # of the predicted cost
REPEATED = 0.01  # of the requests, before a cache is spoken of
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def slow(latencies: Table, before: Table, rates: Rates) -> list[Finding]:
    """By task, each day and each hour of the day: are twice as many requests as usual slower than
    the task's 95th percentile of the weeks before?

    ``latencies``: task, day (0 is Monday), hour, bin, requests; ``before``: task, bin, requests;
    a bin is floor(BINS ln seconds).
    """
    told = []
    tasks = latencies["task"].astype(str)
    earlier = before["task"].astype(str)
    for task in np.unique(tasks):
        base = before.where(earlier == task)
        if base.number("requests").sum() < LEAST_REQUESTS:
            continue
        bound = percentile(base, USUAL)
        mine = latencies.where(tasks == task)
        for slug, words, rows in _times(mine):
            part = mine.where(rows)
            if part.number("requests").sum() >= LEAST_REQUESTS:
                told.append(_slow((str(task), slug, words), part, bound, (rates, latencies.sql)))
    return told


def _times(mine: Table) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    for day in np.unique(mine["day"]):
        yield f"day-{day}", f"on {DAYS[int(day)]}", mine["day"] == day
    for hour in np.unique(mine["hour"]):
        yield (
            f"hour-{int(hour):02d}",
            f"from {int(hour):02d}:00 to {int(hour) + 1:02d}:00 UTC",
            mine["hour"] == hour,
        )


def _slow(
    named: tuple[str, str, str], part: Table, bound: float, more: tuple[Rates, str]
) -> Finding:
    (task, slug, when), (rates, sql) = named, more
    requests, seconds = part.number("requests"), middle(part)
    number = float(requests.sum())
    over = np.maximum(0.0, seconds - bound)
    beyond = float(requests[seconds > bound].sum())
    z = (beyond - number * SLOW_SHARE) / math.sqrt(number * SLOW_SHARE * (1.0 - SLOW_SHARE))
    total, squares = float((requests * over).sum()), float((requests * over**2).sum())
    money: Interval | CannotSay = CannotSay("no version says what a second of waiting is worth")
    if rates.second_usd is not None:
        error = math.sqrt(max(squares - total**2 / number, 0.0))
        money = _around(total * rates.second_usd, error * rates.second_usd)
    worst = _worst(part)
    words = (
        f"{task} {when}: {beyond / number:.0%} of {number:,.0f} requests took longer than "
        f"{bound:.2g} s, the 95th percentile of the weeks before; its own is "
        f"{percentile(part, USUAL):.2g} s. Worst: {worst}"
    )
    return Finding(
        "slow", f"slow-{task}-{slug}", f"{task} is slow {when}", words, money, ratios.above(z), sql,
        "hedge the task in these hours, or give its share to a faster deployment (an experiment "
        "with latency_p95 as its goal)", (), {"task": task, "when": slug},
    )  # fmt: skip


def _worst(part: Table) -> str:
    place = part["day"].astype(np.int64) * 24 + part["hour"].astype(np.int64)
    found = []
    for at in np.unique(place):
        rows = part.where(place == at)
        if rows.number("requests").sum() >= 20:
            found.append((percentile(rows, USUAL), int(at)))
    if not found:
        return "no hour has 20 requests"
    seconds, at = max(found)
    return f"{DAYS[at // 24]} {at % 24:02d}:00 UTC with {seconds:.2g} s"


def middle(table: Table) -> Floats:
    """The seconds in the middle of each row's bin."""
    told: Floats = np.exp((table.number("bin") + 0.5) / BINS)
    return told


def percentile(table: Table, share: float) -> float:
    """A percentile of the binned requests, to five per cent."""
    order = np.argsort(table["bin"], kind="stable")
    counts = np.cumsum(table.number("requests")[order])
    at = int(np.searchsorted(counts, share * counts[-1]))
    return float(middle(table)[order][min(at, len(order) - 1)])


def fallbacks(served: Table, rates: Rates) -> list[Finding]:
    """By task and deployment drawn: do more than ``FALLBACK_RATE`` end at another one?

    ``served``: task, deployment, requests, fallbacks, and of fallbacks (``fell_``) and of answers
    by the one drawn (``own_``) their number, sums and squares of cost_usd and latency_s.
    """
    told = []
    for row in served.rows():
        number, fell = float(row["requests"]), float(row["fallbacks"])
        if number < LEAST_REQUESTS:
            continue
        z = (fell - number * FALLBACK_RATE) / math.sqrt(
            number * FALLBACK_RATE * (1 - FALLBACK_RATE)
        )
        money = _cost_of_falling(row, rates)
        rate = wilson(int(fell), int(number))
        task, deployment = str(row["task"]), str(row["deployment"])
        cost = usd_range(money) if isinstance(money, Interval) else f"cannot be said ({money})"
        words = (
            f"{fell:,.0f} of {number:,.0f} requests of {task} drawn to {deployment} were answered "
            f"by another ({rate.estimate:.1%} [{rate.low:.1%} to {rate.high:.1%}]); what that cost "
            f"beside answers of its own, waiting included where it has a price: {cost}"
        )
        told.append(Finding(
            "fallback", f"fallback-{task}-{deployment}",
            f"{deployment} is often left for another in {task}", words, money, ratios.above(z),
            served.sql, f"see its failures by kind (attempts); lower its rate limit in the plan, "
            f"or exclude it from {task} until they are mended", (),
            {"task": task, "deployment": deployment},
        ))  # fmt: skip
    return told


def _cost_of_falling(row: Mapping[str, Any], rates: Rates) -> Interval | CannotSay:
    fell, own = float(row["fell_n"]), float(row["own_n"])
    if fell < 2 or own < 2:
        return CannotSay("two fallbacks and two answers of its own are needed")
    total, error = 0.0, 0.0
    for name, worth in (("cost_usd", 1.0), ("latency_s", rates.second_usd or 0.0)):
        means, variances = [], []
        for kind, number in (("fell", fell), ("own", own)):
            sums, squares = float(row[f"{kind}_{name}"]), float(row[f"{kind}_{name}_2"])
            mean = sums / number
            means.append(mean)
            variances.append(max(squares / number - mean**2, 0.0) / (number - 1.0))
        total += worth * fell * (means[0] - means[1])
        error += worth * fell * math.sqrt(math.fsum(variances))
    return _around(total, error)


def cache(repeats: Table) -> list[Finding]:
    """By task: requests whose messages the same tenant had sent, and had answered, within a day.

    ``repeats``: task, requests, repeats, cost_usd of these, streams among them. A fact, and an
    upper bound: what asks for fresh words each time cannot be served from a cache.
    """
    told = []
    for row in repeats.rows():
        number, again = float(row["requests"]), float(row["repeats"])
        if number < LEAST_REQUESTS or again < REPEATED * number:
            continue
        task, cost = str(row["task"]), float(row["cost_usd"])
        words = (
            f"{again:,.0f} of {number:,.0f} requests of {task} ({again / number:.1%}) repeat "
            f"messages that the same tenant had sent, and had answered, within 24 hours; they cost "
            f"{usd(cost)}. An upper bound: a request that wants fresh words, or whose options "
            "differ, is no hit"
        )
        told.append(Finding(
            "cache", f"cache-{task}", f"A cache could catch repeats in {task}", words,
            Interval(cost, 0.0, cost), None, repeats.sql,
            f"cache {task} for 24 hours by tenant and messages; begin with requests of "
            "temperature 0", (), {"task": task},
        ))  # fmt: skip
    return told


def mispriced(prices: Table) -> list[Finding]:
    """By task and deployment: is the cost that the policy foretold off by more than a tenth?

    ``prices``: task, deployment, requests (answered at once), ``foretold_usd``, ``cost_usd``, and
    ``squares`` of their differences.
    """
    told = []
    for row in prices.rows():
        number = float(row["requests"])
        foretold, paid = float(row["foretold_usd"]), float(row["cost_usd"])
        if number < LEAST_REQUESTS or foretold <= 0.0:
            continue
        off = paid - foretold
        error = math.sqrt(max(float(row["squares"]) - off**2 / number, 0.0) * number / (number - 1))
        if error <= 0.0:
            continue
        ends = [(sign * off - WRONG_PRICE * foretold) / error for sign in (1.0, -1.0)]
        dearer, cheaper = (ratios.above(each) for each in ends)
        log_e = float(np.logaddexp(dearer, cheaper)) - math.log(2.0)
        task, deployment = str(row["task"]), str(row["deployment"])
        word = "dearer" if off > 0 else "cheaper"
        words = (
            f"{number:,.0f} answers of {deployment} in {task} cost {usd(paid)} where the policy "
            f"had foretold {usd(foretold)} ({off / foretold:+.0%})"
        )
        told.append(Finding(
            "mispriced", f"mispriced-{task}-{deployment}",
            f"{deployment} is {word} in {task} than the policy takes it for", words,
            _around(off, error), log_e, prices.sql,
            "set its prices in the plan as billed, or see why its answers are longer than foretold",
            (), {"task": task, "deployment": deployment},
        ))  # fmt: skip
    return told


def _around(total: float, error: float) -> Interval:
    reach = float(stats.norm.ppf(0.5 + CONFIDENCE / 2.0)) * error
    return Interval(total, total - reach, total + reach)
