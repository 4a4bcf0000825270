"""A workflow's page in the docs, made from its file alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.orchestration.workflows.drawing import COMPOSITE, calls, drawn, ends
from service.orchestration.workflows.forms import InputForm, SelectForm
from service.orchestration.workflows.steps import Step, Workflow

HEAD = "<!-- Made from service/orchestration/library/{name}.yaml by: headgate workflow docs -->"
SHAPES = {"check": "{{{{{}}}}}", "code": "{{{{{}}}}}", "transform": "[/{}/]", "select": "([{}])"}


def page(workflow: Workflow, figures: Mapping[str, Any] | None = None) -> str:
    """Purpose, graph, inputs, execution, errors, limits, figures, outputs and the example."""
    form = workflow.form
    parts = [
        f"# {form.name}", HEAD.format(name=form.name), form.purpose, "## The graph",
        f"```mermaid\n{mermaid(workflow)}\n```",
        "A dashed box runs only under its condition; a rounded one calls nobody or is a check.",
        "## How it executes", form.execution, "## When something fails", form.errors,
        *_limits(workflow), *_figures(figures), "## Inputs", _inputs(form.inputs), "## Outputs",
        _outputs(workflow), "## Steps", _steps(workflow.steps), *_example(workflow),
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def index(workflows: Iterable[Workflow], figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The list of all."""
    rows = []
    for each in workflows:
        least, most = calls(each)
        known = figures.get(each.name)
        cost = f"${known['cost_usd']:.5f}" if known else "-"
        time = f"{known['time_s']:.2f} s" if known else "-"
        rows.append((f"[{each.name}]({each.name}.md)", _first(each.form.purpose),
                     f"{least} to {most}", cost, time))  # fmt: skip
    told = _table(("workflow", "what it is for", "calls", "example costs", "takes"), rows)
    return (
        "# The library of workflows\n\n"
        "<!-- Made from service/orchestration/library/*.yaml by: headgate workflow docs -->\n\n"
        "They ship with the service and run by name: `headgate workflow run NAME`, "
        "`POST /v1/workflows/NAME/runs`, or, where a workflow has a chat input, as the model "
        "`workflow:NAME` of a chat completion. Copy a file into the plan's own directory to change "
        "it. Costs and times are of the example run on the simulated deployments of "
        "`examples/simulated.yaml`; the service estimates yours before a run.\n\n"
        f"{told}\n"
    )


def mermaid(workflow: Workflow) -> str:
    """The graph in Mermaid's language."""
    lines = ["flowchart TD"]
    _bodies(workflow.steps, lines, "  ")
    shown = {each.id: each for each in drawn(workflow)}
    for each in shown.values():
        for need in each.needs:
            if not (each.kind in ("loop", "group") and shown[need].inside == each.id):
                lines.append(f"  {need} --> {each.id}")
    for step in workflow.walk():
        if isinstance(step.form, COMPOSITE) and step.kind == "loop":
            first = next(each.id for each in step.body if not each.needs)
            lines += [f"  {end} -. again .-> {first}" for end in ends(step)]
    dashed = [each.id for each in shown.values() if each.conditional]
    if dashed:
        lines.append("  classDef when stroke-dasharray: 5 4")
        lines.append(f"  class {','.join(dashed)} when")
    return "\n".join(lines)


def _bodies(steps: Sequence[Step], lines: list[str], indent: str) -> None:
    for step in steps:
        label = _label(step)
        if step.body:
            lines.append(f'{indent}subgraph {step.id}["{label}"]')
            _bodies(step.body, lines, indent + "  ")
            lines.append(f"{indent}end")
        else:
            shape = SHAPES.get(step.kind, "[{}]")
            text = f'"{label}"'
            lines.append(f"{indent}{step.id}{shape.format(text)}")


def _label(step: Step) -> str:
    told = f"{step.id}<br/>{step.kind}"
    if step.kind == "loop":
        told += f", at most {getattr(step.form, 'most', 1)} times"
    if step.form.map is not None:
        told += ", once for each item"
    return told


