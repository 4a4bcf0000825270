"""`headgate judge`: who judges answers, how far that can be trusted, and what it says."""

from __future__ import annotations

import getpass
import time
from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    err,
    fail,
    give,
    say,
    service_errors,
    table,
)

app = typer.Typer(help="Judges: how they agree with people, and what they say of deployments.")
LOOK_S = 0.2


@app.command("status", epilog="Example: headgate judge status --json")
def status(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """The panel: proven or not, what it sampled, what it spent."""
    with service_errors():
        give(client(url).get("/admin/judge"), as_json, _show_status)


@app.command("quality", epilog="Example: headgate judge quality --days 7")
def quality(
    days: Annotated[float, typer.Option(help="Answers of so many days.")] = 30.0,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Each deployment's quality: the judge's word, people's, and the one corrected by the other."""
    with service_errors():
        give(client(url).get("/admin/judge/quality", days=str(days)), as_json, _show_quality)


@app.command("check", epilog="Example: headgate judge check --judge river")
def check(
    judge: Annotated[str, typer.Option(help="Of the panel; its first by default.")] = "",
    timeout_s: Annotated[float, typer.Option(help="Wait at most so long.")] = 1_800.0,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Hold a judge against the golden set; costs money. Exit 0: proven; 1: not, or no end yet."""
    with service_errors():
        service = client(url)
        begun = service.post("/admin/judge/check", {"judge": judge, "author": getpass.getuser()})
        found = _followed(service, begun["judge"], begun["checking"]["items"], timeout_s)
    if found["no_end"]:
        fail(f"the check came to no end, and {found['judge']} stays {found['state']}: "
             f"{found['no_end']}")  # fmt: skip
    if found["check"] is None:
        fail("the check came to no end; see headgate judge status, and the service's log")
    give(found, as_json, _show_check)
    if found["state"] != "proven":
        raise typer.Exit(1)


def _followed(service: Any, judge: str, items: int, timeout_s: float) -> dict[str, Any]:
    """Until the check has ended; a bar on standard error."""
    from rich.progress import Progress

    ends = time.monotonic() + timeout_s
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(f"judging with {judge}", total=items)
        while True:
            found = service.get("/admin/judge")
            running = found["checking"]
            if running is None or running["judge"] != judge:
                shown: dict[str, Any] = next(j for j in found["judges"] if j["judge"] == judge)
                return shown
            bar.update(task, completed=running["done"])
            if time.monotonic() > ends:
                fail(f"not done within {timeout_s:g} s; it goes on: headgate judge status")
            time.sleep(LOOK_S)


def _show_status(found: dict[str, Any]) -> None:
    if not found["judges"]:
        say("the plan names no judges (judging.judges)")
        return
    drawn = f"{found['share']:g} of the answers" if found["on"] else "no answers"
    say(
        f"{drawn} drawn, ${found['spent_today_usd']:.4f} of ${found['usd_per_day']:g} spent today; "
        f"a proven judge's scores are ratings by {found['metric']}, {found['weight']:g} of them"
    )
    table(
        ("judge", "state", "teaches", "kappa", "low", "high", "attacks that worked",
         "r with people", "answers"),
        [_row(each) for each in found["judges"]],
    )  # fmt: skip
    for name in ("sampling", "asked"):
        if found[name]:
            say(f"{name}: " + ", ".join(f"{what} {n}" for what, n in found[name].items() if n))
    if found["checking"]:
        running = found["checking"]
        say(f"{running['judge']} is being checked: {running['done']} of {running['items']}")


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    check, live = each["check"] or {}, each["with_people"] or {}
    flipped = check.get("flipped")
    return (
        each["judge"], each["state"], "yes" if each["teaches"] else "no", check.get("kappa"),
        check.get("low"), check.get("high"), None if flipped is None else f"{flipped:.0%}",
        (live.get("correlation") or {}).get("estimate"), live.get("answers"),
    )  # fmt: skip


def _show_check(found: dict[str, Any]) -> None:
    check = found["check"]
    report = check["report"]
    kappa = "cannot be told" if check["kappa"] is None else (
        f"{check['kappa']:.2f} [{check['low']:.2f}, {check['high']:.2f}]"
    )  # fmt: skip
    say(f"{found['judge']} is {found['state']}: kappa with people {kappa}, {check['items']} items, "
        f"${check['cost_usd']:.4f}")  # fmt: skip
    if report["why"]:
        say(f"why: {report['why']}")
    for what in ("by_trap", "by_task"):
        rows = [
            (name, g["items"], g["comparing"], g["scoring"]) for name, g in report[what].items()
        ]
        table((what[3:], "items", "right by comparing", "right by scoring"), rows)
    table(
        ("attack", "tried", "turned its mind"),
        [(name, each["tried"], each["flipped"]) for name, each in report["attacks"].items()],
    )
    for who, told in report["style"].items():
        if "explained" in told:
            say(f"length and style explain {told['explained']:.0%} of what {who} prefer"
                f"{'s' if who == 'judge' else ''}")  # fmt: skip


def _show_quality(found: dict[str, Any]) -> None:
    for each in found["judges"]:
        say(f"{each['judge']}: {each['answers']} answers in {found['days']:g} days")
        table(
            ("deployment", "task", "answers", "rated", "judge's mean", "people", "corrected",
             "judge is off by", "why not"),
            [
                (d["deployment"], d["task"] or "all", d["answers"], d["rated"], d["judge_mean"],
                 _interval(d.get("people")), _interval(d["corrected"]), d.get("bias"),
                 d["why"] or "")
                for d in each["deployments"]
            ],
        )  # fmt: skip
        style = each["length_and_style"]
        if "explained" in style:
            say(f"length and style explain {style['explained']:.0%} of its scores of a deployment")


def _interval(of: dict[str, float] | None) -> str | None:
    return None if of is None else f"{of['estimate']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"
