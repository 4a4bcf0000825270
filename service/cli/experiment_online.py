"""`headgate experiment`, on a running service: create, move, show, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    GlassFlag,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    fail,
    give,
    say,
    service_errors,
    signed,
    table,
)

Name = Annotated[str, typer.Argument(help="Its id (slug@version), or its slug: the last version.")]
Unproven = Annotated[
    bool, typer.Option("--unproven", help="Expose a version that the log has not proved yet.")
]


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    app.command("create", epilog="Example: headgate experiment create cheaper.yaml "
                '--reason "the small one may do"')(create)  # fmt: skip
    app.command("list", epilog="Example: headgate experiment list --json")(list_experiments)
    app.command("show", epilog="Example: headgate experiment show cheaper")(show)
    app.command("report", epilog="Example: headgate experiment report cheaper --json")(report)
    for step, words in _STEPS.items():
        app.command(
            step, help=words, epilog=f'Example: headgate experiment {step} cheaper '
            '--reason "as was planned"',
        )(_stepper(step))  # fmt: skip
    app.command("ship", epilog="Example: headgate experiment ship cheaper --variant small "
                '--reason "as good, for less"')(ship)  # fmt: skip


_STEPS = {
    "start": "Begin to expose units: one per cent of those that it may have.",
    "ramp": "Expose more: 5, 10, 25, 50, 100 per cent; nobody is moved out.",
    "pause": "Expose nobody for now; the next request gets what everybody gets.",
    "resume": "Expose the same units again.",
    "stop": "End it undecided; ship or roll back follows.",
    "rollback": "End it at once; a shipped version gives way to the one before.",
}


def create(
    design: Annotated[Path, typer.Argument(help="A YAML or JSON file with the design.")],
    reason: ReasonOption,
    layer: Annotated[str, typer.Option(help="Experiments of a layer exclude each other.")] = "main",
    share: Annotated[float, typer.Option(help="Its part of the layer's units.")] = 1.0,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Make a draft; nothing is exposed before it is started."""
    import yaml

    try:
        content = yaml.safe_load(design.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fail(f"{design} cannot be read: {error}", 2)
    body = {
        "design": content, "layer": layer, "share": share, **signed(author, reason),
    }  # fmt: skip
    with service_errors():
        give(client(url).post("/admin/experiments", body), as_json, _show)


def list_experiments(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """All experiments, newest first."""
    with service_errors():
        give(client(url).get("/admin/experiments"), as_json, _show_all)


def show(name: Name, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One experiment with every step that was taken."""
    with service_errors():
        give(client(url).get(f"/admin/experiments/{name}"), as_json, _show)


def report(name: Name, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What its data say now; the intervals hold however often one looks."""
    with service_errors():
        give(client(url).get(f"/admin/experiments/{name}/report"), as_json, _show_report)


def ship(
    name: Name,
    variant: Annotated[str, typer.Option(help="The variant that everybody is to get.")],
    reason: ReasonOption,
    author: AuthorOption = None,
    unproven: Unproven = False,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Give everybody a variant; a version that it names becomes the live one, and is watched."""
    _step(name, "ship", (reason, author, variant, unproven, break_glass), url, as_json)


def _stepper(step: str) -> Any:
    def take(
        name: Name,
        reason: ReasonOption,
        author: AuthorOption = None,
        unproven: Unproven = False,
        break_glass: GlassFlag = False,
        url: UrlOption = DEFAULT_URL,
        as_json: JsonFlag = False,
    ) -> None:
        _step(name, step, (reason, author, None, unproven, break_glass), url, as_json)

    return take


def _step(
    name: str, step: str, asked: tuple[str, str | None, str | None, bool, bool], url: str,
    as_json: bool,
) -> None:  # fmt: skip
    reason, author, variant, unproven, break_glass = asked
    body = {
        **signed(author, reason), "variant": variant,
        "unproven": unproven, "break_glass": break_glass,
    }  # fmt: skip
    with service_errors():
        give(client(url).post(f"/admin/experiments/{name}/{step}", body), as_json, _show)


def _show_all(found: dict[str, Any]) -> None:
    for warning in found["warnings"]:
        say(f"warning: {warning}")
    if not found["experiments"]:
        say("there is no experiment yet; headgate experiment create makes one")
        return
    table(
        ("id", "state", "exposed %", "layer", "variants"),
        [
            (e["id"], e["state"], e["exposed"], e["layer"], _shares(e))
            for e in found["experiments"]
        ],
    )  # fmt: skip


def _shares(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in found["variants"].items())


def _show(found: dict[str, Any]) -> None:
    say(f"{found['id']}: {found['state']}, {found['exposed']} % of its units exposed")
    say(f"{found['hypothesis']}\nvariants {_shares(found)}; goals {', '.join(found['goals'])}; "
         f"guardrails {', '.join(found['guardrails']) or 'none'}")  # fmt: skip
    if found["held"]:
        say(f"held: {found['held']}")
    for verdict in found.get("verdicts", []):
        say(f"  {verdict['status']}: {verdict['words']}")
    if found.get("steps"):
        table(
            ("at", "step", "to", "%", "author", "reason"),
            [(s["at"], s["step"], s["after"], s["percent"], s["author"], s["reason"])
             for s in found["steps"]],
        )  # fmt: skip
    say(f"next: {', '.join(found['next_steps']) or 'nothing; a new version may be made'}")


def _show_report(found: dict[str, Any]) -> None:
    advice = found["advice"]
    say(f"{found['slug']}@{found['version']}: {found['rows']} decisions")
    say(f"advice: {advice['recommendation']} {advice['variant'] or ''}".rstrip())
    for reason in advice["reasons"]:
        say(f"  {reason}")
    for change in advice["would_change"]:
        say(f"  would change it: {change}")
    for caveat in (*found["invalid"], *found["caveats"]):
        say(f"note: {caveat}")
    if found["responses"]:
        say(f"rated of the first answers: {_rates(found['responses']['variants'])}")
    if found["comparisons"]:
        table(
            ("metric", "treatment", "finding", "control", "treated", "relative", "low", "high",
             "units", "days left"),
            [_row(each) for each in found["comparisons"]],
        )  # fmt: skip


def _rates(variants: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{each['variant']} {each['rated']} of {each['answers']}"
        + (f" (judged {each['judged']})" if each["judged"] else "")
        for each in variants
    )


def _row(found: dict[str, Any]) -> tuple[Any, ...]:
    means = found["means"] or (None, None)
    gap = found["relative"] or {"estimate": None, "low": None, "high": None}
    units = "/".join(str(each) for each in found["counts"]["units"])
    return (
        found["metric"], found["treatment"], found["finding"], *means, gap["estimate"],
        gap["low"], gap["high"], units, _days(found["days"]),
    )  # fmt: skip


def _days(days: float | None) -> str:
    if days is None:
        return "-"
    return "under 0.1" if days < 0.1 else f"{days:.1f}"
