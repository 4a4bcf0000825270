"""What `headgate workflow` shows to people."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from service.cli.output import fail, say, table
from service.cli.workflow_live import indented

SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "audio/wav": "wav", "audio/mpeg": "mp3"}
MOST_SHOWN = 4_000


def show_list(found: dict[str, Any]) -> None:
    """All workflows."""
    rows = [
        (each["name"], each.get("version"), ", ".join(each.get("inputs") or ()), each["purpose"])
        for each in found["data"]
    ]
    table(("name", "version", "inputs", "what it is for"), rows, whole="name")


def show_one(found: dict[str, Any]) -> None:
    """One workflow, read from its file."""
    from service.orchestration.workflows.drawing import calls, drawn
    from service.orchestration.workflows.format import read

    workflow = read(found["source"])
    form = workflow.form
    least, most = calls(workflow)
    say(f"{form.name}, version {form.version}\n{form.purpose}")
    say(f"\nhow: {form.execution}\nerrors: {form.errors}\ncalls: {least} to {most}")
    say(f"limits: {form.limits.max_steps} executions, ${form.limits.max_cost_usd:g}, "
        f"{form.limits.max_time_s:g} s\n")  # fmt: skip
    table(("input", "type", "default", "what it is"),
          [(n, i.type, "required" if i.needed else json.dumps(i.default)[:40], i.description)
           for n, i in form.inputs.items()])  # fmt: skip
    table(("output", "type", "what it is"),
          [(n, o.type, o.description) for n, o in form.outputs.items()])  # fmt: skip
    rows = [
        (("  " if each.inside else "") + each.id, each.note, ", ".join(each.needs) or "the start",
         "under its condition" if each.conditional else "always")
        for each in drawn(workflow)
    ]  # fmt: skip
    table(("step", "does", "after", "runs"), rows)


def show_checked(found: dict[str, Any]) -> None:
    """What is wrong with files."""
    for each in found["files"]:
        if not each["problems"]:
            say(f"{each['file']}: {each['name']} can be run")
        for problem in each["problems"]:
            line = f", line {problem['line']}" if problem["line"] else ""
            mend = f"; {problem['mend']}" if problem["mend"] else ""
            say(f"{each['file']}{line}: {problem['key']} {problem['message']}{mend}")


def show_estimate(found: dict[str, Any]) -> None:
    """Cost and time before a run."""
    cost, time = found["cost_usd"], found["time_s"]
    say(f"${cost['mean']:.6f} (${cost['low']:.6f} to ${cost['high']:.6f})")
    say(f"{time['mean']:.2f} s ({time['low']:.2f} to {time['high']:.2f})")
    say(f"from {found['learned_from']} runs; in brackets eight runs in ten\n")
    table(("step", "executions", "cost $", "from runs"),
          [(s["step"], s["executions"], s["cost_usd"], s["learned_from"])
           for s in found["steps"]])  # fmt: skip


def show_runs(found: dict[str, Any]) -> None:
    """The latest runs, in columns that a terminal of eighty characters has room for."""
    rows = [
        (each["id"], each["workflow"], _end(each), f"${each.get('cost_usd') or 0:.6f}",
         _time(each.get("took_s")))
        for each in found["data"]
    ]  # fmt: skip
    table(("id", "workflow", "state", "cost", "took"), rows)


def _end(run: dict[str, Any]) -> str:
    code = (run.get("error") or {}).get("code")
    return f"{run['status']}: {code}" if code else str(run["status"])


def show_run(found: dict[str, Any], into: Path | None) -> None:
    """One run: how it ended, its steps, its outputs."""
    said = f"{found['workflow']} {found['id']}: {found['status']}"
    if error := found.get("error"):
        said += (f" at {error['step']}" if error["step"] else "") + f": {error['message']}"
    say(said)
    rows = [
        (indented(each["path"]), each["kind"], each["status"], each.get("deployment") or "-",
         f"${each.get('cost_usd') or 0:.6f}", _time(each.get("latency_s")), each.get("code") or "-")
        for each in found.get("steps") or ()
    ]  # fmt: skip
    if rows:
        table(("step", "kind", "state", "deployment", "cost", "took", "failed by"), rows)
    began = str(found.get("created_at") or "-")[:19].replace("T", " ")
    cost, took = found.get("cost_usd") or 0, _time(found.get("took_s"))
    say(f"began {began} UTC, cost ${cost:.6f}, took {took}\n")
    for name, value in (found.get("outputs") or {}).items():
        say(f"{name}: {_output(name, value, into)}")


def show_replay(found: dict[str, Any]) -> None:
    """Whether a run came out the same again."""
    if found.get("same", True):
        say("the same steps gave the same outputs")
        return
    say(f"NOT the same: it ended {found['status']}, or with other outputs (--json shows them)")


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def _output(name: str, value: Any, into: Path | None) -> str:
    if isinstance(value, dict) and isinstance(value.get("b64"), str):
        return _media(name, value, into)
    if isinstance(value, list) and value and all(isinstance(v, dict) and "b64" in v for v in value):
        return ", ".join(_media(f"{name}-{at}", each, into) for at, each in enumerate(value, 1))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}… (--json shows all)"


def _media(name: str, value: dict[str, Any], into: Path | None) -> str:
    kind = str(value.get("media_type", ""))
    try:
        data = base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        return "not readable"
    if into is None:
        return f"{kind}, {len(data)} bytes; --into FOLDER writes it"
    path = into / f"{name}.{SUFFIXES.get(kind, 'bin')}"
    try:
        into.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    return str(path)
