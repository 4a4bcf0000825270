"""The catalogue: every column told, files of every earlier schema read, newer ones left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from service.storage.catalogue import ORDER, columns_by_schema, table_sql, views, write_catalogue
from service.storage.database import migrations
from service.storage.errors import SchemaNewer, StorageError
from service.storage.history import ROW_GROUP, Publisher, connect, query
from service.storage.manifest import (
    FOLDER,
    MANIFEST,
    SCHEMA_KEY,
    Manifest,
    by_names,
    read_manifest,
    schema_of,
)
from service.storage.tables import NAMES, PRIVATE
from tests.service.storage.test_history import Kept, act

PRESENT = max(migrations())


def old_history(state: Path, marked: bool = True) -> dict[str, int]:
    """A file of each table under each schema that had it, a row in each, all columns as the type's
    own first value; the rows that each table has.
    """
    root = state / FOLDER
    files: dict[str, tuple[str, ...]] = {}
    schemas: dict[str, int] = {}
    connection = duckdb.connect(":memory:")
    for number, step in migrations().items():
        connection.execute(step)
        day = f"2026-01-{number:02d}"
        for name in columns_by_schema()[number]:
            path = f"{name}/day={day}/rows-{number:012d}-{number:012d}.parquet"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            connection.execute(f"INSERT INTO {name} SELECT {first_values(connection, name)}")
            mark = f", KV_METADATA {{{SCHEMA_KEY}: '{number}'}}" if marked else ""
            connection.execute(f"COPY {name} TO '{root / path}' (FORMAT parquet{mark})")
            connection.execute(f"DELETE FROM {name}")
            files[name] = (*files.get(name, ()), path)
            schemas[path] = number
    connection.close()
    manifest = Manifest(PRESENT, 1.0, files, schemas=schemas if marked else {})
    (root / MANIFEST).write_text(manifest.text())
    return {name: len(paths) for name, paths in files.items()}


def first_values(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    values = []
    for column, kind, *_ in connection.execute(f"DESCRIBE {name}").fetchall():
        text = "'{}'" if column in ("parameters", "cause", "design", "detail") else "'1'"
        told = {"TIMESTAMP": "'2026-01-01'", "VARCHAR": text, "BOOLEAN": "true",
                "UUID": "'00000000-0000-7000-8000-000000000001'"}.get(kind)  # fmt: skip
        values.append(f"({told or ('[]' if kind.endswith('[]') else '1')})::{kind} AS {column}")
    return ", ".join(values)


@pytest.mark.parametrize("marked", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_files_of_every_earlier_schema_are_read(tmp_path: Path, marked: bool) -> None:
    """Whether they say their schema or not (those from before they did)."""
    wanted = old_history(tmp_path, marked)
    with connect(tmp_path) as connection:
        for name in NAMES:
            if name not in PRIVATE:
                rows = query(connection, f"SELECT * FROM {name} ORDER BY log_seq")[1]
                assert len(rows) == wanted[name], name
                columns = [row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall()]
                assert columns == list(columns_by_schema()[PRESENT][name]), name
        for name in ORDER:
            query(connection, f"SELECT * FROM {name}")
        states = query(connection, "SELECT state FROM weights ORDER BY ts, log_seq")[1]
        since = next(n for n, c in columns_by_schema().items() if "state" in c["weights"])
        told = [n >= since for n in migrations()]
        assert sorted(state is not None for (state,) in states) == sorted(told)


def test_files_tell_their_schema_also_without_the_manifest(tmp_path: Path) -> None:
    """And those with the same columns are read together, so that making the views opens one of
    them, not all.
    """
    old_history(tmp_path)
    manifest = read_manifest(tmp_path)
    sql = table_sql("outcomes", manifest.files, manifest.schemas)
    assert sql.count("read_parquet") == 1 and "union_by_name" not in sql
    assert table_sql("weights", manifest.files, manifest.schemas).count("read_parquet") == 2
    assert "union_by_name" in table_sql("weights", manifest.files, {})
    told = read_manifest(tmp_path).schemas
    (tmp_path / FOLDER / MANIFEST).write_text("{ half")
    found = read_manifest(tmp_path)
    assert found.damage and dict(found.schemas) == dict(told)
    assert schema_of(tmp_path / "nothing.parquet") == 0


def newer(state: Path, only: str | None = None) -> None:
    """The history as a newer version leaves it: all files new, or that one's of ``only``."""
    path = state / FOLDER / MANIFEST
    content = json.loads(path.read_text())
    content["schema"] = PRESENT + 1
    for name in content["schemas"]:
        if only is None or name == only:
            content["schemas"][name] = PRESENT + 1
    path.write_text(json.dumps(content))


