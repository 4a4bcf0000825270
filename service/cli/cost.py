"""`headgate cost by`, `showback`, `saved`, `caches`, `batches`: what was spent, and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.costing import HistoryOption, SinceOption, UntilOption, asked, span_us
from service.cli.output import DEFAULT_URL, JsonFlag, UrlOption, fail, give, say, table

HELP = "What was spent and by whom, what was saved and by what, and what could be saved."
app = typer.Typer(help=HELP)

DIVIDED = ("tenant", "feature", "deployment")


@app.command("by", epilog="Example: headgate cost by tenant,feature --since 7d --csv spend.csv")
def cost_by(
    dimensions: Annotated[
        str,
        typer.Argument(
            help="Any of tenant, key, feature, tag, deployment, task, model, role, provider, tier, "
            "day, month; with commas."
        ),
    ],
    since: SinceOption = "28d",
    until: UntilOption = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the rows there; no spreadsheet runs them.")
    ] = None,
    parquet_file: Annotated[
        Path | None, typer.Option("--parquet", help="Write the rows there.")
    ] = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What was spent, by any labels; a request with several tags is under them together."""
    found = asked(state, url, dimensions, span_us(state, since, until))
    if csv_file is not None:
        _written(csv_file, _csv(found))
    if parquet_file is not None:
        _parquet(parquet_file, found)
    give(found, as_json, _show)


def _csv(found: dict[str, Any]) -> str:
    from service.domain.exporting import csv_lines

    rows = found["rows"]
    columns = [*found["by"], *(name for name in found["total"])]
    return "".join(csv_lines(columns, rows))


def _written(path: Path, text: str) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def _parquet(path: Path, found: dict[str, Any]) -> None:
    from service.storage.costs import Costs, write_parquet

    try:
        write_parquet(path, Costs(tuple(found["by"]), found["rows"], found["total"]))
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def dollars(micro: int) -> str:
    """Micro-dollars, exact."""
    sign, micro = ("-" if micro < 0 else ""), abs(micro)
    return f"{sign}{micro // 1_000_000}.{micro % 1_000_000:06d}"


def share(part: int, whole: int) -> str:
    """A part of a whole."""
    return f"{part / whole:.1%}" if whole else "-"


def _show(found: dict[str, Any]) -> None:
    total = found["total"]
    whole = total["cost_micro_usd"]
    rows = [
        (*(row[name] or "(none)" for name in found["by"]), dollars(row["cost_micro_usd"]),
         share(row["cost_micro_usd"], whole), row["requests"], row["calls"], row["failed"])
        for row in found["rows"]
    ]  # fmt: skip
    columns = (*found["by"], "spent $", "share", "requests", "calls", "failed")
    table(columns, rows, f"{found['since']} to {found['until']}")
    say(f"in all ${dollars(whole)} of {total['calls']} calls for {total['requests']} requests")
    say(f"of it ${dollars(total['failed_micro_usd'])} for failed calls, "
        f"${dollars(total['beside_micro_usd'])} for shadows and judges, "
        f"${dollars(total['estimated_micro_usd'])} estimated")  # fmt: skip


@app.command("showback", epilog="Example: headgate cost showback --month 2026-11 --state state")
def showback(
    month: Annotated[
        str | None, typer.Option("--month", help="YYYY-MM; the month of the newest call.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this one alone.")] = None,
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="Whose months they are, as Europe/Berlin.")
    ] = "UTC",
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What each tenant used in a month, by feature and deployment; failed and shadow apart."""
    from service.reporting.showback import showback as reported

    span = _month_us(month, time_zone, state)
    found = asked(state, url, ",".join(DIVIDED), span)
    made = reported(found["rows"], found["total"], tenant)
    if tenant is not None and not made["tenants"]:
        fail(f"no call of the tenant {tenant} ended in that month")
    content = {"month": month or _name(span, time_zone), "time_zone": time_zone,
               "since": found["since"], "until": found["until"], **made}  # fmt: skip
    give(content, as_json, _show_back)


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(f"no time zone {name!r}; give one as Europe/Berlin or UTC", 2)


def _month_us(month: str | None, time_zone: str, state: str | None) -> tuple[int, int]:
    from service.domain.periods import Period, bounds_us, month_us

    zone = _zone(time_zone)
    if month is None:
        return bounds_us(Period.MONTH, span_us(state, "1s", None)[1] - 2, zone)
    try:
        return month_us(month, zone)
    except ValueError as error:
        fail(f"--month: {error}", 2)


def _name(span: tuple[int, int], time_zone: str) -> str:
    from datetime import UTC, datetime

    begins = datetime.fromtimestamp(span[0] / 1e6, UTC)
    return begins.astimezone(_zone(time_zone)).strftime("%Y-%m")


def _show_back(found: dict[str, Any]) -> None:
    for each in found["tenants"]:
        say(f"{each['tenant'] or '(no tenant)'}: ${dollars(each['answers_micro_usd'])} for "
            f"answers, ${dollars(each['failed_micro_usd'])} for failed calls, "
            f"${dollars(each['beside_micro_usd'])} for shadows; in all "
            f"${dollars(each['cost_micro_usd'])}, {each['share']:.1%} of the month")  # fmt: skip
        rows = [
            (row["feature"] or "(none)", row["deployment"], row["requests"],
             dollars(row["answers_micro_usd"]), dollars(row["failed_micro_usd"]),
             dollars(row["beside_micro_usd"]))
            for row in each["lines"]
        ]  # fmt: skip
        columns = ("feature", "deployment", "requests", "answers $", "failed $", "shadows $")
        table(columns, rows)
    say(f"{found['month']} in all: ${dollars(found['total']['cost_micro_usd'])}")


@app.command("saved", epilog="Example: headgate cost saved --since 7d")
def cost_saved(
    since: SinceOption = "28d",
    until: UntilOption = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What was saved beside what was spent: by kept answers, prompt caches and batches."""
    from service.cli.costing import saved_asked

    give(saved_asked(state, url, span_us(state, since, until)), as_json, _show_saved)


