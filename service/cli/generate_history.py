"""`headgate generate-history`: a realistic seeded history, to try analyses without traffic."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.output import JsonFlag, StateOption, err, fail, give, out

DAY_US = 86_400_000_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "generate-history",
        epilog="Example: headgate generate-history --decisions 100000 --seed 1 --state made-up",
    )(generate_history)


def generate_history(
    state: StateOption = "state",
    days: Annotated[int, typer.Option(help="Days, up to the last midnight UTC.", min=7,
                                      max=366)] = 60,
    decisions: Annotated[int, typer.Option(help="Decisions in all.", min=200,
                                           max=100_000_000)] = 100_000,
    seed: Annotated[int, typer.Option(help="Fixes every number and id.", min=0)] = 7,
    plan: Annotated[Path | None, typer.Option("--plan", help="Deployments, tasks and prices; "
                                              "left out: a plan of its own.")] = None,
    until: Annotated[str | None, typer.Option(help="The day (UTC) at whose beginning it ends, as "
                                              "2026-11-25; left out: today.")] = None,
    as_json: JsonFlag = False,
) -> None:  # fmt: skip
    """Make up a published history: drift, an outage, a price change, experiments, overrides."""
    from service.config import one_blas_thread

    one_blas_thread()
    from service.bootstrap.generated import PLAN, Generator, Wish
    from service.check import load_checked
    from service.domain.errors import HeadgateError
    from service.storage.errors import StorageError

    wish = Wish(days, decisions, seed, _midnight_us(until))
    chosen = plan or PLAN
    try:
        generator = Generator(load_checked(chosen, secrets=False), wish)
        with _progress() as bar:
            task = bar.add_task("making up", total=decisions)
            made = generator.write(Path(state), lambda count: bar.advance(task, count))
    except (HeadgateError, StorageError) as error:
        fail(str(error))
    kept = Path(state) / "plan.yaml"
    kept.write_bytes(chosen.read_bytes())
    content = {"rows": made.rows, "truth": str(made.truth), "plan": str(kept)}
    give(content, as_json, lambda _: _show(made.rows, str(made.truth), state, str(kept)))


def _midnight_us(until: str | None) -> int:
    now = datetime.now(UTC)
    if until is not None:
        try:
            now = datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            fail(f"--until: {until!r} is no day; give one as 2026-11-25", 2)
    return int(now.timestamp()) * 1_000_000 // DAY_US * DAY_US


def _progress() -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining(),
        console=err,
    )  # fmt: skip


def _show(rows: dict[str, int], truth: str, state: str, plan: str) -> None:
    told = ", ".join(f"{count:,} {name}" for name, count in rows.items() if count)
    out.print(f"made up: {told}", highlight=False)
    out.print(f"what was put in: {truth}", markup=False, highlight=False)
    out.print(f"read it:  headgate history --state {state}", markup=False, highlight=False)
    out.print(f"serve it: headgate serve --plan {plan} --state {state}", markup=False,
              highlight=False)  # fmt: skip