def test_a_newer_schema_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for name in ("one", "two"):
        kept.add(act(name))
        kept.publish()
    kept.log.stop()
    kept.database.close()
    manifest = read_manifest(tmp_path)
    path = manifest.files["acts"][0]
    assert manifest.schemas[path] == schema_of(tmp_path / FOLDER / path) == PRESENT
    assert by_names(tmp_path / FOLDER).schemas[path] == PRESENT
    newer(tmp_path, path)
    with pytest.warns(UserWarning, match=rf"newer version.*schema {PRESENT + 1}"):
        connection = connect(tmp_path)
    assert query(connection, "SELECT id FROM acts")[1] == [("two",)]
    connection.close()
    with pytest.raises(SchemaNewer, match=rf"schema {PRESENT + 1}, this one reads up to {PRESENT}"):
        read_manifest(tmp_path)  # nobody writes there, nor restores from it
    with pytest.raises(StorageError):
        Publisher(kept.database, tmp_path)


def test_a_newer_schema_of_which_nothing_is_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FOLDER / MANIFEST
    path.parent.mkdir()
    path.write_text(Manifest().text().replace(f'"schema": {PRESENT}', f'"schema": {PRESENT + 1}'))
    with pytest.raises(SchemaNewer, match="newer version"):
        connect(tmp_path)


def test_days_that_are_not_asked_for_are_passed_over(tmp_path: Path) -> None:
    """By the times in the footers: of 40 days the scan reads the rows of one."""
    root, paths = tmp_path / FOLDER, []
    connection = duckdb.connect(":memory:")
    for step in migrations().values():
        connection.execute(step)
    for day in range(1, 29):
        path = f"acts/day=2026-01-{day:02d}/rows-{day:012d}-{day:012d}.parquet"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        connection.execute(
            f"COPY (SELECT i AS log_seq, 'x' AS id, TIMESTAMP '2026-01-{day:02d}' + to_seconds(i) "
            "AS ts, 'me' AS actor, 'did' AS act, '' AS subject, '' AS reason, '{}' AS detail "
            f"FROM range(1000) r(i)) TO '{root / path}' "
            f"(FORMAT parquet, ROW_GROUP_SIZE {ROW_GROUP})"
        )
        paths.append(path)
    connection.close()
    manifest = Manifest(9, 1.0, {"acts": tuple(paths)}, schemas=dict.fromkeys(paths, PRESENT))
    (root / MANIFEST).write_text(manifest.text())
    with connect(tmp_path) as history:
        history.execute("SET enable_profiling = 'json'; SET profiling_mode = 'detailed'")
        sql = "SELECT count(id) FROM acts WHERE ts >= TIMESTAMP '2026-01-28'"
        (plan,) = history.execute(f"EXPLAIN (ANALYZE, FORMAT json) {sql}").fetchall()
        assert query(history, sql)[1] == [(1000,)]
    assert scanned(json.loads(plan[1])) <= 2_000


def scanned(node: dict[str, object]) -> int:
    """The rows that the Parquet scans of a plan gave."""
    own = node.get("operator_name") or node.get("name") or ""
    here = int(node.get("operator_cardinality", 0)) if "PARQUET" in str(own).upper() else 0  # type: ignore[call-overload]
    return here + sum(scanned(child) for child in node.get("children", []))  # type: ignore[attr-defined]


@pytest.mark.parametrize("over", ["files of every schema", "nothing"])
def test_the_file_of_the_catalogue_shows_what_a_connection_shows(tmp_path: Path, over: str) -> None:
    """Also where a process that was killed while it wrote one has left its log behind."""
    manifest, root = Manifest(), tmp_path / FOLDER
    if over != "nothing":
        old_history(tmp_path)
        manifest = read_manifest(tmp_path)
    else:
        root.mkdir()
        (root / MANIFEST).write_text(manifest.text())
    aside = root / "catalogue.aside"
    aside.write_bytes(b"half")
    code = (
        f"import duckdb, os; c = duckdb.connect({str(root / 'other')!r}); "
        "c.execute('CREATE VIEW acts AS SELECT 1 AS foreign'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    os.replace(root / "other.wal", root / "catalogue.aside.wal")
    write_catalogue(aside, root, manifest.files, manifest.schemas)
    assert sorted(path.name for path in root.glob("catalogue*")) == ["catalogue.aside"]
    shown = [*(name for name in NAMES if name not in PRIVATE), *ORDER]
    with connect(tmp_path) as here, duckdb.connect(str(aside), read_only=True) as there:
        there.execute(f"SET file_search_path = '{root}'")
        for name in shown:
            found = [each.execute(f"FROM {name} ORDER BY ALL") for each in (here, there)]
            one, other = [(each.description, each.fetchall()) for each in found]
            assert one[0] == other[0] and len(one[1]) == len(other[1]), name
            assert name in ORDER or one == other, name  # a view may tell equal rows apart by chance
        sql = "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY 1"
        told = dict(there.execute(sql).fetchall())
        assert set(told) == set(shown) and told["rounds"] == views()["rounds"].meaning


def test_views_stand_in_the_order_in_which_they_can_be_made() -> None:
    assert tuple(views()) == ORDER
    for view in views().values():
        assert view.meaning.endswith(".") and view.columns and not view.sql.startswith("--")