def _show_saved(found: dict[str, Any]) -> None:
    before, kept = found["before_micro_usd"], found["kept_answers"]
    given = ", ".join(f"{each['answers']} {kind}" for kind, each in kept.items())
    rows = [
        (name, dollars(found[column]), share(found[column], before), note)
        for name, column, note in (
            ("kept answers", "kept_answers_micro_usd", f"given again: {given}"),
            ("prompt caches", "prompt_caches_micro_usd", "headgate cost caches"),
            ("batches", "batches_micro_usd", "headgate cost batches"),
        )
    ]  # fmt: skip
    table(("saved by", "saved $", "share", ""), rows, f"{found['since']} to {found['until']}")
    say(f"in all ${dollars(found['spent_micro_usd'])} spent where about ${dollars(before)} would "
        f"have been: ${dollars(found['saved_micro_usd'])} saved, "
        f"{share(found['saved_micro_usd'], before)}")  # fmt: skip


@app.command("caches", epilog="Example: headgate cost caches --since 7d")
def cost_caches(
    since: SinceOption = "28d",
    until: UntilOption = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What the providers' prompt caches saved, and what writing to them cost, by day."""
    from service.cli.costing import caches_asked

    give(caches_asked(state, url, span_us(state, since, until)), as_json, _show_caches)


def _show_caches(found: dict[str, Any]) -> None:
    rows = [
        (row["day"], row["deployment"], row["calls"], row["cached_tokens"],
         share(row["cached_tokens"], row["tokens_in"]), dollars(row["saved_micro_usd"]),
         dollars(row["surcharge_micro_usd"]), dollars(row["net_micro_usd"]))
        for row in found["rows"]
    ]  # fmt: skip
    columns = ("day", "deployment", "calls", "cached", "of input", "saved $", "writing $", "net $")
    table(columns, rows, f"{found['since']} to {found['until']}")
    total = found["total"]
    say(
        f"in all ${dollars(total['net_micro_usd'])} saved by {total['cached_tokens']} cached tokens"
    )
    if total["unpriced"]:
        say(f"{total['unpriced']} calls with cached tokens were billed as plain input: their "
            "deployments have no cached_input_usd_per_mtok")  # fmt: skip


@app.command("batches", epilog="Example: headgate cost batches --since 7d")
def cost_batches(
    since: SinceOption = "28d",
    until: UntilOption = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What the requests of batches cost against the same calls alone, by batch."""
    from service.cli.costing import batches_asked

    give(batches_asked(state, url, span_us(state, since, until)), as_json, _show_batches)


def _show_batches(found: dict[str, Any]) -> None:
    rows = [
        (row["batch_id"], row["tenant"] or "(none)", row["requests"], row["completed"],
         row["off_peak"], row["urgent"], row["provider"], dollars(row["list_micro_usd"]),
         dollars(row["paid_micro_usd"]), dollars(row["saved_micro_usd"]))
        for row in found["rows"]
    ]  # fmt: skip
    columns = ("batch", "tenant", "requests", "done", "off-peak", "urgent", "provider", "list $",
               "paid $", "saved $")  # fmt: skip
    table(columns, rows, f"{found['since']} to {found['until']}")
    total = found["total"]
    say(f"in all ${dollars(total['paid_micro_usd'])} paid for what alone had cost "
        f"${dollars(total['list_micro_usd'])}: ${dollars(total['saved_micro_usd'])} saved, "
        f"{share(total['saved_micro_usd'], total['list_micro_usd'])}")  # fmt: skip
