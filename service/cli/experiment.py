"""`headgate experiment`: experiments, from the first plan to the decision."""

from __future__ import annotations

import typer

from service.cli import experiment_offline

app = typer.Typer(help="Plan experiments and prove their statistics.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Plan experiments and prove their statistics."""


experiment_offline.register(app)
