"""`headgate ratings`: who rates, what that may hide, and whose ratings do not count."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    give,
    say,
    service_errors,
    table,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: headgate ratings --days 7")(ratings)


def ratings(
    days: Annotated[float, typer.Option(help="Of the answers of so many days.")] = 7.0,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Rates of response, what the silent may hide, and authors capped or little believed."""
    with service_errors():
        give(client(url).get("/admin/ratings", days=str(days)), as_json, _show)


def _show(found: dict[str, Any]) -> None:
    say(
        f"ratings by {found['metric']} of the drawn answers of {found['days']:g} days: "
        f"{found['verdict']} ({found['reason']}; e-value {found['e_value']:.3g})"
    )
    table(
        ("deployment", "answers", "rated", "95 %", "mean", "whatever the silent think"),
        [
            (d["deployment"], d["answers"], f"{d['rate']:.1%}",
             f"{d['rate_low']:.1%} to {d['rate_high']:.1%}",
             "-" if d["mean_rating"] is None else f"{d['mean_rating']:.3f}",
             f"{d['mean_at_least']:.3f} to {d['mean_at_most']:.3f}")
            for d in found["deployments"]
        ],
    )  # fmt: skip
    table(
        ("task", "deployment", "answers", "rated", "95 %"),
        [
            (t["task"], t["deployment"], t["answers"], f"{t['rate']:.1%}",
             f"{t['rate_low']:.1%} to {t['rate_high']:.1%}")
            for t in found["tasks"]
        ],
    )  # fmt: skip
    if not found["weighed"]:
        say("every rating counts in full: the plan has no feedback.trust, so one key may move all")
        return
    table(
        ("key", "ratings", "counted", "weight", "users", "mostly for", "trust"),
        [
            (a["key_id"], a["ratings"], a["counted"], f"{a['weight']:.1f}", a["users"],
             a["mostly_for"] or "-", f"{a['trust']:.2f}")
            for a in found["authors"]
        ],
    )  # fmt: skip
    for each in found["uncounted"]:
        say(f"{each['ratings']} ratings (keys: {each['authors']}) do not count: {each['reason']}")
