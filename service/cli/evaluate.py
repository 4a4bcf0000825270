"""`headgate evaluate`: what a policy would have earned on the logged decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.output import (
    JsonFlag,
    StateOption,
    duration_s,
    err,
    fail,
    give,
    out,
    settings,
    table,
)

if TYPE_CHECKING:
    from service.domain.records import Version
    from service.feedback.evaluating import Job
    from service.storage.logged import LoggedHistory

Since = Annotated[
    str, typer.Option(help="From when on: 90s, 30m, 4h, 7d ago, or a UTC time such as 2026-11-20.")
]
Until = Annotated[str | None, typer.Option(help="Until when, likewise; now by default.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples: headgate evaluate 0193f2aa --since 7d; "
        "headgate evaluate thompson --set exploration=0.2 --since 24h --json"
    )(evaluate)


def evaluate(
    policy: Annotated[
        str, typer.Argument(help="A version's id or the start of it, or a kind of policy.")
    ],
    since: Since = "7d",
    until: Until = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--set", help="name=value, a parameter of the kind.")
    ] = None,
    cost_cap: Annotated[
        float | None,
        typer.Option(min=0.0, help="US dollars that count as the greatest price of a request."),
    ] = None,
    state: StateOption = "state",
    as_json: JsonFlag = False,
) -> None:
    """Estimate from the published history what a policy would have earned; 0 where it passes.

    No running service is needed, and none is touched.
    """
    from service.config import one_blas_thread

    one_blas_thread()
    from learning.errors import LearningError
    from service.domain.clock import SystemClock
    from service.feedback.evaluating import Job
    from service.storage.errors import StorageError
    from service.storage.logged import LoggedHistory

    now_us = SystemClock().wall_us()
    since_us = _time_us("--since", since, now_us)
    until_us = now_us if until is None else _time_us("--until", until, now_us)
    if since_us >= until_us:
        fail("--since must be before --until", 2)
    try:
        history = LoggedHistory(Path(state))
        version = _version(history, policy, parameters or [])
    except StorageError as error:
        fail(str(error))
    try:
        report = _report(history, Job(version, since_us, until_us, cost_cap))
    except StorageError as error:
        fail(str(error))
    except (LearningError, ValueError, TypeError) as error:
        fail(f"the policy cannot be made: {error}", 2)
    give(report, as_json, _show)
    if not report["passed"]:
        raise typer.Exit(1)


def _time_us(option: str, text: str, now_us: int) -> int:
    from datetime import UTC, datetime

    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return now_us - int(duration_s(option, text) * 1e6)
    zoned = told if told.tzinfo else told.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1e6)


def _version(history: LoggedHistory, policy: str, parameters: list[str]) -> Version:
    """The version meant: one that is logged, or one made of a kind on what the live one knows."""
    from dataclasses import replace

    from learning.policies.registry import POLICIES

    versions = history.versions()
    live = history.live()
    if live is None:
        fail("no version of a policy is in the published history yet")
    if policy in POLICIES:
        described = json.loads(live.parameters)
        given = settings(parameters)
        budget_usd = described["parameters"].get("budget_usd")
        if budget_usd is not None and POLICIES[policy].takes_budget:
            given.setdefault("budget_usd", budget_usd)
        text = json.dumps(described | {"parameters": given}, sort_keys=True)
        return replace(live, id="", policy=policy, kind=policy, parameters=text, parent=None)
    if parameters:
        fail("--set goes with a kind of policy; a version has its parameters", 2)
    found = [each for each in versions if each.id.startswith(policy.lower())]
    if len(found) > 1:
        fail(f"{len(found)} versions begin with {policy}: give more of the id", 2)
    if not found:
        fail(f"no version begins with {policy!r}, and no kind is called so; the kinds are "
             f"{', '.join(POLICIES)}", 2)  # fmt: skip
    return found[0]


def _report(history: LoggedHistory, job: Job) -> dict[str, Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from service.feedback.evaluating import evaluate as evaluated

    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining(),
        console=err, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("replaying decisions", total=None)
        return evaluated(
            history, job, lambda done, total: bar.update(task, completed=done, total=total)
        )


def _show(report: dict[str, Any]) -> None:
    named = report["version_id"] or report["kind"]
    out.print(f"{named} on {report['since']} to {report['until']}", highlight=False)
    left = ", ".join(f"{n} {why}" for why, n in report.get("left_out", {}).items())
    used = f"{report.get('used', 0)} of {report['decisions']} decisions used"
    out.print(used + (f"; left out: {left}" if left else ""), highlight=False)
    metrics = report.get("metrics", {})
    if metrics:
        columns = ("metric", "rows", "effective", "logged", "estimate", "difference at any look")
        table(columns, [_row(slug, each) for slug, each in metrics.items()])
    said = {slug: each for slug, each in metrics.items() if "estimates" in each}
    if said:
        columns = ("metric", "ips", "snips", "switch", "at any look", "certified")
        table(columns, [_others(slug, each) for slug, each in said.items()])
    for slug, each in metrics.items():
        told = [("", each)] + [(f" by {n}", e) for n, e in each.get("estimates", {}).items()]
        refused = {e["refused"]: slug + name for name, e in told if "refused" in e}
        for why, which in refused.items():
            out.print(f"{which}: {why}", markup=False, highlight=False)
    word, style = ("passes", "green") if report["passed"] else ("does not pass", "red")
    out.print(f"{word}: {report['reason']}", style=style, markup=False, highlight=False)


def _row(slug: str, each: Mapping[str, Any]) -> tuple[Any, ...]:
    ess = f"{each['ess']:.0f}" if "ess" in each else None
    told: tuple[str | None, ...] = (None, None, None)
    if "estimates" in each:
        said = (each["logged"], each["estimates"]["dr"], each["difference_at_any_look"])
        told = tuple(_interval(one) for one in said)
    elif "logged_mean" in each:
        told = (f"{each['logged_mean']:.4g}", None, None)
    return (slug, each.get("rows", 0), ess, *told)


def _others(slug: str, each: Mapping[str, Any]) -> tuple[str, ...]:
    values = [each["estimates"][name] for name in ("ips", "snips", "switch")]
    return (slug, *(_interval(one) for one in (*values, each["at_any_look"], each["certified"])))


def _interval(said: Mapping[str, Any]) -> str:
    if "refused" in said:
        return "-"
    low, high = (("-" if x is None else f"{x:.4g}") for x in (said["low"], said["high"]))
    return f"{said['estimate']:.4g} [{low}, {high}]"
