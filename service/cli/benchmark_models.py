"""`headgate benchmark models`: deployments beside one another on prompts, through the service."""

from __future__ import annotations

import json
import sys
import time
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.benchmark_shown import show_stated, tell
from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    JsonFlag,
    StateOption,
    UrlOption,
    client,
    err,
    fail,
    give,
    say,
    service_errors,
    table,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from service.benchmarking.findings import Found, Setting
    from service.benchmarking.journal import Journal
    from service.benchmarking.planning import Design
    from service.benchmarking.prompts import Item, PromptFile
    from service.benchmarking.running import Bounds, Ended

SIMULATED = "simulated"
Prompts = Annotated[
    Path | None,
    typer.Option(help="A JSONL file of prompts; those of the package where none is given."),
]


def models(
    prompts: Prompts = None,
    tasks: Annotated[str, typer.Option(help="Only these tasks, comma-separated.")] = "",
    n: Annotated[int, typer.Option("-n", "--n", min=2, help="How many prompts.")] = 100,
    deployments: Annotated[str, typer.Option(help="Only these, comma-separated.")] = "",
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Each prompt so often.")] = 1,
    seed: Annotated[int, typer.Option(help="Fixes the sample, the order, the bootstrap.")] = 7,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Calls at a time.")] = 4,
    warm_up: Annotated[int, typer.Option(min=0, max=10, help="Calls that are not counted.")] = 1,
    max_usd: Annotated[float, typer.Option(min=0.0, help="What all may cost at most.")] = 1.0,
    detect: Annotated[
        float | None, typer.Option(help="A difference of quality, 0 to 1: how many prompts?")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say all, ask nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Begin without asking.")] = False,
    keep_answers: Annotated[
        bool, typer.Option("--keep-answers", help="Keep the answers' texts in the journal.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Give the results to the service.")
    ] = True,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Of the demo's deployments, started for it.")
    ] = False,
    author: AuthorOption = None,
    reason: Annotated[str, typer.Option(help="Why it is measured.")] = "",
    state: StateOption = "state",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Ask every deployment the same prompts, and say what that shows and what it does not."""
    import asyncio

    from service.benchmarking.running import Bounds

    file = _file(prompts)
    wanted = (_names(tasks), n, _names(deployments), repeats, seed)
    bounds = Bounds(concurrency, max_usd, warm_up)
    how = _How(file, wanted, bounds, detect, Path(state), dry_run, yes or as_json, keep_answers,
               record, (author, reason))  # fmt: skip

    async def go() -> tuple[dict[str, Any], bool]:
        if simulated:
            async with _simulated(file, seed) as (address, key):
                return await how.go(address, key, SIMULATED, as_json)
        return await how.go(url, None, url, as_json)

    with service_errors():
        content, whole = asyncio.run(go())
    give(content, as_json, lambda _: None)
    if not whole:
        raise typer.Exit(1)


def report(
    run: Annotated[
        str, typer.Argument(help="Its id, or the beginning; the last one if empty.")
    ] = "",
    prompts: Prompts = None,
    record: Annotated[
        bool, typer.Option("--record", help="Give the results to the service as well.")
    ] = False,
    state: StateOption = "state",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Show a run of the state directory again."""
    from service.benchmarking.findings import analysed, setting_of
    from service.benchmarking.journal import FOLDER, Journal, RunLocked, runs

    known = [each for each, _ in runs(Path(state)) if each.run_id.startswith(run)]
    if not known:
        fail(f"there is no such run under {state}/{FOLDER}", 2)
    file = _file(prompts)
    design = known[-1]
    if file.digest != design.prompts:
        fail(f"the run was of other prompts ({design.source}): give them with --prompts", 2)
    try:
        journal = Journal(Path(state) / FOLDER / design.run_id)
    except RunLocked as error:
        fail(str(error))
    with closing(journal):
        kept = journal.folder / "setting.json"
        found = analysed(journal, file.items, setting_of(json.loads(kept.read_text("utf-8"))))
        if found is None:
            fail("nothing of it has ended yet")
        tell(journal, found, as_json)
    if record:
        with service_errors():
            client(url).post("/admin/benchmarks", _body(found, (None, "")))
    give(dict(found.content), as_json, lambda _: None)


def prompts(
    path: Annotated[Path, typer.Argument(help="The JSONL file.")],
    as_json: JsonFlag = False,
) -> None:
    """Check a file of prompts: every line, and every example answer by its own scorer."""
    import asyncio

    from service.benchmarking.scoring import faults

    file = _file(path)
    found = asyncio.run(faults(file.items))
    counts = {task: sum(each.task == task for each in file.items) for task in file.tasks}
    content = {"prompts": counts, "digest": file.digest,
               "faults": [{"id": i, "answer": a, "scored": s} for i, a, s in found]}  # fmt: skip

    def show(_: Any) -> None:
        table(("task", "prompts"), list(counts.items()))
        for identity, answer, value in found:
            say(
                f"{identity}: the {answer} answer scores {'-' if value is None else f'{value:.2f}'}"
            )
        say(f"{len(found)} examples are not scored as they say" if found else "good")

    give(content, as_json, show)
    if found:
        raise typer.Exit(1)


class _How:
    """One benchmark as it was asked for."""

    def __init__(
        self, file: PromptFile, wanted: tuple[Any, ...], bounds: Bounds, detect: float | None,
        state: Path, dry_run: bool, yes: bool, keep_answers: bool, record: bool,
        signed: tuple[str | None, str],
    ) -> None:  # fmt: skip
        self.file, self.wanted, self.bounds, self.detect = file, wanted, bounds, detect
        self.state, self.dry_run, self.yes = state, dry_run, yes
        self.keep_answers, self.record, self.signed = keep_answers, record, signed

    async def go(
        self, url: str, key: str | None, label: str, quiet: bool
    ) -> tuple[dict[str, Any], bool]:
        """State what it can show and cost, run, report, record."""
        import asyncio

        from service.benchmarking.findings import analysed, setting_of
        from service.client import Client

        here = client(url) if key is None else Client(url, key)
        content = await asyncio.to_thread(here.get, "/admin/benchmarks/setting")
        setting = setting_of(content)
        design, items = self._design(setting, label)
        stated = self._state(setting, design, items, quiet)
        if self.dry_run:
            return stated, True
        journal = self._journal(design, content)
        try:
            ended = await self._run(journal, setting, url, key)
            found = analysed(journal, self.file.items, setting, ended)
            if found is None:
                fail(ended.reason or "nothing was answered")
            tell(journal, found, quiet)
            if ended.whole:
                journal.finish(self.keep_answers)
                if self.record:
                    body = _body(found, self.signed)
                    await asyncio.to_thread(here.post, "/admin/benchmarks", body)
                    err.print(f"recorded as {journal.design.run_id}", highlight=False)
            else:
                why = ended.reason or "the money was spent"
                err.print(f"not all was asked ({why}); the same command goes on", style="red",
                          highlight=False, markup=False)  # fmt: skip
            whole = {"stated": stated, "whole": ended.whole, **found.content}
            return whole, ended.whole
        finally:
            journal.close()

    def _design(self, setting: Setting, label: str) -> tuple[Design, list[Item]]:
        from service.benchmarking.planning import Design
        from service.benchmarking.prompts import sample

        tasks, n, deployments, repeats, seed = self.wanted
        strange = sorted(set(tasks) - set(self.file.tasks))
        if strange:
            fail(f"--tasks: the prompts have none of {strange[0]}; there are: "
                 f"{', '.join(self.file.tasks)}", 2)  # fmt: skip
        strange = sorted(set(deployments) - set(setting.candidates))
        if strange:
            fail(f"--deployments: the plan has no {strange[0]}; there are: "
                 f"{', '.join(sorted(setting.candidates))}", 2)  # fmt: skip
        chosen = tuple(deployments or sorted(setting.candidates))
        if len(chosen) < 2:
            fail("a comparison needs two deployments", 2)
        items = sample([i for i in self.file.items if not tasks or i.task in tasks], n, seed)
        names = tuple(sorted({each.task for each in items}))
        ids = tuple(each.id for each in items)
        run_id = time.strftime("b%Y%m%d-%H%M%S", time.gmtime())
        return (
            Design(run_id, self.file.digest, self.file.source, names, chosen, ids, repeats, seed,
                   label),
            list(items),
        )  # fmt: skip

    def _state(
        self, setting: Setting, design: Design, items: Sequence[Item], quiet: bool
    ) -> dict[str, Any]:
        from experiments.benchmarking.stating import stated
        from experiments.errors import ExperimentError
        from experiments.plain import plain
        from service.benchmarking.planning import estimate, order

        counts = {task: sum(i.task == task for i in items) for task in design.tasks}
        try:
            told = stated(counts, len(design.deployments), self.detect)
        except ExperimentError as error:
            fail(f"--detect: {error}", 2)
        by_id = {each.id: each for each in items}
        cost = estimate(order(design), by_id, setting.candidates, self.bounds.concurrency,
                        setting.panel)  # fmt: skip
        if not quiet:
            show_stated(told, cost, len(items), self.wanted[1], self.bounds.most_usd)
        if cost.usd > self.bounds.most_usd and not self.dry_run:
            fail(f"about ${cost.usd:.4f} is expected, and --max-usd is {self.bounds.most_usd:g}: "
                 "allow more, or ask fewer prompts (-n) or deployments", 2)  # fmt: skip
        if not self.dry_run and not self.yes and sys.stdin.isatty():
            typer.confirm("Begin?", abort=True, err=True)
        return {"shows": plain(told), "estimate": plain(cost), "max_usd": self.bounds.most_usd}

    def _journal(self, design: Design, setting: dict[str, Any]) -> Journal:
        from service.benchmarking.journal import Journal, RunLocked, unfinished

        try:
            folder = unfinished(self.state, design.digest)
            if folder is not None:
                journal = Journal(folder)
                err.print(f"going on with {journal.design.run_id}", highlight=False)
            else:
                journal = Journal.begun(self.state, design)
        except (RunLocked, FileExistsError) as error:
            fail(f"{error}: wait for its end, or name another --state")
        except OSError as error:
            fail(f"--state {self.state} cannot be written: {error.strerror}", 2)
        text = json.dumps(setting)
        (journal.folder / "setting.json").write_text(text, "utf-8")
        return journal

    async def _run(self, journal: Journal, setting: Setting, url: str, key: str | None) -> Ended:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        from service.benchmarking.planning import order
        from service.benchmarking.running import Means, Run
        from service.benchmarking.scoring import HttpJudge, Scorers
        from service.client import AsyncClient
        from service.config import client_key
        from service.domain.clock import SystemClock

        http = AsyncClient(url, key or client_key() or "")
        items = {each.id: each for each in self.file.items}
        judge = HttpJudge(http)
        means = Means(http, SystemClock(), Scorers(judge), items, setting.candidates,
                      frozenset(setting.tasks), setting.panel)  # fmt: skip
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        try:
            with Progress(*columns, console=err, transient=True) as bar:
                task = bar.add_task("asking", total=len(order(journal.design)))
                run = Run(journal, means, self.bounds, lambda count: bar.advance(task, count))
                return await run.go()
        finally:
            if judge.failure:
                err.print(f"the judge: {judge.failure}", highlight=False, markup=False)
            await http.close()


@asynccontextmanager
async def _simulated(file: PromptFile, seed: int) -> AsyncIterator[tuple[str, str]]:
    """The demo's deployments, which know the example answers, behind a service of their own."""
    import secrets
    import tempfile

    import yaml

    from service.demo import PLAN, Child

    key = "hg-benchmark-" + secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="headgate-benchmark-") as folder:
        asked = Path(folder) / "prompts.jsonl"
        asked.write_bytes(file.data)
        arguments = ("--seed", str(seed), "--answers", str(asked))
        async with Child("simulate", *arguments) as providers:
            content = yaml.safe_load(PLAN.read_text("utf-8").replace("PROVIDERS", providers.url))
            known = {each["name"] for each in content["tasks"]} | {"other"}
            content["tasks"] += [{"name": name} for name in file.tasks if name not in known]
            plan = Path(folder) / "plan.yaml"
            plan.write_text(yaml.safe_dump(content), "utf-8")
            state = str(Path(folder) / "state")
            async with Child("serve", "--plan", str(plan), "--state", state, key=key) as service:
                yield service.url, key


def _file(path: Path | None) -> PromptFile:
    from service.benchmarking.prompts import PromptsInvalid, packaged, read

    try:
        return packaged() if path is None else read(path)
    except PromptsInvalid as error:
        fail(str(error), 2)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _body(found: Found, signed: tuple[str | None, str]) -> dict[str, Any]:
    import getpass

    from service.benchmarking.findings import cells, in_words

    design, result = in_words(found)
    return {
        "run_id": found.content["run_id"], "version": found.content["version"],
        "cells": cells(found), "design": design, "result": result, "reason": signed[1],
        "author": signed[0] or getpass.getuser(),
    }  # fmt: skip
