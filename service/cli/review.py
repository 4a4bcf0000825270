"""`headgate review`: what waits for a person, of every kind."""

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

app = typer.Typer(help="What waits for a person: refusals, unsure tasks, judges, versions.")

Review = Annotated[str, typer.Argument(help="Its id.")]
Reviewer = Annotated[str | None, typer.Option(help="Who does it; your login by default.")]


@app.command("list", epilog="Example: headgate review list --kind classification")
def list_reviews(
    state: Annotated[str, typer.Option(help="open, claimed, decided or defaulted")] = "open",
    kind: Annotated[
        str | None, typer.Option(help="classification, refusal, judge or policy")
    ] = None,
    mine: Annotated[
        bool, typer.Option("--mine", help="What you have claimed, or decided.")
    ] = False,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 1_000,
    offset: Annotated[int, typer.Option(help="Pass over so many.")] = 0,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What waits, the oldest first; or what has ended, the newest first."""
    asked: dict[str, str] = {"state": state, "limit": str(limit), "offset": str(offset)}
    asked |= {"kind": kind} if kind else {}
    asked |= {"mine": getpass.getuser()} if mine else {}
    with service_errors():
        found = client(url).get("/admin/review", **asked)
        give(found, as_json, lambda content: _show(content, state))


@app.command("show", epilog="Example: headgate review show 0193f2aa-...")
def show_review(review: Review, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One of them."""
    with service_errors():
        give(client(url).get(f"/admin/review/{review}"), as_json, _show_one)


@app.command("claim", epilog="Example: headgate review claim 0193f2aa-...")
def claim_review(
    review: Review,
    reviewer: Reviewer = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Work on one, so that nobody else does; again to renew."""
    _turn(review, "claim", reviewer, url, as_json)


@app.command("release", epilog="Example: headgate review release 0193f2aa-...")
def release_review(
    review: Review,
    reviewer: Reviewer = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Let go of one, so that another may claim it."""
    _turn(review, "release", reviewer, url, as_json)


@app.command(
    "decide",
    epilog='Example: headgate review decide 0193f... allow --note "a harmless chemistry lesson"',
)
def decide_review(
    review: Review,
    verdict: Annotated[
        str,
        typer.Argument(
            help="of a refusal: uphold (stays refused), allow (may be sent again) or dismiss; of a "
            "classification: the task, or dismiss; of a judge: a rating, or dismiss; of a policy: "
            "release, retire or leave"
        ),
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


@app.command("stats", epilog="Example: headgate review stats")
def review_stats(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What waits and for how long, and what a week has decided."""
    with service_errors():
        give(client(url).get("/admin/review/stats"), as_json, _show_stats)


@app.command("quality", epilog="Example: headgate review quality --days 7")
def review_quality(
    days: Annotated[float, typer.Option(help="Of the requests of so many days.")] = 30.0,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """How well requests are classified, by what people said of those that were drawn."""
    with service_errors():
        found = client(url).get("/admin/review/quality", days=str(days))
        give(found, as_json, _show_quality)


def _turn(review: str, what: str, reviewer: str | None, url: str, as_json: bool) -> None:
    body = {"reviewer": reviewer or getpass.getuser()}
    with service_errors():
        give(client(url).post(f"/admin/review/{review}/{what}", body), as_json, _show_one)


def _show(content: dict[str, Any], state: str) -> None:
    found: list[dict[str, Any]] = content["reviews"]
    if not found:
        out.print(f"no {state} reviews", highlight=False)
        return
    table(
        ("id", "kind", "about", "why", "opened", "left", "tier", "tenant", "task", "deployment",
         "by", "verdict"),
        [
            (r["id"], r["kind"], r["subject"], r["why"], r["opened_at"], _left(r),
             r["tier"] or "-", r["tenant"] or "-", r["task"] or "-", r["deployment"] or "-",
             _by(r), r["decision"] and r["decision"]["verdict"])
            for r in found
        ],
    )  # fmt: skip
    if content["more"]:
        out.print(f"there are more: --offset {len(found)}", highlight=False)


def _left(review: dict[str, Any]) -> str:
    if review["decision"]:
        return "-"
    return "OVERDUE" if review["overdue"] else f"{review['left_s'] / 60:.0f} min"


def _by(review: dict[str, Any]) -> str:
    done = review["decision"] or review["claim"]
    return str(done["reviewer"]) if done else "-"


def _show_one(review: dict[str, Any]) -> None:
    for name, value in review.items():
        if name not in ("decision", "claim", "subject_known"):
            out.print(f"{name}: {value}", markup=False, highlight=False)
    for name, value in (review.get("subject_known") or {}).items():
        out.print(f"  {name}: {value}", markup=False, highlight=False)
    claim, decision = review["claim"], review["decision"]
    if claim:
        out.print(f"claimed by {claim['reviewer']} until {claim['until']}",
                  markup=False, highlight=False)  # fmt: skip
    if decision:
        out.print(
            f"{decision['verdict']} by {decision['reviewer']} at {decision['at']}: "
            f"{decision['note']}",
            markup=False,
            highlight=False,
        )


def _show_stats(found: dict[str, Any]) -> None:
    age = found["median_age_s"]
    told = f", half of them for more than {age / 60:.0f} min" if age is not None else ""
    out.print(
        f"{found['open']} wait{told}; {found['claimed']} claimed, {found['overdue']} overdue",
        highlight=False,
    )
    for kind, number in found.get("passed_over", {}).items():
        out.print(
            f"{number} of {kind} were passed over within a day: the queue was full", highlight=False
        )
    table(
        ("kind", "decided", "a day", "defaulted", "took", "agreement"),
        [
            (k["kind"], k["decided"], f"{k['decided_per_day']:.1f}", k["defaulted"],
             "-" if k["median_took_s"] is None else f"{k['median_took_s'] / 60:.0f} min",
             _share(k["agreement"]))
            for k in found["kinds"]
        ],
    )  # fmt: skip


def _show_quality(found: dict[str, Any]) -> None:
    out.print(
        f"{found['asked']} requests of {found['days']:g} days were put to people: "
        f"{found['labelled']} labelled, {found['dismissed']} dismissed, {found['defaulted']} left "
        f"to their default, {found['open']} open; {found['passed_over']} found the queue full "
        "within a day",
        highlight=False,
    )
    accepted = found["accepted"]
    if found["threshold"] is None:
        out.print("nobody is asked now (review.classification in the plan)", highlight=False)
    elif accepted["cannot_say"]:
        out.print(
            f"errors among those that were sure enough (from {found['threshold']:g}): cannot be "
            f"told ({accepted['cannot_say']}; review.classification.audit draws some)",
            highlight=False,
        )
    else:
        out.print(
            f"errors among those that were sure enough (from {found['threshold']:g}): "
            f"{accepted['errors']} of {accepted['labels']}, at most {accepted['upper']:.2%} "
            f"(95 %); {accepted['upper_worst']:.2%} if all {accepted['missing']} without a label "
            "were wrong",
            highlight=False,
        )
    table(
        ("taken for", "labels", "wrong", "95 %"),
        [
            (t["guess"], t["labels"], "-" if t["cannot_say"] else f"{t['error']:.1%}",
             "-" if t["cannot_say"] else f"{t['low']:.1%} to {t['high']:.1%}")
            for t in found["tasks"]
        ],
    )  # fmt: skip
    table(
        ("taken for", "is", "labels", "requests"),
        [(c["guess"], c["label"], c["labels"], f"{c['requests']:.0f}") for c in found["confusion"]],
    )
    for point in found["coverage"]:
        out.print(
            f"accepted from {point['threshold']:g}: {point['coverage']:.1%} of the requests, "
            f"{point['error']:.1%} of them wrong ({point['labels']} labels)",
            highlight=False,
        )
    if found["calibration_error"] is not None:
        out.print(f"calibration error {found['calibration_error']:.3f}", highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
