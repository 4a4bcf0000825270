"""Analysts' SQL: one query over the published files, and nothing beside it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb

from service.storage.errors import StorageError
from service.storage.history import query
from service.storage.manifest import FOLDER, file_list, read_manifest
from service.storage.tables import PRIVATE

QUERY_S = 300.0
MOST_SPILLED = "8GB"  # of the disk, where a query does not fit into memory


def confine(connection: duckdb.DuckDBPyConnection, state_dir: Path) -> None:
    """From now on, and for good, the connection reads those files alone that the views are over:
    no other file, no network, no extension, no setting. (DuckDB: "treat SQL like a shell".)
    """
    manifest = read_manifest(state_dir, newer=True)
    root = state_dir / FOLDER
    files = [
        root / path for name, paths in manifest.files.items() if name not in PRIVATE
        for path in paths
    ]  # fmt: skip
    connection.execute(
        f"SET max_temp_directory_size = '{MOST_SPILLED}'; SET allowed_paths = {file_list(files)}; "
        "SET enable_external_access = false; SET lock_configuration = true"
    )


def asked(
    connection: duckdb.DuckDBPyConnection, sql: str, limit_s: float = QUERY_S
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of one query; raises StorageError for anything that is no query, and
    for one that takes too long.
    """
    try:
        found = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise StorageError(f"the query cannot be run: {error}") from None
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise StorageError(
            "give one query (SELECT, FROM, DESCRIBE, SUMMARIZE); nothing else is run"
        )
    late = threading.Event()

    def stop() -> None:
        late.set()
        connection.interrupt()

    timer = threading.Timer(limit_s, stop)
    timer.daemon = True
    timer.start()
    try:
        return query(connection, sql)
    except StorageError:
        if late.is_set():
            raise StorageError(f"the query took longer than {limit_s:g} s; ask for less") from None
        raise
    finally:
        timer.cancel()
