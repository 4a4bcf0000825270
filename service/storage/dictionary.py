"""The data dictionary: every table, view and column of the history, as they are."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from service.storage.catalogue import (
    Column,
    Documented,
    columns_by_schema,
    create_views,
    tables,
    views,
)
from service.storage.database import migrations
from service.storage.tables import NAMES, PRIVATE

_HEAD = """# The data dictionary

Every table and view of the published history, as `headgate history --dictionary` prints it: made
from the schema and from the comments of the views, so this page is not written by hand. Open the
history with `headgate history --sql "..."` or `service.storage.history.connect(state_dir)`. Times
are UTC, durations seconds, money US dollars or integer micro-dollars (a millionth of one). *since*
is the schema that brought a column: it is null in rows from before. What the words mean:
[semantics.md](semantics.md).
"""


def dictionary() -> str:
    """The page, as Markdown."""
    connection = duckdb.connect(":memory:")
    try:
        create_views(connection, {}, {})
        types = _types(connection)
    finally:
        connection.close()
    lines = [_HEAD, "## Views", "", "| view | a row |", "|---|---|"]
    lines += [f"| [`{view.name}`](#{view.name}) | {view.line} |" for view in views().values()]
    for view in views().values():
        lines += _section(view, types[view.name], {})
    lines += ["", "## Tables", ""]
    hidden = f"`{PRIVATE[0]}` is published for a restore and shown in no view."
    lines += [f"The schema is at {max(migrations())}. {hidden}"]
    for name in NAMES:
        lines += _section(tables().get(name, Documented(name, "", {})), types[name], _since(name))
    return "\n".join(lines) + "\n"


def undocumented() -> list[str]:
    """Tables and columns (``table.column``) whose meaning nobody has written, and what is written
    of columns that are not there.
    """
    connection = duckdb.connect(":memory:")
    try:
        create_views(connection, {}, {})
        types = _types(connection)
    finally:
        connection.close()
    told = {**tables(), **views()}
    missing = [name for name in (*NAMES, *views()) if name not in told or not told[name].meaning]
    for name, columns in types.items():
        known = told[name].columns if name in told else {}
        missing += [f"{name}.{each}" for each in {*columns} ^ {*known}]
    return sorted(missing)


def _types(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY schema_name, table_name, column_index"
    ).fetchall()
    for name, column, kind in rows:
        found.setdefault(str(name), {})[str(column)] = str(kind).lower()
    return found


def _since(name: str) -> Mapping[str, int]:
    """By column the schema that brought it."""
    found: dict[str, int] = {}
    for number, columns in columns_by_schema().items():
        for each in columns.get(name, ()):
            found.setdefault(each, number)
    return found


def _section(told: Documented, types: Mapping[str, str], since: Mapping[str, int]) -> list[str]:
    lines = ["", f"### {told.name}", "", told.meaning, ""]
    lines += ["| column | type | unit | meaning |" + (" since |" if since else "")]
    lines += ["|---|---|---|---|" + ("---|" if since else "")]
    for name, kind in types.items():
        column = told.columns.get(name, Column(name, ""))
        end = f" {since[name]} |" if since else ""
        lines.append(f"| `{name}` | {kind} | {column.unit} | {column.meaning} |{end}")
    return lines
