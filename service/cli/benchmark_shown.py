"""What `headgate benchmark models` says before it begins, and what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from service.cli.output import err, say, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.benchmarking.findings import Found
    from service.benchmarking.journal import Journal
    from service.benchmarking.planning import Estimate


def show_stated(
    told: Sequence[Any], cost: Estimate, count: int, asked: int, most_usd: float
) -> None:
    """On standard error, before anything is asked."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, title_justify="left")
    made.title = "what so many prompts can show (quality, in points)"
    detect = told[0].detect
    columns = ["task", "prompts", "one mean +-", "difference found in 80 %"]
    columns += [f"prompts for {100 * detect:g} points"] if detect is not None else []
    for name in columns:
        made.add_column(name)
    for each in told:
        row = [each.task or "all", str(each.prompts), f"{100 * each.one_mean:.1f}"]
        row.append(
            "-" if each.alike is None else f"{100 * each.alike:.0f} to {100 * each.unrelated:.0f}"
        )
        if each.needed is not None:
            row.append(f"{each.needed[1]} to {each.needed[0]}")
        made.add_row(*row)
    err.print(made)
    if count < asked:
        err.print(f"there are {count} such prompts, not {asked}: all are asked", highlight=False)
    err.print(
        f"{cost.calls} calls, about ${cost.usd:.4f} (at most ${min(cost.most_usd, most_usd):.4f}) "
        f"and {cost.seconds:.0f} s by the plan's prices and latencies",
        highlight=False,
    )


def tell(journal: Journal, found: Found, quiet: bool) -> None:
    """The report: in the run's folder, and here."""
    from service.benchmarking.fragment import fragment
    from service.benchmarking.pages import account, markdown, page

    text = fragment(found.rules, found.content["run_id"])
    parts = account(found.content, text)
    for name, made in (
        ("report.md", markdown(parts)),
        ("report.html", page(parts, f"Benchmark {found.content['run_id']}")),
        ("report.json", json.dumps(found.content, indent=1)),
        ("rules.yaml", text),
    ):
        (journal.folder / name).write_text(made, "utf-8")
    if quiet:
        return
    for kind, content in account(found.content, text, brief=True).made:
        if kind == "table":
            table(content[0], content[1])
        elif kind == "list":
            for each in content:
                say(f"- {each}")
        elif kind in ("h1", "h2"):
            say(f"\n{content}")
        else:
            say(content)
    say(f"\nThe report lies in {journal.folder}")
