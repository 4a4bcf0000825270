"""`headgate history`, `restore`: the analyst's way in, and the way back."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.output import JsonFlag, StateOption, duration_s, err, fail, give, out, table

if TYPE_CHECKING:
    from experiments.errors import CannotSay
    from experiments.statistics.moments import Interval
    from service.storage.database import Cursor

history = typer.Typer(
    invoke_without_command=True,
    epilog="Example: headgate history --state state --sql "
    '"select task, served, count(*) from rounds group by all"',
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(history, name="history")
    app.command(epilog="Example: headgate restore --state state")(restore)


@contextmanager
def opened(state: str, check: bool = False) -> Iterator[Cursor]:
    """The history; what it lacks is said on standard error, and the rest is shown."""
    from service.storage.errors import StorageError
    from service.storage.history import connect

    with warnings.catch_warnings(record=True) as lacking:
        warnings.simplefilter("always")
        try:
            connection = connect(Path(state), check)
        except StorageError as error:
            fail(str(error))
    for each in lacking:
        err.print(str(each.message), style="yellow", markup=False, highlight=False)
    try:
        yield connection
    finally:
        connection.close()


@history.callback()
def read(
    context: typer.Context,
    state: StateOption = "state",
    sql: Annotated[str | None, typer.Option(help="A query over the views.")] = None,
    dictionary: Annotated[
        bool, typer.Option("--dictionary", help="Print what every table, view and column means.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Read every file first; leave out what is damaged.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read the published history; the running service is never touched."""
    if context.invoked_subcommand is not None:
        return
    if dictionary:
        from service.storage.dictionary import dictionary as page

        sys.stdout.write(page())
        return
    with opened(state, check) as connection:
        if sql is None:
            _overview(connection, Path(state), as_json)
        else:
            _answer(connection, Path(state), sql, as_json)


def _answer(connection: Cursor, state: Path, sql: str, as_json: bool) -> None:
    from service.storage.confined import asked, confine
    from service.storage.errors import StorageError

    confine(connection, state)
    try:
        columns, values = asked(connection, sql)
    except StorageError as error:
        fail(str(error), 2)
    records = [dict(zip(columns, row, strict=True)) for row in values]
    give(records, as_json, lambda _: table(columns, values))
    if not as_json and sys.stdout.isatty():
        out.print(f"{len(values)} rows", style="dim")


def _overview(connection: Cursor, state: Path, as_json: bool) -> None:
    """Every view with its rows and a line of meaning; one that cannot be read says so."""
    from service.storage.catalogue import tables, views
    from service.storage.errors import StorageError
    from service.storage.history import query
    from service.storage.manifest import read_manifest
    from service.storage.tables import NAMES, PRIVATE

    rows: list[tuple[str, Any, str]] = []
    for name in (*views(), *(name for name in NAMES if name not in PRIVATE)):
        meaning = {**tables(), **views()}[name].line
        try:
            rows.append((name, query(connection, f"SELECT count(*) FROM {name}")[1][0][0], meaning))
        except StorageError as error:
            err.print(f"{name}: {error}", style="yellow", markup=False, highlight=False)
            rows.append((name, None, meaning))
    manifest = read_manifest(state, newer=True)
    content: dict[str, Any] = {
        "views": {name: count for name, count, _ in rows},
        "meanings": {name: meaning for name, _, meaning in rows},
        "through_seq": manifest.through_seq,
        "published_at": manifest.published_at,
        "dropped": {name: each.before for name, each in manifest.dropped.items()},
    }
    give(content, as_json, lambda _: table(("view", "rows", "a row"), rows, "published history"))
    for name, each in () if as_json else manifest.dropped.items():
        out.print(f"{name}: days before {each.before} are no longer kept", style="dim")


