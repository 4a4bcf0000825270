"""`headgate demo contentforge`: a simulated day of a content studio, in a minute or two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.output import JsonFlag, err, fail, give, out


def contentforge(
    requests: Annotated[
        int, typer.Option(help="How many requests the day has.", min=10, max=50_000)
    ] = 5_000,
    seed: Annotated[int, typer.Option(help="Fixes traffic, providers and draws.", min=0)] = 7,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Another plan file, for the same studio.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="An empty directory to keep the history in.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Play a simulated day of a content studio on a made clock, and report on it."""
    import logging
    import tempfile

    from rich.progress import Progress

    from service.config import one_blas_thread

    one_blas_thread()
    from service.check import load_checked
    from service.domain.errors import HeadgateError
    from service.rehearsal.counting import counted
    from service.rehearsal.playing import TROUBLES, Wanted, played
    from service.rehearsal.report import report
    from service.rehearsal.shown import show
    from service.storage.errors import StorageError

    if state is not None and state.exists() and any(state.iterdir()):
        fail(f"{state} is not empty: a day begins with nothing known; name a new directory", 2)
    logging.getLogger("headgate").setLevel(logging.CRITICAL)  # the report tells of the day
    with tempfile.TemporaryDirectory(prefix="headgate-day-") as folder:
        where = state or Path(folder) / "state"
        try:
            wanted = Wanted(load_checked(plan or _plan()), requests, seed, TROUBLES)
            with Progress(console=err, transient=True) as bar:
                task = bar.add_task("the day", total=requests)
                over = played(wanted, where, lambda done: bar.update(task, completed=done))
            found = report(over, counted(where))
        except (HeadgateError, StorageError) as error:
            fail(str(error))
    give(found.as_json(), as_json, lambda _: show(found, out))
    if not found.agrees:
        raise typer.Exit(1)


def _plan() -> Path:
    """The studio's plan: beside the package in a wheel, among the examples in a source tree."""
    from service import rehearsal

    inside = Path(rehearsal.__path__[0]) / "contentforge.yaml"
    return inside if inside.exists() else Path("examples/contentforge.yaml").resolve()
