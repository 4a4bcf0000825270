"""`headgate experiment simulate`, `plan`: what can be asked before anything is exposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.output import JsonFlag, err, fail, give, out, table

if TYPE_CHECKING:
    import numpy as np

    from experiments.metrics import Frame, Metric, Values
    from experiments.offline.calibration import Plan
    from experiments.offline.distributions import Source
    from experiments.offline.sizing import Asked, Known
    from experiments.statistics.power import Traffic

MOST_ROWS = 1_000_000  # of a history, the newest

MetricOption = Annotated[str, typer.Option(help="A metric, such as error_rate or quality.")]
AlphaOption = Annotated[float, typer.Option(help="The chance of a false alarm, ever.")]
ShareOption = Annotated[float, typer.Option(help="The treatment's part of both arms.")]
HistoryOption = Annotated[
    str | None, typer.Option("--state", help="A state directory: read its published history.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Example: headgate experiment simulate --metric error_rate --effect 0 "
        "--looks 100 --sims 2000 --json"
    )(simulate)
    app.command(
        epilog="Example: headgate experiment plan --metric success_rate --baseline 0.8 "
        "--effect 0.05 --traffic 500"
    )(plan)


def simulate(
    metric: MetricOption,
    effect: Annotated[
        float, typer.Option(help="Absolute for a rate, otherwise relative; 0 is an A/A run.")
    ] = 0.0,
    looks: Annotated[int, typer.Option(help="How often one looks, evenly spaced.")] = 100,
    sims: Annotated[int, typer.Option(help="Runs.")] = 2_000,
    distribution: Annotated[
        str | None,
        typer.Option(help="Such as bernoulli_0.98, lognormal_2, clustered_1; the usual if empty."),
    ] = None,
    state: HistoryOption = None,
    units: Annotated[int, typer.Option(help="In the treatment, at the last look.")] = 5_000,
    treatment_share: ShareOption = 0.5,
    alpha: AlphaOption = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulation.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """How often every test of a metric is fooled by looking, or finds an effect, simulated."""
    from experiments.errors import ExperimentError
    from experiments.metrics import metric as row
    from experiments.offline.calibration import Plan, report

    if distribution is not None and state is not None:
        fail("--distribution and --state: name one of them, where units are drawn from", 2)
    try:
        measured = row(metric)
        asked = Plan(effect, looks, sims, units, treatment_share, alpha, seed)
        source = _source(measured, distribution, state)
        found = report(measured, asked, source.name, _simulated(measured, asked, source))
    except ExperimentError as error:
        fail(str(error), 2)
    give(found, as_json, _show_simulation)


def plan(
    metric: MetricOption,
    effect: Annotated[
        float, typer.Option(help="The least that matters: absolute for a rate, else relative.")
    ],
    baseline: Annotated[float | None, typer.Option(help="The metric's value now.")] = None,
    sd: Annotated[
        float | None, typer.Option(help="Deviation of one unit; for a rate known without it.")
    ] = None,
    power: Annotated[float, typer.Option(help="The chance to find that effect.")] = 0.8,
    alpha: AlphaOption = 0.05,
    traffic: Annotated[float | None, typer.Option(help="Units a day.")] = None,
    treatment_share: ShareOption = 0.5,
    share_exposed: Annotated[
        float, typer.Option(help="Part of the traffic that is in the experiment.")
    ] = 1.0,
    rated_share: Annotated[
        float | None, typer.Option(help="Part of the units that have the metric, as ratings have.")
    ] = None,
    state: HistoryOption = None,
    as_json: JsonFlag = False,
) -> None:
    """How many units and days an effect takes, for one look and for looking all along."""
    from experiments.errors import ExperimentError
    from experiments.metrics import metric as row
    from experiments.offline.sizing import Asked
    from experiments.statistics.power import Traffic

    try:
        measured = row(metric)
        asked = Asked(effect, alpha, power, treatment_share)
        known, a_day, rated, notes = _known(measured, state, (baseline, sd, traffic, rated_share))
        comes = None if a_day is None else Traffic(a_day, share_exposed, rated)
        found = _plan(measured, known, asked, comes) | {"notes": list(notes)}
    except ExperimentError as error:
        fail(str(error), 2)
    give(found, as_json, _show_plan)


def _source(measured: Metric, distribution: str | None, state: str | None) -> Source:
    from experiments.metrics import Kind
    from experiments.offline.distributions import named, resampled, usual
    from experiments.statistics.fixed_horizon import Sums

    if state is None:
        return named(distribution) if distribution else usual(measured)
    frame, units, _ = _history(state, measured)
    found = measured.measure(frame)
    if measured.kind is not Kind.RATIO:
        return resampled(found.values)
    sums = Sums.by_unit(units[found.rows], found.values, found.per)
    return resampled(sums.numerator, sums.denominator)


def _simulated(measured: Metric, asked: Plan, source: Source) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from experiments.offline.calibration import simulate as run

    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining(),
        console=err, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("simulating", total=asked.sims)
        advance: Callable[[int], None] = lambda runs: bar.advance(task, runs)  # noqa: E731
        return run(measured, asked, source, advance)


def _known(
    measured: Metric,
    state: str | None,
    told: tuple[float | None, float | None, float | None, float | None],
) -> tuple[Known, float | None, float, tuple[str, ...]]:
    """What is known, units a day, and the part of them that has the metric: as told, or else as
    the history has it; and what the history warns of.
    """
    from experiments.errors import CannotSay
    from experiments.offline.sizing import Known, learned

    baseline, sd, traffic, rated = told
    if state is None:
        if baseline is None:
            fail("--baseline: give the metric's value now, or --state for its history", 2)
        return Known(baseline, sd), traffic, 1.0 if rated is None else rated, ()
    frame, units, at_s = _history(state, measured)
    found = learned(measured, frame, units, at_s)
    if isinstance(found, CannotSay):
        fail(f"the history cannot say: {found}")
    known = Known(
        found.known.baseline if baseline is None else baseline, found.known.sd if sd is None else sd
    )
    return (
        known,
        found.units_a_day if traffic is None else traffic,
        found.measured if rated is None else rated,
        found.notes,
    )


def _plan(measured: Metric, known: Known, asked: Asked, comes: Traffic | None) -> dict[str, Any]:
    from experiments.metrics import Kind
    from experiments.offline.sizing import need, shown_by

    once, along = (need(measured, known, asked, comes, looking) for looking in (False, True))
    shown = [] if comes is None else [
        {"weeks": weeks, "fixed_horizon": fixed, "sequential": along_all}
        for (weeks, fixed), along_all in zip(
            shown_by(measured, known, asked, comes, False).items(),
            shown_by(measured, known, asked, comes, True).values(), strict=True,
        )
    ]  # fmt: skip
    return {
        "metric": measured.slug,
        "kind": str(measured.kind),
        "baseline": known.baseline,
        "sd": known.deviation(measured),
        "effect": asked.effect,
        "effect_is": "absolute" if measured.kind is Kind.RATE else "relative",
        "power": asked.power,
        "alpha": asked.alpha,
        "treatment_share": asked.treatment_share,
        "useful_units_a_day": None if comes is None else comes.useful,
        "fixed_horizon": once.told(),
        "sequential": along.told(),
        "days_unknown_because": along.wait or None,
        "detectable": shown,
    }


def _history(state: str, measured: Metric) -> tuple[Frame, np.ndarray, Values]:
    """The metric's columns, the unit and the time in seconds of the newest rows."""
    import numpy as np

    from experiments.metrics import Kind
    from service.storage.errors import StorageError
    from service.storage.history import connect, query

    if measured.kind is Kind.JUDGED:
        fail(f"--state: the history's view rounds does not part the judge's scores that "
             f"{measured.slug} needs from ratings; plan with --baseline and --sd", 2)  # fmt: skip
    columns = ", ".join(measured.columns)
    try:
        with err.status("reading the history"):
            _, rows = query(
                connect(state),
                f"SELECT coalesce(nullif(unit, ''), id::VARCHAR), epoch(ts)::DOUBLE, {columns} "
                f"FROM rounds ORDER BY ts DESC LIMIT {MOST_ROWS}",
            )
    except StorageError as error:
        fail(str(error))
    if not rows:
        fail(f"the history under {state} is empty: let the service route and publish first")
    units, at_s, *values = zip(*rows, strict=True)
    frame = {
        name: np.array(
            column, dtype=object if name in ("served_mode", "error_kind") else np.float64
        )
        for name, column in zip(measured.columns, values, strict=True)
    }
    return frame, np.array(units), np.array(at_s)