@history.command(epilog="Example: headgate history savings --state state --since 28d --tenant acme")
def savings(
    state: StateOption = "state",
    since: Annotated[str, typer.Option(help="How far back: 7d, 28d.")] = "28d",
    tenant: Annotated[str | None, typer.Option(help="Of this tenant's requests alone.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """What routing saved and gained against one deployment for everything, estimated from draws."""
    from experiments.offline.savings import savings as estimated
    from service.storage.drawn import MOST, Asked, drawn_requests
    from service.storage.errors import StorageError
    from service.storage.manifest import read_manifest

    span_us = int(duration_s("--since", since) * 1e6)
    with opened(state) as connection:
        until_us = int(read_manifest(Path(state), newer=True).published_at * 1e6) + 1
        try:
            asked = Asked(until_us - span_us, until_us, tenant)
            drawn = drawn_requests(connection, asked)
        except StorageError as error:
            fail(str(error))
    if not len(drawn):
        fail(f"no request was drawn in the last {since}"
             + (f" for tenant {tenant}" if tenant is not None else "")
             + "; give a longer --since")  # fmt: skip
    found = estimated(drawn)
    rows = [
        (each.task or "(all)", each.baseline.value, each.deployment or "-",
         f"{each.spent_usd:.4g}", _told(each.saved_usd), _told(each.reward_gained),
         f"{each.ess:.0f}")
        for each in found
    ]  # fmt: skip
    columns = ("task", "against", "deployment", "spent $", "saved $", "reward gained", "ess")
    content = [
        {"task": each.task or None, "baseline": each.baseline.value,
         "deployment": each.deployment or None, "draws": each.draws, "requests": each.requests,
         "rated": each.rated, "spent_usd": each.spent_usd, "where": each.where, "ess": each.ess,
         "saved_usd": _figure(each.saved_usd), "quality_gained": _figure(each.quality_gained),
         "reward_gained": _figure(each.reward_gained), "unsaid": dict(each.unsaid)}
        for each in found
    ]  # fmt: skip
    give(content, as_json, lambda _: table(columns, rows, "routing beside one deployment"))
    if as_json:
        return
    unsaid: dict[str, list[str]] = {}
    for each in found:
        for name, why in each.unsaid.items():
            told = f"{each.task or '(all)'}, of {name} nothing can be said: {why}"
            unsaid.setdefault(told, []).append(each.baseline.value)
    for told, baselines in unsaid.items():
        out.print(f"{told} ({', '.join(baselines)})", style="dim", markup=False, highlight=False)
    if len(drawn) == MOST:
        out.print(f"of the newest {MOST} draws", style="dim")


def _told(found: Interval | CannotSay) -> str:
    return "cannot say" if isinstance(found, Exception) else str(found)


def _figure(found: Interval | CannotSay) -> dict[str, Any]:
    if isinstance(found, Exception):
        return {"refused": str(found)}
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def restore(state: StateOption = "state", as_json: JsonFlag = False) -> None:
    """Rebuild the live file from the published history; the old one is set aside, not deleted."""
    from service.storage.database import StateLock
    from service.storage.errors import StorageError
    from service.storage.restore import publish_rest, rebuild

    try:
        lock = StateLock(Path(state))
        with err.status("rebuilding the live file"):
            lost = publish_rest(Path(state))
            database, restored = rebuild(Path(state), "asked for")
        database.close()
        lock.release()
    except (StorageError, OSError) as error:
        fail(str(error))
    if lost:
        err.print(f"the live file did not give its newest rows: {lost}", markup=False)
    for name in restored.missing:
        err.print(f"a published file is damaged, its rows are missing: {name}", markup=False)
    if restored.no_longer_kept:
        err.print(restored.no_longer_kept, markup=False)
    content = {
        "rows": restored.rows,
        "set_aside": list(restored.set_aside),
        "missing": list(restored.missing),
        "dropped": {name: each.before for name, each in restored.dropped.items()},
    }
    aside = f"; set aside: {', '.join(restored.set_aside)}" if restored.set_aside else ""
    give(content, as_json, lambda _: out.print(f"{restored.rows} rows restored{aside}"))
