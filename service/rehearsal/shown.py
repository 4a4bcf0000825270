"""The day's report for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from service.rehearsal.report import Report


def show(report: Report, console: Console) -> None:
    """All parts, the claims last."""
    f = report.figures
    asked, answers, money = f["asked"], f["answers"], f["money"]

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    line(f"{asked['requests']:,} requests, seed {asked['seed']}; troubles: "
         f"{'; '.join(asked['troubles']) or 'none'}")  # fmt: skip
    line(f"answers by status {answers['by_status']}; p50 {_s(answers['p50_s'])}, p95 "
         f"{_s(answers['p95_s'])}, p99 {_s(answers['p99_s'])}")  # fmt: skip
    line(f"spent ${money['spent_micro_usd'] / 1e6:.6f}, ${money['mean_usd'] or 0.0:.6f} a request; "
         f"thirty such days ${money['month_usd']:,.2f}")  # fmt: skip
    _table(console, "spend", ("divided", "part", "$"), (
        (each.name, part, f"{amount / 1e6:.6f}")
        for each in report.sums if each.name.startswith("spend") for part, amount in
        each.parts.items()))  # fmt: skip
    falls = f["fallbacks"]
    line("\nanswers by tier of the ladder (a rule may begin in a later one): "
         f"{falls['answers_by_tier']}")  # fmt: skip
    _table(console, "calls after a failure", ("failed", "how", "then", "calls", "answered"),
           (each.values() for each in falls["calls"]))  # fmt: skip
    _table(console, "breakers", ("deployment", "opened", "minutes", "openings"),
           (each.values() for each in falls["breakers"]))  # fmt: skip
    queue, refused = f["queue"], f["refusals"]
    waits = queue["waited_s"]
    line(f"\nqueue: {queue['queued']} queued, {queue['finished']} answered; waited p50 "
         f"{_s(waits['p50'])}, longest {_s(waits['longest'])}; ends {queue['by_end']}")  # fmt: skip
    line(f"refusals: {refused['logged']}, of which not sent again {refused['not_sent_again']}")
    classes = f["classification"]
    people = ", ".join(f"{e['count']} {e['kind']} ({e['why']})" for e in classes["to_people"])
    line(f"classified {classes['classified']}, under 0.75 {classes['under_0.75']}; "
         f"to people: {people or 'none'}")  # fmt: skip
    _table(console, "alerts", ("rule", "scope", "severity", "at", "minutes", "done", "paged"),
           (each.values() for each in f["alerts"]))  # fmt: skip
    _again(console, f, line)
    _batches(console, f["batches"], line)
    _savings(console, report, line)
    _table(
        console,
        "the published claims",
        ("claim", "said", "measured here", "holds"),
        (
            (c["what"], f"{c['claimed']:g}", _n(c["measured"]), _yes(c["holds"]))
            for c in f["claims"]
        ),
    )
    line(f"\n{f['published']['arithmetic']}.")
    line("every total is the sum of its parts, to the micro-dollar" if report.agrees else
         "SUMS DO NOT AGREE: " + ", ".join(e.name for e in report.sums if e.gap))  # fmt: skip


def _again(console: Console, figures: dict[str, Any], line: Any) -> None:
    """Kept answers and workflows."""
    kept = figures["cache"]
    line(f"\ncache: told {kept['told']}; of {kept['repeats']} repeats {kept['repeats_hit']} were "
         f"hits; given again {sum(e['count'] for e in kept['given_again'])}, which had cost "
         f"${sum(e['saved_micro_usd'] for e in kept['given_again']) / 1e6:.6f}")  # fmt: skip
    for run in figures["workflows"]["runs"]:
        line(f"workflow {run['workflow']}: {run['count']} {run['state']}, {run['calls']} calls, "
             f"${run['cost_micro_usd'] / 1e6:.6f}, median {_s(run['median_s'])}")  # fmt: skip
    _table(console, "steps of workflows", ("step", "executed", "done", "$"), (
        (s["step"], s["executed"], s["done"], f"{s['cost_micro_usd'] / 1e6:.6f}")
        for s in figures["workflows"]["steps"]))  # fmt: skip


def _batches(console: Console, told: dict[str, Any], line: Any) -> None:
    """Batches, where there were any, and what they saved."""
    line(f"\nbatches: {told['batches']} {told['by_state']}, {told['lines']} lines, "
         f"{told['completed']} completed, {told['failed']} failed {told['by_code'] or ''}; "
         f"{told['off_peak']} off-peak, {told['urgent']} urgent, {told['provider']} in "
         f"providers' batches; slack at least {_s(told['slack_s']['least'])}")  # fmt: skip
    _table(console, "batches", ("of", "within", "begun", "ended", "slack", "lines", "failed",
                                "off-peak", "urgent", "paid $", "saved $"), (
        (b["tenant"], b["window"], b["begun"], b["ended"], _s(b["slack_s"]), b["lines"],
         b["failed"], b["off_peak"], b["urgent"], f"{b['paid_micro_usd'] / 1e6:.6f}",
         f"{b['saved_micro_usd'] / 1e6:.6f}") for b in told["rows"]))  # fmt: skip
    line(f"batches saved ${told['saved_micro_usd'] / 1e6:.6f}: {told['told']}")


def _savings(console: Console, report: Report, line: Any) -> None:
    saved = report.figures["savings"]
    line(f"\nsavings, estimated from the draws ({saved['estimated_for']}):")
    for each in saved["estimated"]:
        line(f"  {each['against']} {each['deployment']}: {_interval(each['saved_usd'], '$')} over "
             f"{each['draws']} draws; quality {_interval(each['quality_gained'], '')}")  # fmt: skip
    rows = []
    for each in saved["true"]:
        parts = each["saved"]["parts_micro_usd"]
        rows.append((each["deployment"], *(f"{amount / 1e6:.6f}" for amount in parts.values()),
                     f"{each['saved']['total_micro_usd'] / 1e6:.6f}",
                     f"{each['quality_ours'] - each['quality']:+.3f}"))  # fmt: skip
        names = tuple(parts)
    _table(console, "saved in truth, $, beside one deployment for everything",
           ("beside", *names, "in all", "quality gained"), rows)  # fmt: skip
    measured = saved["by_measure"]
    _table(
        console,
        f"by measure, beside {measured['beside']} for every text",
        ("measure", "$"),
        ((name, f"{amount / 1e6:.6f}") for name, amount in measured["saved_micro_usd"].items()),
    )
    skip = saved["checks"]
    told = "none are skipped by the plan"
    if skip:
        told = f"{skip['state']} ({skip['reason']}); {skip['skipped']} skipped"
        told += f", {skip['audited']} audited"
    line(f"checks: {told}")


def _interval(value: dict[str, Any], unit: str) -> str:
    if "cannot_say" in value:
        return f"cannot be said ({value['cannot_say']})"
    return f"{unit}{value['estimate']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


def _table(
    console: Console, title: str, names: Sequence[str], rows: Iterable[Iterable[Any]]
) -> None:
    table = Table(box=None, pad_edge=False, title=f"\n{title}", title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    if table.row_count:
        console.print(table, markup=False, highlight=False)


def _s(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _n(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _yes(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"
