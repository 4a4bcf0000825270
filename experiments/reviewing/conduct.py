"""What people and experiments did in the week: overrides with their cost, steps, promotions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from experiments.errors import CannotSay
from experiments.reviewing.finding import CONFIDENCE, Finding, Table, usd_range
from experiments.statistics.moments import Interval

WORDS = {
    "kill": "sent everything to", "exclude": "kept out", "force": "forced",
    "cost_cap": "capped the cost of", "bounds": "bounded", "pin": "pinned a version of the policy",
    "kill_experiment": "killed an experiment", "freeze": "froze the learning",
}  # fmt: skip
LEAST = 30  # decisions of each side, before they are compared


def overrides(made: Table, under: Table, beside: Table) -> list[Finding]:
    """What each override did and cost. ``made``: id, action, deployment, task, author, reason,
    since, until; ``under``: override_id, task, requests, cost_usd, squares; ``beside``: the same
    of drawn decisions without one, by task.
    """
    told = []
    others = {str(row["task"]): row for row in beside.rows()}
    for row in made.rows():
        mine = under.where(under["override_id"].astype(str) == str(row["id"]))
        number = float(mine.number("requests").sum())
        money = _cost(mine, others)
        word = WORDS.get(str(row["action"]), str(row["action"]))
        where = f" in {row['task']}" if row["task"] else ""
        cost = usd_range(money) if isinstance(money, Interval) else f"cannot be said ({money})"
        what = f"{word} {row['deployment']}".strip()
        words = (
            f"{row['author']} {what}{where} from {row['since']} to "
            f"{row['until']} ({row['reason']}): {number:,.0f} decisions. Beside drawn decisions of "
            f"the same tasks it cost {cost}; they were at other times, so this is no randomised "
            "comparison"
        )
        told.append(Finding(
            "override", f"override-{row['id']}", f"An override {what}{where}",
            words, money, None, under.sql,
            "lift it where its reason is gone; put what is meant for good into the plan", (),
            {"deployment": str(row["deployment"]), "task": str(row["task"])},
        ))  # fmt: skip
    return told


def _cost(mine: Table, others: Mapping[str, Mapping[str, Any]]) -> Interval | CannotSay:
    total, variance = 0.0, 0.0
    for row in mine.rows():
        beside = others.get(str(row["task"]))
        number = float(row["requests"])
        if beside is None or number < LEAST or float(beside["requests"]) < LEAST:
            return CannotSay(
                f"{row['task']} has fewer than {LEAST} decisions under it, or beside it"
            )
        (m, v), (n, w) = _moments(row), _moments(beside)
        total += number * (m - n)
        variance += number**2 * (v + w)
    if not len(mine):
        return CannotSay("no decision was made under it")
    reach = float(stats.norm.ppf(0.5 + CONFIDENCE / 2.0)) * math.sqrt(variance)
    return Interval(total, total - reach, total + reach)


def _moments(row: Mapping[str, Any]) -> tuple[float, float]:
    number = float(row["requests"])
    mean = float(row["cost_usd"]) / number
    squares = float(row["squares"])
    return mean, max(squares / number - mean**2, 0.0) / (number - 1.0)


def steps(taken: Table, exposed: Table) -> list[Finding]:
    """The steps of experiments. ``taken``: experiment, at, step, after, percent, author, reason;
    ``exposed``: experiment, variant, requests, cost_usd.
    """
    told = []
    for name in sorted(
        set(taken["experiment"].astype(str)) | set(exposed["experiment"].astype(str))
    ):
        mine = taken.where(taken["experiment"].astype(str) == name)
        seen = exposed.where(exposed["experiment"].astype(str) == name)
        story = "; ".join(
            f"{row['at']} {row['step']} to {row['after']} at {row['percent']} % by {row['author']} "
            f"({row['reason']})" for row in mine.rows()
        )  # fmt: skip
        shown = ", ".join(f"{row['variant']} {int(row['requests']):,}" for row in seen.rows())
        back = bool(
            np.isin(mine["step"].astype(str), ("roll back", "rolled back", "rollback")).any()
        )
        title = f"{name} was rolled back" if back else f"{name}: an experiment of the week"
        words = f"{story or 'no step was taken'}; decisions by variant: {shown or 'none'}"
        told.append(Finding(
            "experiment", f"experiment-{name}", title, words,
            CannotSay("its report compares its variants; this lists what was done"), None,
            taken.sql, f"read its report: headgate experiment report {name.split('@')[0]}", (),
            {"experiment": name},
        ))  # fmt: skip
    return told


def promotions(made: Table) -> list[Finding]:
    """Versions that became the live one. ``made``: at, version_id, from_version_id, how, author,
    reason.
    """
    told = []
    for row in made.rows():
        title = f"Version {str(row['version_id'])[:8]} became the live one ({row['how']})"
        words = (
            f"{row['at']}: {row['how']} by {row['author']} ({row['reason']}); before it "
            f"{str(row['from_version_id'] or 'none')[:8]}"
        )
        told.append(Finding(
            "promotion", f"promotion-{row['version_id']}-{row['at']}", title, words,
            CannotSay("what it changed is in what moved since"), None, made.sql,
            "headgate policy diff shows what it is; headgate policy rollback takes it back", (),
            {"version": str(row["version_id"])},
        ))  # fmt: skip
    return told