def _limits(workflow: Workflow) -> list[str]:
    limits, (least, most) = workflow.form.limits, calls(workflow)
    told = f"A run makes {least} to {most} calls" if most > least else f"A run makes {least} calls"
    return [
        "## Time, cost and limits",
        f"{told} (tries of routing not counted). It never passes {limits.max_steps} executions of "
        f"steps, ${limits.max_cost_usd:.2f}, {limits.max_time_s:.0f} s or {limits.max_loop} turns "
        "of a loop; what would pass one of them is not begun, and the run ends with what it has.",
    ]


def _figures(figures: Mapping[str, Any] | None) -> list[str]:
    if not figures:
        return []
    told = figures["estimated_usd"], figures["low_usd"], figures["high_usd"]
    rows = [
        ("estimated before", "${:.6f} (${:.6f} to ${:.6f})".format(*told),
         f"{figures['estimated_s']:.2f} s", "-"),
        ("measured after", f"${figures['cost_usd']:.6f}", f"{figures['time_s']:.2f} s",
         f"{figures['calls']:.1f}"),
    ]  # fmt: skip
    return [
        "The example below on the simulated deployments, in means: the estimate learned from as "
        f"many runs as were measured after it ({figures['runs']}; in brackets, eight runs in ten):",
        _table(("", "cost", "time", "calls"), rows),
        "Costs swing with who is drawn (the dearest of these deployments costs eighty times the "
        "cheapest), so few runs say little of a mean cost.",
    ]


def _inputs(inputs: Mapping[str, InputForm]) -> str:
    rows = [
        (f"`{name}`", each.type, "yes" if each.needed else _value(each.default),
         _bounds(each), each.description)
        for name, each in inputs.items()
    ]  # fmt: skip
    return _table(("input", "type", "required, or the default", "bounds", "what it is"), rows)


def _bounds(each: InputForm) -> str:
    told = []
    if each.choices:
        told.append("one of " + ", ".join(str(choice) for choice in each.choices))
    if each.min is not None:
        told.append(f"at least {each.min:g}")
    if each.max is not None:
        told.append(f"at most {each.max:g}")
    if each.max_length is not None:
        told.append(f"at most {each.max_length} characters")
    return ", ".join(told) or "-"


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 60 else "as in the file"


def _outputs(workflow: Workflow) -> str:
    rows = [
        (f"`{name}`", each.type, f"`{each.value}`" if len(each.value) <= 70 else "worked out",
         each.description or "-")
        for name, each in workflow.form.outputs.items()
    ]  # fmt: skip
    return _table(("output", "type", "from", "what it is"), rows)


def _steps(steps: Sequence[Step]) -> str:
    rows: list[tuple[str, ...]] = []

    def walk(of: Sequence[Step], deep: int) -> None:
        for step in of:
            form = step.form
            rows.append((
                "› " * deep + f"`{step.id}`", step.kind,
                f"`{form.when}`" if form.when else "always",
                f"over `{form.map.over}`" if form.map else "-",
                f"{form.timeout_s:g} s" if form.timeout_s else "the run's",
                _fallback(step), _does(step),
            ))  # fmt: skip
            walk(step.body, deep + 1)

    walk(steps, 0)
    return _table(("step", "kind", "when", "each", "timeout", "if it fails", "what it does"), rows)


def _fallback(step: Step) -> str:
    if step.otherwise is not None:
        return "tried once more with other settings"
    return "goes on with fixed values" if step.fixed else "the run fails"


def _does(step: Step) -> str:
    form = step.form
    if form.description:
        return form.description
    if isinstance(form, SelectForm):
        return "the best, by a judge" if form.by.judge else "the best"
    return "-"


def _example(workflow: Workflow) -> list[str]:
    example = workflow.form.example
    if example is None:
        return []
    inputs = json.dumps(example.inputs, indent=2, ensure_ascii=False)
    holds = "\n".join(f"- `{each}`" for each in example.holds)
    command = f"headgate workflow run {workflow.name} --example"
    return [
        "## The example", f"```json\n{inputs}\n```",
        f"Of its outputs must hold, and the tests see to it:\n\n{holds}",
        f"```\n{command}\n```",
    ]  # fmt: skip


def _first(text: str) -> str:
    return text.replace("\n", " ").partition(": ")[0].rstrip(".")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
