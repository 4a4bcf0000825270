"""`headgate benchmark learning`: policies beside one another on recorded outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import benchmark_models
from service.cli.output import err, fail, out, table

if TYPE_CHECKING:
    from experiments.offline.learning_benchmark import Bench, Job, Result

app = typer.Typer(help="Measure deployments, and policies.", no_args_is_help=True)
app.command(
    epilog="Example: headgate benchmark models --tasks code,maths --prompts prompts.jsonl -n 100 "
    "--max-usd 2 --detect 0.05\n\nheadgate benchmark models --simulated -n 50"
)(benchmark_models.models)
app.command(epilog="Example: headgate benchmark report --state state")(benchmark_models.report)
app.command(epilog="Example: headgate benchmark prompts prompts.jsonl")(benchmark_models.prompts)


@app.callback()
def group() -> None:
    """Measure deployments on prompts, and policies on recorded outcomes."""


@app.command(
    epilog="Example: headgate benchmark learning --outcomes outcomes.parquet --scenario quality "
    "--budget 0.002 --seeds 10 --policies default,linucb,random --json result.json"
)
def learning(
    outcomes: Annotated[
        Path,
        typer.Option(help="A Parquet file: prompt_id, prompt, model, reward, cost_usd, split."),
    ],
    scenario: Annotated[
        str,
        typer.Option(
            help="stationary, price_drop, price_drop_silent, quality, newmodel, newbad, "
            "newmodel_mid, delayed or sparse10."
        ),
    ] = "stationary",
    budget: Annotated[str, typer.Option(help="US dollars a request, or none.")] = "none",
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="How many orders of the stream.")
    ] = 10,
    policies: Annotated[
        str, typer.Option(help="Names, comma-separated; default is the one for production.")
    ] = "default,linucb,thompson,inverse_gap,epsilon_greedy,random",
    features: Annotated[str, typer.Option(help="svd25, headgate or none.")] = "svd25",
    models: Annotated[str, typer.Option(help="Only these models of the file.")] = "",
    focus: Annotated[
        str, typer.Option(help="The model that falls, is repriced or arrives; found if empty.")
    ] = "",
    parameters: Annotated[
        str, typer.Option(help='Of the policies, as JSON: {"default": {"temper": 0.2}}.')
    ] = "{}",
    warm: Annotated[
        bool, typer.Option("--warm", help="Tell them all outcomes of the unscored prompts first.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 2,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw reward over time here (PNG).")] = None,
) -> None:
    """Replay recorded outcomes through policies; reward, spend and regret with intervals."""
    names = [name.strip() for name in policies.split(",") if name.strip()]
    only = [name.strip() for name in models.split(",") if name.strip()]
    asked = (scenario, _budget(budget), features, focus, warm)
    given = _json(parameters, "--parameters")
    report = _report((outcomes, only), asked, (names, given), (seeds, jobs))
    if json_out is not None:
        json_out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", "utf-8")
    if plot is not None:
        _plot(report, plot)
    _show(report)


def _report(
    source: tuple[Path, list[str]],
    asked: tuple[str, float | None, str, str, bool],
    policies: tuple[list[str], dict[str, Any]],
    size: tuple[int, int],
) -> dict[str, Any]:
    from service.config import one_blas_thread

    one_blas_thread()
    from experiments.errors import ExperimentError
    from experiments.offline import learning_benchmark as lb
    from experiments.offline import outcomes as recorded
    from experiments.offline import text_features
    from learning.errors import LearningError

    names, given = policies
    try:
        lb.check_policies([*names, *given])
        known = recorded.read(*source)
        question = lb.question(known, *asked)
        with err.status("making features"):
            features = text_features.build(question.features, known)
        wanted = lb.jobs(names, size[0])
        results = _run(lb.Bench(known, features, question, given), wanted, size[1])
        return lb.report(question, known.names, list(_progress(results, len(wanted))))
    except (ExperimentError, LearningError, ValueError) as error:
        fail(str(error), 2)


def _budget(text: str) -> float | None:
    if text == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        fail(f"--budget must be US dollars a request, or none, not {text!r}", 2)
    if not 0.0 < value < 1e6:
        fail(f"--budget must be above zero, not {text}", 2)
    return value


def _json(text: str, option: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        fail(f"{option} is no JSON: {error.msg}", 2)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        fail(f"{option} must be an object of objects, one a policy", 2)
    return content


_bench: list[Bench] = []  # in a child process: what it was given once


def _give(bench: Bench) -> None:
    _bench.append(bench)


def _one(job: Job) -> Result:
    return _bench[0].run(job)


def _run(bench: Bench, wanted: Sequence[Job], processes: int) -> Iterator[Result]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    if processes == 1:
        yield from (bench.run(job) for job in wanted)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _give, (bench,)) as pool:
        yield from pool.map(_one, wanted)


def _progress(results: Iterator[Result], total: int) -> Iterator[Result]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining(),
        console=err, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("replaying", total=total)
        for result in results:
            bar.advance(task)
            yield result


def _show(report: dict[str, Any]) -> None:
    paced = report["budget_usd"] is not None
    rows = []
    for name, row in report["policies"].items():
        low, high = row["reward_ci95"]
        closed = row["gap_closed"]
        spent = f"{row['spend_over_budget']:.3f}" if paced else f"{row['cost_usd']:.3g}"
        rows.append(
            (
                name, f"{row['reward']:.4f}", f"{low:.4f} - {high:.4f}", spent,
                f"{row['regret']:+.4f}", "-" if closed is None else f"{closed:.0%}",
            )
        )  # fmt: skip
    warm = "warm, " if report["warm"] else ""
    about = f"{report['scenario']}, {warm}{report['seeds']} seeds, features {report['features']}"
    about += f", about {report['focus']}" if report["focus"] else ""
    spend = "spend/budget" if paced else "$ a request"
    table(("policy", "reward", "95 %", spend, "regret", "gap closed"), rows, about)
    told = [(name, said) for name, row in report["policies"].items() if (said := _more(row))]
    if told:
        table(("policy", "on the way"), told)
    _show_references(report)


def _show_references(report: dict[str, Any]) -> None:
    refs = report["references"]
    shares = zip(report["deployments"], refs["mix"], strict=False)
    mix = ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)
    rows = [
        ("oracle", f"{refs['oracle']:.4f}", ""),
        ("full-information ridge", f"{refs['full_information_ridge']:.4f}", "regret is to this"),
        ("best static mix", f"{refs['best_static_mix']:.4f}", mix),
        ("random", f"{refs['random']:.4f}", ""),
    ]
    table(("reference", "reward", ""), rows)
    out.print(report["advice"], markup=False, highlight=False)


def _more(row: dict[str, Any]) -> str:
    told = {
        "steps_to_halve": "halved after {:.0f}", "steps_to_give_back": "given back after {:.0f}",
        "steps_to_adopt": "adopted after {:.0f}", "reward_first_300": "first 300 {:.4f}",
        "false_alarms_in_20000": "{:.2g} false alarms in 20,000",
    }  # fmt: skip
    return ", ".join(said.format(row[name]) for name, said in told.items() if row.get(name))


def _plot(report: dict[str, Any], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        fail('--plot needs matplotlib: pip install "headgate[notebooks]"')
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5))
    for name, row in report["policies"].items():
        points = len(row["curve"])
        axes.plot([100 * (i + 0.5) / points for i in range(points)], row["curve"], label=name)
    refs = report["references"]
    for name, style in (("full_information_ridge", "--"), ("best_static_mix", ":")):
        axes.axhline(refs[name], color="0.4", linestyle=style, label=name.replace("_", " "))
    axes.set_xlabel("scored requests, %")
    axes.set_ylabel("mean reward")
    budget = report["budget_usd"]
    axes.set_title(
        f"{report['scenario']}, " + (f"${budget:g} a request" if budget else "no budget")
    )
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
