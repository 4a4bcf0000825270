"""`headgate experiment`: experiments, from the first plan to the decision."""

from __future__ import annotations

import typer

from service.cli import experiment_offline, experiment_online

app = typer.Typer(help="Experiments: plan, run, report, decide.", no_args_is_help=True)
experiment_offline.register(app)
experiment_online.register(app)
