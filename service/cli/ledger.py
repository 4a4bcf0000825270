"""`headgate ledger show`, `reconcile`: what calls cost, and whether the provider says the same."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.cost import dollars
from service.cli.costing import DAY_US, HistoryOption, SinceOption, UntilOption, asked, span_us
from service.cli.output import DEFAULT_URL, JsonFlag, UrlOption, err, fail, give, say, table

if TYPE_CHECKING:
    from service.reporting.exported import Export
    from service.reporting.reconciling import Line, Reconciled

app = typer.Typer(help="The ledger: every call with its tokens and its cost.")

SHOWN = 40


@app.command("show", epilog="Example: headgate ledger show --by day,deployment --since 7d")
def show(
    by: Annotated[str, typer.Option("--by", help="As in headgate cost by.")] = "day,deployment",
    since: SinceOption = "28d",
    until: UntilOption = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Calls with all that they were billed for; failed, cancelled and shadow calls are in it."""
    give(asked(state, url, by, span_us(state, since, until)), as_json, _show)


def _show(found: dict[str, Any]) -> None:
    rows = [
        (*(row[name] or "(none)" for name in found["by"]), row["calls"], row["failed"],
         row["tokens_in"], row["cached_tokens"], row["tokens_out"], row["reasoning_tokens"],
         dollars(row["cost_micro_usd"]), dollars(row["estimated_micro_usd"]))
        for row in sorted(found["rows"], key=lambda row: [str(row[n]) for n in found["by"]])
    ]  # fmt: skip
    table((*found["by"], "calls", "failed", "tokens in", "cached", "tokens out", "reasoning",
           "cost $", "estimated $"), rows, f"{found['since']} to {found['until']}")  # fmt: skip
    total = found["total"]
    say(f"{total['calls']} calls, ${dollars(total['cost_micro_usd'])}, of it estimated "
        f"${dollars(total['estimated_micro_usd'])}")  # fmt: skip


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    found = {}
    for each in texts:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            fail(f"{option} takes NAME=VALUE, not {each!r}", 2)
        found[name] = value
    return found


@app.command("reconcile", epilog="Example: headgate ledger reconcile usage.csv --state state")
def reconcile(
    file: Annotated[Path, typer.Argument(help="The provider's export: CSV with a head, or JSON.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            help="Which column is what: time, model, tokens_in, tokens_out, cached, requests or "
            "cost, as cost=Amount, or several, as tokens_in=New+Cached; more than once.",
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option("--model", help="What a name of theirs is here: theirs=ours; repeatable."),
    ] = None,
    date_form: Annotated[
        str, typer.Option("--date-form", help="Of dates that are not read by themselves: %d.%m.%Y.")
    ] = "",
    unit: Annotated[str, typer.Option("--unit", help="Of costs: usd, cents or micro.")] = "usd",
    provider: Annotated[
        str | None, typer.Option("--provider", help="Whose export it is, by the plan's name.")
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all lines there.")] = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Hold the ledger against a provider's export, by day and model; 1 where over 0.1 % is off.

    Days are UTC. What is off is added up line by line, so that nothing is made up for elsewhere.
    """
    from service.reporting.exported import UNITS, ExportUnusable, Form, read_export
    from service.reporting.reconciling import reconcile as compared

    if unit not in UNITS:
        fail(f"--unit is one of {', '.join(UNITS)}", 2)
    try:
        named, renamed = _pairs("--column", column or []), _pairs("--model", rename or [])
        export = read_export(file, named, Form(unit, date_form))
    except ExportUnusable as error:
        fail(str(error), 2)
    rows = _ours(export, state, url)
    found = compared(export, rows, renamed, provider)
    if csv_file is not None:
        _write(csv_file, found)
    give(_content(export, found), as_json, lambda _: _told(export, found))
    if not found.within or export.bad_rows:
        raise typer.Exit(1)


def _ours(export: Export, state: str | None, url: str) -> list[dict[str, Any]]:
    from service.cli.costing import moment_us, now_us

    days = sorted(day for day, _ in export.sums)
    if not days:
        return []
    first, last = (moment_us("a day of the export", day, now_us()) for day in (days[0], days[-1]))
    found = asked(state, url, "day,deployment,model,provider", (first, last + DAY_US))
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def _line(each: Line) -> dict[str, Any]:
    theirs, ours = each.theirs or {}, each.ours or {}
    told = {"day": each.day, "model": each.model, "difference": each.why.value}
    for name in ("requests", "tokens_in", "tokens_out", "cached"):
        told |= {f"their_{name}": theirs.get(name), f"our_{name}": ours.get(name)}  # type: ignore[dict-item]
    cost, off = each.their_micro_usd, each.off
    return told | {
        "their_micro_usd": None if cost is None else float(cost),
        "our_micro_usd": each.our_micro_usd,
        "off_micro_usd": None if off is None else float(off),
        "words": each.words,
    }


def _content(export: Export, found: Reconciled) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for each in found.lines:
        counts[each.why.value] = counts.get(each.why.value, 0) + 1
    return {
        "columns": dict(export.columns), "measured": found.measured, "theirs": float(found.theirs),
        "ours": float(found.ours), "off_share": None if found.gross is None else float(found.gross),
        "within": found.within, "differences": counts, "bad_rows": export.bad_rows,
        "problems": list(export.problems), "lines": [_line(each) for each in found.lines],
    }  # fmt: skip


def _write(path: Path, found: Reconciled) -> None:
    from service.cli.cost import _written
    from service.domain.exporting import csv_lines

    rows = [_line(each) for each in found.lines]
    columns = list(rows[0]) if rows else ["day", "model", "difference"]
    _written(path, "".join(csv_lines(columns, rows)))


def plain(value: Decimal) -> str:
    """A number without an exponent or zeros behind it."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _told(export: Export, found: Reconciled) -> None:
    for problem in export.problems[:SHOWN]:
        err.print(problem, style="yellow", markup=False, highlight=False)
    if export.bad_rows:
        say(f"{export.bad_rows} rows could not be read and are left out")
    apart = [_line(each) for each in found.lines if each.why.value not in ("none", "rounding")]
    rows = [
        (row["day"], row["model"], row["difference"], row["their_micro_usd"], row["our_micro_usd"],
         row["off_micro_usd"], row["words"])
        for row in apart[:SHOWN]
    ]  # fmt: skip
    if rows:
        table(("day", "model", "difference", "theirs u$", "ours u$", "off u$", ""), rows)
    if len(apart) > SHOWN:
        say(f"{len(apart) - SHOWN} more lines differ; --csv FILE or --json gives them all")
    agree = len(found.lines) - len(apart)
    unit = "micro-dollars" if found.measured == "cost" else "tokens"
    share = "nothing can be compared" if found.gross is None else f"{float(found.gross):.4%} off"
    say(f"{agree} of {len(found.lines)} lines agree; theirs {plain(found.theirs)}, ours "
        f"{plain(found.ours)} {unit}: {share}")  # fmt: skip
    say("within 0.1 %" if found.within else "NOT within 0.1 %")
