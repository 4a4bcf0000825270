"""`headgate workflow`: workflows looked at, checked, estimated, run and followed, called off."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli import workflow_shown as shown
from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    fail,
    give,
    say,
    service_errors,
)

app = typer.Typer(help="Workflows: several calls for one result, from a file.")

Name = Annotated[str, typer.Argument(help="The workflow's name.")]
RunId = Annotated[str, typer.Argument(help="The run's id.")]
InputsOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", help="NAME=VALUE; a value that is no JSON is a text; @FILE."),
]
FileOption = Annotated[
    Path | None, typer.Option("--inputs", help="A JSON or YAML file with the inputs.")
]
ExampleFlag = Annotated[bool, typer.Option("--example", help="With the file's example inputs.")]
AGAIN_S = 0.2  # the stream of events ended before the run did


@app.command("list", epilog="Example: headgate workflow list --json")
def list_workflows(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """All that the service can run: the library's, and the plan's own."""
    with service_errors():
        give(client(url).get("/v1/workflows"), as_json, shown.show_list)


@app.command("show", epilog="Example: headgate workflow show map-reduce-summary")
def show_workflow(name: Name, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One workflow: what it is for, its inputs, its steps and what leads where."""
    with service_errors():
        give(client(url).get(f"/v1/workflows/{name}"), as_json, shown.show_one)


@app.command("check", epilog="Example: headgate workflow check my-flow.yaml --plan plan.yaml")
def check_files(
    files: Annotated[list[Path], typer.Argument(help="Workflow files.")],
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Also: does it name only what this plan has?")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read files and say everything that is wrong, with line and mend; calls nobody."""
    from service.cli.workflow_files import checked

    found = [checked(path, plan) for path in files]
    give({"files": found}, as_json, shown.show_checked)
    if any(each["problems"] for each in found):
        raise typer.Exit(1)


@app.command("estimate", epilog="Example: headgate workflow estimate best-of-n --example")
def estimate_run(
    name: Name,
    inputs: InputsOption = None,
    file: FileOption = None,
    example: ExampleFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What a run would cost and how long it would take, before it is begun."""
    with service_errors():
        asked = client(url)
        body = {"inputs": _inputs(asked, name, inputs, file, example)}
        found = asked.post(f"/v1/workflows/{name}/estimate", body)
        give(found, as_json, shown.show_estimate)


@app.command(
    "run", epilog='Example: headgate workflow run best-of-n -i question="Why bend rivers?"'
)
def run_workflow(
    name: Name,
    inputs: InputsOption = None,
    file: FileOption = None,
    example: ExampleFlag = False,
    detach: Annotated[bool, typer.Option("--detach", help="Only begin it; print its id.")] = False,
    into: Annotated[
        Path | None, typer.Option("--into", help="A folder for images and sounds.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Run it and follow its steps. Interrupted (Ctrl-C), the run is called off. Exit code 1 where
    it did not come to its end; what it had come to is shown all the same.
    """
    with service_errors():
        asked = client(url)
        body = {"inputs": _inputs(asked, name, inputs, file, example), "mode": "async"}
        begun = asked.post(f"/v1/workflows/{name}/runs", body)
        if detach:
            give(begun, as_json, lambda each: say(str(each["id"])))
            return
        found = _followed(asked, str(begun["id"]), name)
        _give_run(found, as_json, into)


@app.command("runs", epilog="Example: headgate workflow runs --workflow best-of-n")
def list_runs(
    run_id: Annotated[str, typer.Argument(help="One run, with its steps.")] = "",
    workflow: Annotated[str, typer.Option("--workflow", help="Of this one alone.")] = "",
    into: Annotated[
        Path | None, typer.Option("--into", help="A folder for images and sounds.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """The latest runs, or one run with its steps and outputs."""
    with service_errors():
        asked = client(url)
        if run_id:
            found = asked.get(f"/v1/workflows/runs/{run_id}")
            give(found, as_json, lambda each: shown.show_run(each, into))
            return
        given = {"workflow": workflow} if workflow else {}
        give(asked.get("/v1/workflows/runs", **given), as_json, shown.show_runs)


@app.command("cancel", epilog="Example: headgate workflow cancel 0193f2aa-...")
def cancel_run(run_id: RunId, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Call a run off: its calls are ended at the providers, and what it had is kept."""
    with service_errors():
        found = client(url).post(f"/v1/workflows/runs/{run_id}/cancel", {})
        give(found, as_json, lambda each: say(f"{each['id']} {each['status']}"))


@app.command("replay", epilog="Example: headgate workflow replay 0193f2aa-...")
def replay_run(run_id: RunId, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Walk a run again with the results that its steps had, and say whether the same came out;
    calls nobody and costs nothing.
    """
    with service_errors():
        found = client(url).post(f"/v1/workflows/runs/{run_id}/replay", {})
        give(found, as_json, shown.show_replay)
    if not found.get("same", True):
        raise typer.Exit(1)


@app.command("docs", epilog="Example: headgate workflow docs --into docs/workflows")
def write_docs(
    into: Annotated[Path, typer.Option("--into", help="The folder.")] = Path("docs/workflows"),
    as_json: JsonFlag = False,
) -> None:
    """Write a page for each workflow of the library, and the list of all; calls nobody."""
    from service.cli.workflow_files import pages

    into.mkdir(parents=True, exist_ok=True)
    written = pages()
    for name, text in written.items():
        (into / name).write_text(text, "utf-8")
    told = {"folder": str(into), "pages": list(written)}
    give(told, as_json, lambda each: say(f"{len(each['pages'])} pages in {each['folder']}"))


def _inputs(
    asked: Any, name: str, given: list[str] | None, file: Path | None, example: bool
) -> dict[str, Any]:
    """The example's, then those of a file, then those given one by one."""
    from service.cli.workflow_files import one_by_one, read_inputs

    found: dict[str, Any] = {}
    if example:
        found |= asked.get(f"/v1/workflows/{name}")["example"]["inputs"]
    if file is not None:
        found |= read_inputs(file)
    return found | one_by_one(given or [])


def _followed(asked: Any, run_id: str, name: str) -> dict[str, Any]:
    """The run at its end; called off where somebody interrupts."""
    from service.cli.workflow_live import ENDS, Progress, follow

    progress = Progress(name)
    try:
        while True:
            follow(progress, asked.lines(f"/v1/workflows/runs/{run_id}/events"))
            found: dict[str, Any] = asked.get(f"/v1/workflows/runs/{run_id}")
            if found["status"] in ENDS:
                return found
            time.sleep(AGAIN_S)
    except KeyboardInterrupt:
        asked.post(f"/v1/workflows/runs/{run_id}/cancel", {})
        fail(f"called off: headgate workflow runs {run_id} shows what it had come to")


def _give_run(found: dict[str, Any], as_json: bool, into: Path | None) -> None:
    give(found, as_json, lambda each: shown.show_run(each, into))
    if found["status"] != "done":
        raise typer.Exit(1)
