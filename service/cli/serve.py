"""`headgate serve`, `check`, `simulate`, `demo`: what runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import JsonFlag, StateOption, err, fail, give, out, say
from service.cli.rehearse import contentforge

if TYPE_CHECKING:
    from service.plan.whole import Plan

PlanArgument = Annotated[Path, typer.Argument(help="The plan file.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: headgate serve --plan examples/simulated.yaml --state state")(
        serve
    )
    app.command(epilog="Example: headgate check examples/simulated.yaml")(check)
    app.command(epilog="Example: headgate simulate --port 9100")(simulate)
    demos = typer.Typer(invoke_without_command=True, epilog="Example: headgate demo --seconds 40")
    demos.callback()(demo)
    example = "Example: headgate demo contentforge --requests 1000 --seed 7"
    demos.command(epilog=example)(contentforge)
    app.add_typer(demos, name="demo")


def serve(
    plan: Annotated[Path, typer.Option("--plan", help="The plan file.")],
    state: StateOption = "state",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0)] = 8080,
) -> None:
    """Run the service."""
    from service.config import one_blas_thread

    one_blas_thread()
    from service.app import create_app
    from service.bootstrap.build import build
    from service.bootstrap.reload import PlanSource
    from service.check import load_checked
    from service.cli.server import run
    from service.config import Settings
    from service.domain.errors import HeadgateError
    from service.storage.errors import StorageError

    try:
        checked = load_checked(plan)
        settings = Settings.from_environment(Path(state))
        runtime = build(checked, settings, source=PlanSource(plan, load_checked))
    except (HeadgateError, StorageError) as error:
        fail(str(error))
    for notice in runtime.notices:
        err.print(f"note: {notice}", markup=False, highlight=False)
    if runtime.first_key is not None:
        err.print("The first administrator key, shown this once; keep it:", highlight=False)
        err.print(runtime.first_key, markup=False, highlight=False)
    app = create_app(runtime)
    if checked.console.enabled:
        from service.console.mount import console

        app.console, app.sockets = console(app, runtime)
        err.print("note: the console is on, at /console", markup=False, highlight=False)
    run(app, host, port, runtime.ask_reload)


def check(plan: PlanArgument, as_json: JsonFlag = False) -> None:
    """Hold a plan against everything registered; every problem with line, key and mend."""
    from service.check import load_checked
    from service.domain.errors import PlanInvalid

    try:
        checked = load_checked(plan)
    except PlanInvalid as error:
        problems = [
            {"line": p.line, "key": p.key, "message": p.message, "mend": p.mend}
            for p in error.problems
        ]
        told = str(error)
        give(
            {"ok": False, "problems": problems},
            as_json,
            lambda _: err.print(told, markup=False, highlight=False),
        )
        raise typer.Exit(1) from None
    told = f"{plan}: {len(checked.deployments)} deployments, {len(checked.task_names)} tasks; good"
    told += f"\n{alerts_in_words(checked)}"
    give({"ok": True, "problems": []}, as_json, lambda _: say(told))


def alerts_in_words(plan: Plan) -> str:
    """Which rules of a plan alert, and whom."""
    from service.monitoring.rules import ALERT_RULES

    alerts = plan.alerts
    if not alerts.enabled:
        return "alerts: off"
    off = [name for name, rule in ALERT_RULES.items() if not rule.enabled(alerts)]
    idle = ["spend (no limit is set)"] if not (
        alerts.spend.usd_per_hour or alerts.spend.usd_per_day or "spend" in off
    ) else []  # fmt: skip
    told = [f"{each.name} ({', '.join(each.severities)})" for each in alerts.channels]
    if plan.notify.webhook_env:
        told.append("the webhook of notify")
    whom = ", ".join(told) or "nobody: name alerts.channels"
    silent = f"; silent: {', '.join([*off, *idle])}" if off or idle else ""
    return f"alerts: {len(ALERT_RULES) - len(off)} rules, told: {whom}{silent}"


def simulate(
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0)] = 9100,
    seed: Annotated[int, typer.Option(help="Fixes every draw.")] = 7,
    speed: Annotated[float, typer.Option(help="Divides all latencies.", min=0.01)] = 1.0,
    answers: Annotated[
        Path | None, typer.Option(help="A file of prompts whose example answers are given.")
    ] = None,
) -> None:
    """Run the simulated providers alone, on loopback."""
    from service.benchmarking.prompts import PromptsInvalid, read
    from service.benchmarking.pupils import Pupils
    from service.cli.server import run
    from service.providers.simulated import Behaviour, Stream
    from service.simulate import SimulatedProviders

    behaviour: Behaviour = Stream(seed=seed, speed=speed)
    if answers is not None:
        try:
            behaviour = Pupils(Stream(seed=seed, speed=speed), read(answers).items)
        except PromptsInvalid as error:
            fail(str(error), 2)
    run(SimulatedProviders(behaviour).app(), "127.0.0.1", port)


def demo(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(help="How long it runs.", min=5.0, max=3600.0)] = 40.0,
    rate: Annotated[float, typer.Option(help="Requests per second.", min=1, max=200)] = 30.0,
    seed: Annotated[int, typer.Option(help="Fixes traffic and providers.")] = 7,
    as_json: JsonFlag = False,
) -> None:
    """Show the main job without keys: learning, a failing deployment, its return, the savings."""
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from service.config import one_blas_thread

    one_blas_thread()
    from service.demo import Settings, play

    report = asyncio.run(play(Settings(seconds, rate, seed, quiet=as_json)))
    give(report.as_json(), as_json, lambda _: report.show(out))
    if not report.complete:
        raise typer.Exit(1)
