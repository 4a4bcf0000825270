"""`headgate report`: the weekly, monthly and quarterly reviews of the published history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import JsonFlag, StateOption, err, fail, out, table

if TYPE_CHECKING:
    from experiments.reviewing.finding import Review

app = typer.Typer(
    help="Reviews of the published history: what moved, what is wasted, what to try next.",
    no_args_is_help=True,
)
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page to this file.")]
MdOption = Annotated[Path | None, typer.Option("--md", help="Write Markdown to this file.")]
EXAMPLE = "Example: headgate report weekly --week 2026-W47 --html week.html --state state"


@app.command(epilog=EXAMPLE)
def weekly(
    week: Annotated[
        str | None, typer.Option(help="An ISO week, 2026-W47; the last with decisions by default.")
    ] = None,
    html: HtmlOption = None,
    md: MdOption = None,
    as_json: JsonFlag = False,
    state: StateOption = "state",
) -> None:
    """What moved and whether it is real, money that quality does not follow, savings, and more."""
    _make("weekly", week, state)(html, md, as_json)


@app.command(epilog="Example: headgate report monthly --designs next --state state")
def monthly(
    month: Annotated[
        str | None, typer.Option(help="A month, 2026-11; the last with decisions by default.")
    ] = None,
    designs: Annotated[
        Path | None, typer.Option(help="Write the proposed designs (YAML) into this folder.")
    ] = None,
    html: HtmlOption = None,
    md: MdOption = None,
    as_json: JsonFlag = False,
    state: StateOption = "state",
) -> None:
    """Next month's experiments: expected value, power, and a schedule without collisions.

    Nothing starts: `headgate experiment create` takes a design that you approve.
    """
    give = _make("monthly", month, state)
    if designs is not None:
        give.designs(designs)
    give(html, md, as_json)


@app.command(epilog="Example: headgate report quarterly --html quarter.html --state state")
def quarterly(
    quarter: Annotated[
        str | None, typer.Option(help="A quarter, 2026-Q4; the last with decisions by default.")
    ] = None,
    html: HtmlOption = None,
    md: MdOption = None,
    as_json: JsonFlag = False,
    state: StateOption = "state",
) -> None:
    """Deployments to retire, candidates that earn their place, capability, prices that moved."""
    _make("quarterly", quarter, state)(html, md, as_json)


@app.command("list", epilog="Example: headgate report list --state state")
def list_kept(as_json: JsonFlag = False, state: StateOption = "state") -> None:
    """The reports that the service kept."""
    from service.cli.output import give
    from service.reporting.shelf import kept

    rows = [(each.name, each.bytes, each.made) for each in kept(Path(state))]
    content = [dict(zip(("name", "bytes", "made"), row, strict=True)) for row in rows]
    give(content, as_json, lambda _: table(("name", "bytes", "made"), rows))


@app.command(epilog="Example: headgate report show weekly-2026-W47.md --state state")
def show(
    name: Annotated[str, typer.Argument(help="One of `headgate report list`.")],
    state: StateOption = "state",
) -> None:
    """Print a report that was kept."""
    from service.domain.errors import NotFound
    from service.reporting.shelf import read

    try:
        text = read(Path(state), name)
    except NotFound as error:
        fail(str(error), 2)
    typer.echo(text, nl=False)


class _Give:
    """Writes and shows a review."""

    def __init__(self, review: Review) -> None:
        self._review = review

    def __call__(self, html: Path | None, md: Path | None, as_json: bool) -> None:
        from service.reporting import pages

        for path, text in ((html, pages.as_html), (md, pages.as_markdown)):
            if path is not None:
                self._write(path, text(self._review))
        if as_json:
            typer.echo(pages.as_json(self._review), nl=False)
        elif html is None and md is None:
            _show(self._review)

    def designs(self, folder: Path) -> None:
        """Write the designs that a monthly review proposes."""
        from service.reporting.designs import texts

        for name, text in texts(self._review).items():
            folder.mkdir(parents=True, exist_ok=True)
            self._write(folder / name, text)

    def _write(self, path: Path, text: str) -> None:
        try:
            path.write_text(text, "utf-8")
        except OSError as error:
            fail(f"{path} cannot be written: {error.strerror}")
        err.print(f"written: {path}", markup=False, highlight=False)


def _make(kind: str, period: str | None, state: str) -> _Give:
    from service.config import one_blas_thread

    one_blas_thread()
    from service.domain.errors import Unprocessable
    from service.reporting.making import make
    from service.storage.errors import StorageError

    try:
        with err.status(f"reading the history for the {kind} review"):
            return _Give(make(Path(state), kind, period))
    except Unprocessable as error:
        fail(str(error), 2)
    except StorageError as error:
        fail(str(error))


def _show(review: Review) -> None:
    from service.reporting.pages import HEADINGS, looked_words, money_words, sentence

    out.print(f"{review.title}, history through {review.through}", markup=False, highlight=False)
    for each in review.missing:
        out.print(f"missing: {each}", style="yellow", markup=False, highlight=False)
    kind = ""
    for finding in review.findings:
        if finding.kind != kind:
            kind = finding.kind
            out.print(f"\n{HEADINGS[kind][0]}", style="bold", markup=False, highlight=False)
        out.print(f"- {finding.title}", markup=False, highlight=False)
        for line in (f"{sentence(finding.words)}.", f"money: {money_words(finding)}",
                     f"proposal: {finding.proposal}"):  # fmt: skip
            out.print(f"  {line}", style="dim", markup=False, highlight=False)
    out.print(f"\n{looked_words(review)}", markup=False, highlight=False)
