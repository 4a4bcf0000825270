"""`headgate prediction`: what is foreseen of requests, what is done by it, and what it is worth."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    fail,
    give,
    say,
    service_errors,
    signed,
)

app = typer.Typer(help="Prediction before generation.", no_args_is_help=True)
WhatOption = Annotated[
    str, typer.Option("--what", help="prediction as a whole, or the skipping of checks.")
]


@app.command("show", epilog="Example: headgate prediction show --json")
def show(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """The fit beside its baselines, the checks that are skipped, and the money."""
    with service_errors():
        give(client(url).get("/admin/prediction"), as_json, show_prediction)


@app.command(
    "resume",
    epilog='Example: headgate prediction resume --what skipping --reason "the judge was at fault"',
)
def resume(
    reason: ReasonOption,
    what: WhatOption = "prediction",
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Switch it on, from the next request on."""
    _switch(url, what, True, signed(author, reason), as_json)


@app.command(
    "stop", epilog='Example: headgate prediction stop --reason "an audit of the judge is under way"'
)
def stop(
    reason: ReasonOption,
    what: WhatOption = "prediction",
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Switch it off, from the next request on."""
    _switch(url, what, False, signed(author, reason), as_json)


def _switch(url: str, what: str, on: bool, by: dict[str, str], as_json: bool) -> None:
    if what not in ("prediction", "skipping"):
        fail("--what takes prediction or skipping", 2)
    with service_errors():
        found = client(url).post("/admin/prediction/switch", {"what": what, "on": on, **by})
        give(found, as_json, show_prediction)


def show_prediction(found: dict[str, Any]) -> None:
    """How it stands, in words."""
    if not found["on"]:
        say("prediction: not in the plan")
        return
    why = f": {found['reason']}" if found["reason"] else ""
    each = f", {found['seconds_each'] * 1e6:.0f} us of CPU each" if found["seconds_each"] else ""
    say(f"prediction {found['state']}{why}; {found['predictions']} since the start{each}")
    fit = found["fit"]
    if fit:
        say(
            f"  fit on {fit['rows']} rows ({fit['kind']}, {fit['calibration']}): Brier "
            f"{fit['brier']:.4f}, constant {fit['constant_brier']:.4f}, length "
            f"{fit['length_brier']:.4f}; AUC {_number(fit['auc'])}, length "
            f"{_number(fit['length_auc'])}; calibration off by {fit['ece']:.3f}"
        )
    since = found["since"]
    if since:
        say(f"  since: {since['rated']} rated, Brier {since['brier']:.4f}, constant "
            f"{since['constant_brier']:.4f}")  # fmt: skip
    if found["setback"]:
        say(f"  the last refit failed: {found['setback']}")
    _show_skipping(found["skipping"], found["state"])
    _show_worth(found["worth"])


def show_foreseen(found: dict[str, Any]) -> None:
    """What was foreseen of one request."""
    chances = ", ".join(f"{name} {chance:.2f}" for name, chance in found["acceptable"].items())
    say(
        f"foreseen ({found['state']}): complexity {found['complexity']:.0f}, ambiguity "
        f"{found['ambiguity']:.0f}, difficulty {found['difficulty']:.0f} of 100; acceptable with "
        f"{chances}"
    )
    if found["act"]:
        say(f"  {found['act']} with probability {found['probability']:g}: "
            f"{', '.join(found['taken_out'])}")  # fmt: skip


def _show_skipping(rule: dict[str, Any] | None, state: str) -> None:
    if rule is None:
        return
    idle = "" if state == "fitted" else f"; nothing is skipped while prediction is {state}"
    say(f"  checks above {rule['above']:g}: {rule['state']} ({rule['reason']}){idle}")
    if rule["audited"]:
        say(
            f"    {rule['audited']} audited, {rule['bad']} bad: {rule['rate']:.1%}, in truth "
            f"{rule['low']:.1%} to {rule['high']:.1%} (at most {rule['most_bad']:.0%} wanted); "
            f"{rule['waiting']} wait for a verdict"
        )
        let = rule["let_through"]
        say(f"    {rule['skipped']} not checked; bad among them about {let['estimate']:.1f} "
            f"({let['low']:.1f} to {let['high']:.1f})")  # fmt: skip


def _show_worth(worth: dict[str, Any] | None) -> None:
    if worth is None:
        return
    gained = worth["gained_usd"]
    moved = (
        f"{worth['acted']} decisions moved brought ${gained[0]:.4f} "
        f"(${gained[1]:.4f} to ${gained[2]:.4f})"
        if gained else f"{worth['acted']} decisions moved, worth not known"
        + (f": {worth['unsaid']}" if worth["unsaid"] else "")
    )  # fmt: skip
    say(
        f"  30 days: CPU ${worth['cpu_usd']:.6f}, refits ${worth['refit_usd']:.6f}, checks not "
        f"needed ${worth['checks_usd']:.4f}, less audits ${worth['audits_usd']:.4f}; {moved}"
    )
    net = worth["net_usd"]
    if net[0] is None:
        say("  net: cannot be said yet")
    else:
        say(f"  net ${net[0]:.4f} (${net[1]:.4f} to ${net[2]:.4f})")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
