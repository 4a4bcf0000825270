"""The catalogue: what an analyst sees of the published files, as documented views over them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from service.storage.database import migrations
from service.storage.manifest import file_list, quoted
from service.storage.tables import NAMES, PRIVATE

# The order in which they can be made: each after those that it reads.
ORDER = (
    "ratings", "labels", "rounds", "response_rates", "spend", "spend_by_tag", "ledger", "sessions",
    "weights_over_time", "drift_events", "fallbacks", "breaker_episodes", "overrides_in_time",
    "experiments_in_time", "exposures", "rollbacks", "versions_in_time", "alert_episodes",
)  # fmt: skip
_OVER_NOTHING: list[bytes] = []  # the file of a catalogue of which no table has a file yet
_COLUMN = re.compile(r"(?P<name>\w+)(?: \[(?P<unit>[^\]]+)\])?: (?P<meaning>.+)")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column means; ``unit`` is empty where it has none."""

    name: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Documented:
    """A table or a view with its meaning, by column; ``sql`` is empty for a table."""

    name: str
    meaning: str
    columns: Mapping[str, Column]
    sql: str = ""

    @property
    def line(self) -> str:
        """The first sentence."""
        return re.split(r"(?<=\.)\s", self.meaning, maxsplit=1)[0]


@functools.cache
def views() -> Mapping[str, Documented]:
    """The views by name, in an order in which they can be made."""
    folder = resources.files("service.storage") / "views"
    return {name: _view(name, (folder / f"{name}.sql").read_text("utf-8")) for name in ORDER}


@functools.cache
def tables() -> Mapping[str, Documented]:
    """The tables of the log by name; a column that the file does not tell is left out."""
    text = (resources.files("service.storage") / "columns.txt").read_text("utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n") if not block.startswith("#")]
    told = {lines[0].partition(": ")[0]: lines for lines in blocks}
    shared = _columns(line.strip() for line in told.pop("*")[1:])
    columns = columns_by_schema()[max(migrations())]
    made = {}
    for name, lines in told.items():
        own = _columns(line.strip() for line in lines[1:])
        known = {each: own.get(each) or shared.get(each) for each in columns.get(name, ())}
        found = {each: column for each, column in known.items() if column is not None}
        made[name] = Documented(name, lines[0].partition(": ")[2], found)
    return made


def _view(name: str, text: str) -> Documented:
    lines = text.splitlines()
    head = [line.removeprefix("--") for line in lines if line.startswith("--")]
    meaning, _, columns = "\n".join(head).partition("\n\n")
    joined = columns.replace("\n   ", " ")  # a line that is indented goes on with the one before
    sql = "\n".join(line for line in lines if not line.startswith("--"))
    words = " ".join(meaning.split())
    return Documented(name, words, _columns(line.strip() for line in joined.splitlines()), sql)


def _columns(lines: Iterable[str]) -> dict[str, Column]:
    found = (_COLUMN.fullmatch(line) for line in lines)
    columns = [Column(m["name"], m["meaning"], m["unit"] or "") for m in found if m]
    return {column.name: column for column in columns}


@functools.cache
def columns_by_schema() -> Mapping[int, Mapping[str, tuple[str, ...]]]:
    """The columns of each table after each migration."""
    connection = duckdb.connect(":memory:")
    found = {}
    try:
        for number, step in migrations().items():
            connection.execute(step)
            rows = connection.execute(
                "SELECT table_name, list(column_name ORDER BY column_index) "
                "FROM duckdb_columns() WHERE NOT internal GROUP BY table_name"
            ).fetchall()
            found[number] = {str(name): tuple(columns) for name, columns in rows}
    finally:
        connection.close()
    return found


def create_views(
    connection: duckdb.DuckDBPyConnection,
    files: Mapping[str, Sequence[str]],
    schemas: Mapping[str, int],
) -> None:
    """Make a view of every table that may be seen, over ``files`` by table, and the others.

    ``schemas``: under which schema a file was written; one that is not told is looked into.
    """
    connection.begin()
    connection.execute("CREATE SCHEMA none_yet; SET schema = 'none_yet'")
    for step in migrations().values():
        connection.execute(step)
    connection.execute("SET schema = 'main'")
    for name in NAMES:
        if name not in PRIVATE:
            connection.execute(f"CREATE VIEW {name} AS {table_sql(name, files, schemas)}")
    for view in views().values():
        connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
        connection.execute(f"COMMENT ON VIEW {view.name} IS '{quoted(view.meaning)}'")
    connection.commit()


def write_catalogue(
    path: Path, root: Path, files: Mapping[str, Sequence[str]], schemas: Mapping[str, int]
) -> None:
    """Write a database of the views over ``files``, which are named from ``root``; what is at
    ``path`` is replaced. All but the views of the tables that have files is made once a process.
    """
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)  # of one that was killed
    if _OVER_NOTHING:
        path.write_bytes(_OVER_NOTHING[0])
    else:
        with duckdb.connect(str(path)) as connection:
            create_views(connection, {}, {})
        _OVER_NOTHING.append(path.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"SET file_search_path = '{quoted(str(root))}'")
        connection.begin()
        for name, paths in files.items():
            if paths and name not in PRIVATE:
                sql = table_sql(name, files, schemas)
                connection.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")
        connection.commit()


def table_sql(name: str, files: Mapping[str, Sequence[str]], schemas: Mapping[str, int]) -> str:
    """All rows of a table with the columns of the newest schema, null where a file lacks one.

    Files with the same columns are read together, so that making the view opens one of them; the
    times in their footers let a query leave out what it does not ask for.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for path in files.get(name, ()):
        columns = columns_by_schema().get(schemas.get(path, 0), {}).get(name, ())
        groups.setdefault(columns, []).append(path)
    sql = f"SELECT * FROM none_yet.{name}"
    for columns, paths in groups.items():
        more = "" if columns else ", union_by_name = true"
        sql += f" UNION ALL BY NAME SELECT * FROM read_parquet({file_list(paths)}{more}"
        sql += ", hive_partitioning = false)"
    return sql
