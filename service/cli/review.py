"""`headgate review`: refused requests that wait for a person."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    give,
    out,
    service_errors,
    table,
)

app = typer.Typer(help="Requests that a provider's content policy refused, for a person to judge.")

Review = Annotated[str, typer.Argument(help="Its id.")]


@app.command("list", epilog="Example: headgate review list --state decided")
def list_reviews(
    state: Annotated[str, typer.Option(help="open or decided")] = "open",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What waits, the oldest first; or what was decided, the newest first."""
    with service_errors():
        found = client(url).get("/admin/review", state=state)
        give(found, as_json, lambda content: _show(content["reviews"], state))


@app.command("show", epilog="Example: headgate review show 0193f2aa-...")
def show_review(review: Review, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One of them."""
    with service_errors():
        give(client(url).get(f"/admin/review/{review}"), as_json, _show_one)


@app.command(
    "decide",
    epilog='Example: headgate review decide 0193f... allow --note "a harmless chemistry lesson"',
)
def decide_review(
    review: Review,
    verdict: Annotated[
        str, typer.Argument(help="uphold (stays refused), allow (may be sent again) or dismiss")
    ],
    note: Annotated[str, typer.Option(help="Why, in at least ten characters.")],
    reviewer: Annotated[
        str | None, typer.Option(help="Who decides; your login by default.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Decide one; it cannot be decided twice."""
    body = {"verdict": verdict, "note": note, "reviewer": reviewer or getpass.getuser()}
    with service_errors():
        give(client(url).post(f"/admin/review/{review}/decide", body), as_json, _show_one)


def _show(found: list[dict[str, Any]], state: str) -> None:
    if not found:
        out.print(f"no {state} reviews", highlight=False)
        return
    table(
        ("id", "incident", "opened", "left", "tier", "tenant", "deployment", "word", "verdict"),
        [
            (r["id"], r["incident"], r["opened_at"], _left(r), r["tier"], r["tenant"] or "-",
             r["deployment"], r["word"], r["decision"] and r["decision"]["verdict"])
            for r in found
        ],
    )  # fmt: skip


def _left(review: dict[str, Any]) -> str:
    if review["state"] != "open":
        return "-"
    return "OVERDUE" if review["overdue"] else f"{review['left_s'] / 60:.0f} min"


def _show_one(review: dict[str, Any]) -> None:
    for name, value in review.items():
        if name != "decision":
            out.print(f"{name}: {value}", markup=False, highlight=False)
    decision = review["decision"]
    if decision:
        out.print(
            f"{decision['verdict']} by {decision['reviewer']} at {decision['at']}: "
            f"{decision['note']}",
            markup=False,
            highlight=False,
        )
