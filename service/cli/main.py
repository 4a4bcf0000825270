"""The `headgate` command: one file a noun, joined here."""

from __future__ import annotations

import atexit
import gc
import os
import sys

import typer

from service.cli import (
    alerts,
    approvals,
    audit,
    batch,
    benchmark,
    budget,
    cache,
    capabilities,
    classifier,
    classify,
    conversation,
    cost,
    deployment,
    ensemble,
    escalation,
    evaluate,
    experiment,
    generate_history,
    history,
    judge,
    keys,
    knowledge,
    ledger,
    opportunities,
    override,
    policy,
    prediction,
    propensities,
    queue,
    ratings,
    reload,
    report,
    review,
    serve,
    shadow,
    show,
    trends,
    workflow,
)

app = typer.Typer(
    help="Headgate: one OpenAI-compatible address in front of many models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (
    serve,
    show,
    history,
    generate_history,
    evaluate,
    reload,
    trends,
    classify,
    capabilities,
    ratings,
):
    group.register(app)
app.add_typer(alerts.app, name="alerts")
app.add_typer(approvals.app, name="approvals")
app.add_typer(audit.app, name="audit")
app.add_typer(batch.app, name="batch")
app.add_typer(budget.app, name="budget")
app.add_typer(cache.app, name="cache")
app.add_typer(classifier.app, name="classifier")
app.add_typer(conversation.app, name="conversation")
opportunities.register(cost.app)
app.add_typer(cost.app, name="cost")
app.add_typer(deployment.app, name="deployment")
app.add_typer(experiment.app, name="experiment")
app.add_typer(judge.app, name="judge")
app.add_typer(keys.app, name="keys")
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(ledger.app, name="ledger")
app.add_typer(override.app, name="override")
app.add_typer(policy.app, name="policy")
app.add_typer(prediction.app, name="prediction")
app.add_typer(escalation.app, name="escalation")
app.add_typer(ensemble.app, name="ensemble")
app.add_typer(propensities.app, name="propensities")
app.add_typer(report.app, name="report")
app.add_typer(review.app, name="review")
app.add_typer(queue.app, name="queue")
app.add_typer(shadow.app, name="shadow")
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(workflow.app, name="workflow")


def main() -> None:
    """Run the command line."""
    # Most of what a command makes at its start are modules, which stay: a fifth of its CPU went
    # into collections that looked through them.
    gc.set_threshold(10_000, 20, 50)
    atexit.register(_end_quietly)
    app()


def _end_quietly() -> None:
    """Say nothing more. The binding of DuckDB lists on standard error what lives on at the end of a
    process, and what msgspec decodes keeps its modules alive, so there always is something.
    """
    if "duckdb" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
