"""`headgate history`, `restore`: the analyst's way in, and the way back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.output import JsonFlag, StateOption, err, fail, give, out, table


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Example: headgate history --state state --sql "
        '"select task, served, count(*) from rounds group by all"'
    )(history)
    app.command(epilog="Example: headgate restore --state state")(restore)


def history(
    state: StateOption = "state",
    sql: Annotated[str | None, typer.Option(help="A query over the views.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read the published history; the running service is never touched."""
    from service.storage.errors import StorageError
    from service.storage.history import VIEWS, connect, query
    from service.storage.manifest import read_manifest
    from service.storage.tables import NAMES, PRIVATE

    try:
        connection = connect(Path(state))
    except StorageError as error:
        fail(str(error))
    if sql is None:
        names = [name for name in (*NAMES, *VIEWS) if name not in PRIVATE]
        rows = []
        for name in names:
            found = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
            rows.append((name, int(found[0]) if found else 0))
        manifest = read_manifest(Path(state))
        content: dict[str, Any] = {
            "views": dict(rows),
            "through_seq": manifest.through_seq,
            "published_at": manifest.published_at,
        }
        give(content, as_json, lambda _: table(("view", "rows"), rows, "published history"))
        return
    try:
        columns, values = query(connection, sql)
    except StorageError as error:
        fail(str(error), 2)
    records = [dict(zip(columns, row, strict=True)) for row in values]
    give(records, as_json, lambda _: table(columns, values))
    if not as_json and sys.stdout.isatty():
        out.print(f"{len(values)} rows", style="dim")


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
    content = {
        "rows": restored.rows,
        "set_aside": list(restored.set_aside),
        "missing": list(restored.missing),
    }
    aside = f"; set aside: {', '.join(restored.set_aside)}" if restored.set_aside else ""
    give(content, as_json, lambda _: out.print(f"{restored.rows} rows restored{aside}"))