def _show_simulation(found: dict[str, Any]) -> None:
    rate = "power" if found["effect"] else "false_positive_rate"
    rows = []
    for name, told in found["methods"].items():
        low, high = told["ci95"]
        row = [name, f"{told[rate]:.2%}", f"{low:.2%} - {high:.2%}", f"{told['could_say']:.0%}"]
        rows.append([*row, told.get("median_units")] if found["effect"] else row)
    columns = ["method", rate.replace("_", " "), "95 %", "could say"]
    units = found["units"]
    table(
        [*columns, "median units"] if found["effect"] else columns, rows,
        f"{found['metric']} of {found['distribution']}, effect {found['effect']:g} "
        f"({found['effect_is']}), {found['looks']} looks, {found['sims']} runs of "
        f"{units['treatment']} and {units['control']} units, alpha {found['alpha']:g}",
    )  # fmt: skip


def _show_plan(found: dict[str, Any]) -> None:
    rows = [
        (
            said, found[name]["control"], found[name]["treatment"],
            "-" if found[name]["days"] is None else f"{found[name]['days']:.1f}",
        )
        for name, said in (("fixed_horizon", "one look"), ("sequential", "looking all along"))
    ]  # fmt: skip
    table(
        ("", "control", "treatment", "days"), rows,
        f"{found['metric']} from {found['baseline']:.4g}, effect {found['effect']:g} "
        f"({found['effect_is']}), power {found['power']:g}, alpha {found['alpha']:g}",
    )  # fmt: skip
    if found["days_unknown_because"]:
        out.print(f"no days: {found['days_unknown_because']}", markup=False, highlight=False)
    for note in found["notes"]:
        out.print(f"note: {note}", markup=False, highlight=False)
    if found["detectable"]:
        shown = [
            (each["weeks"], each["fixed_horizon"], each["sequential"])
            for each in found["detectable"]
        ]
        table(
            ("weeks", "one look", "looking all along"), shown,
            f"the least effect shown by {found['useful_units_a_day']:.4g} useful units a day",
        )  # fmt: skip
