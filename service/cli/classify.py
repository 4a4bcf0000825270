"""`headgate classify`: of which task a text is, and what would follow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.output import JsonFlag, client, err, fail, give, say, service_errors, table

if TYPE_CHECKING:
    from learning.taxonomies.own import Wanted
    from learning.taxonomy import Classifier
    from service.plan.whole import Plan

MOST_ROWS = 6


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog='Example: headgate classify "Translate to Polish: good night"')(classify)


def classify(
    text: Annotated[str, typer.Argument(help="What would be asked.")],
    plan: Annotated[
        Path | None, typer.Option("--plan", help="A plan file; else the default taxonomy.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="Ask a running service instead.")] = None,
    state: Annotated[
        Path, typer.Option("--state", envvar="HEADGATE_STATE", help="Where fits are kept.")
    ] = Path("state"),
    as_json: JsonFlag = False,
) -> None:
    """The task of a text with every probability, its source, and how the request would go on."""
    if url is not None:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        with service_errors():
            give(client(url).post("/v1/classify", body), as_json, _show)
        return
    give(_by_plan(text, plan, state) if plan is not None else _by_default(text), as_json, _show)


def _by_default(text: str) -> dict[str, Any]:
    from learning.taxonomies import default
    from learning.taxonomy import classifier_features
    from service.domain.guesses import CLASSIFIER, Guess
    from service.plan.taxonomy import THRESHOLD
    from service.routing.classified import AUTO, REVIEW

    classifier = default.classifier()
    x = classifier_features(default.signals_of(text))
    guess = Guess(classifier.version, classifier.tasks, classifier.read(x), x)
    task, confidence = guess.best
    return {
        "task": task, "confidence": confidence, "source": CLASSIFIER, "threshold": THRESHOLD,
        "goes": REVIEW if confidence < THRESHOLD else AUTO, "safe": [],
        "classifier": guess.version, "probabilities": guess.top(len(guess.tasks)), "note": "",
    }  # fmt: skip


def _by_plan(text: str, path: Path, state: Path) -> dict[str, Any]:
    import msgspec

    from learning.features import Featurizer
    from service.bootstrap.routing import table as routing_table
    from service.bootstrap.taxonomy import finder_of
    from service.check import load_checked
    from service.domain.chat import parse
    from service.domain.errors import HeadgateError, PlanInvalid
    from service.domain.records import Key
    from service.routing.asked import Reader
    from service.routing.classified import told

    try:
        plan: Plan = load_checked(path, secrets=False)
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        request = parse(msgspec.json.encode(body))
    except (PlanInvalid, HeadgateError) as error:
        fail(str(error), 2)
    finder = finder_of(plan, state)
    if finder is not None and finder.wanted is not None and finder.current is None:
        finder.adopt(_fitted(finder.wanted), frozenset(plan.task_names))
    reader = Reader(
        routing_table(plan, plan.catalog({}), finder), Featurizer(plan.task_names), b"classify"
    )
    key = Key("", 0, "", "caller", "", "", "")
    return told(reader.read(request, key, ""), finder)


def _fitted(wanted: Wanted) -> Classifier:
    """Fitted here, as the service would; it takes some seconds."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from learning.taxonomy_fit import fit
    from service.feedback.classifying import STRENGTHS

    columns = (SpinnerColumn(), TextColumn("fitting the plan's classifier"))
    with Progress(*columns, console=err, transient=True) as progress:
        progress.add_task("")
        return fit(wanted.rows(), wanted.version, STRENGTHS)


def _show(found: dict[str, Any]) -> None:
    by = f", {found['classifier']}" if found["classifier"] else ""
    say(f"{found['task']}  {found['confidence']:.4f}  (by {found['source']}{by})")
    likeliest = list(found["probabilities"].items())[:MOST_ROWS]
    if likeliest:
        table(("task", "probability"), [(task, f"{p:.4f}") for task, p in likeliest])
    if found["goes"] == "review":
        by = f"by {', '.join(found['safe'])}" if found["safe"] else "by whom there is"
        say(f"below the threshold {found['threshold']}: it goes on {by}, a copy goes to review")
    elif found["threshold"] is not None:
        say(f"not below the threshold {found['threshold']}: it is routed as of this task")
    if found["note"]:
        say(f"note: {found['note']}")
