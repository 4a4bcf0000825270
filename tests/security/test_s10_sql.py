"""S10: analysts' SQL reads the published views and nothing beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from service.storage.confined import asked, confine
from service.storage.errors import StorageError
from service.storage.history import FOLDER, connect
from service.storage.keys import KeyStore
from tests.conftest import HandClock
from tests.service.cli.test_commands import run
from tests.service.storage.test_history import Kept, act

pytestmark = pytest.mark.slow

OUTSIDE = (
    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_blob('/etc/hostname')", "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'", "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_json('/proc/self/environ')", "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')", "SELECT getenv('HOME')",
    "ATTACH '/tmp/x.db'", "COPY (SELECT 1) TO '/tmp/headgate-s10.csv'", "INSTALL httpfs",
    "LOAD httpfs", "SET memory_limit = '64GB'", "RESET memory_limit", "PRAGMA database_list",
    "EXPORT DATABASE '/tmp/headgate-s10'", "CREATE TABLE t AS SELECT 1", "DROP VIEW acts",
    "CREATE OR REPLACE VIEW acts AS SELECT 1", "INSERT INTO none_yet.acts SELECT * FROM acts",
    "SELECT 1; DROP VIEW acts", "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/headgate-s10.csv'",
    "CALL pragma_database_size()", "SET lock_configuration = false", "", ";",
    "CHECKPOINT", "USE none_yet", "DELETE FROM none_yet.acts", "VACUUM", "BEGIN",
)  # fmt: skip

ACTS = 6  # five of ours, and the first key's


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Kept(tmp_path_factory.mktemp("state"))
    made.add(*(act(f"a{number}") for number in range(5)))
    KeyStore(made.database, made.log, HandClock()).bootstrap("hg-secret")
    made.publish()
    made.log.stop()
    made.database.close()
    return made.state


@pytest.fixture
def analyst(state: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = connect(state)
    confine(connection, state)
    yield connection
    connection.close()


def test_S10_the_views_are_read(analyst: duckdb.DuckDBPyConnection) -> None:
    assert asked(analyst, "SELECT count(*) FROM acts")[1] == [(ACTS,)]
    assert asked(analyst, "FROM acts LIMIT 1")[1]
    assert asked(analyst, "DESCRIBE acts")[1] and asked(analyst, "SUMMARIZE acts")[1]
    assert asked(analyst, "WITH a AS (SELECT 1 AS x) SELECT x FROM a")[1] == [(1,)]


@pytest.mark.parametrize("sql", OUTSIDE, ids=[f"S10-{n}" for n in range(len(OUTSIDE))])
def test_S10_nothing_outside_is_reached(analyst: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(StorageError):
        asked(analyst, sql)
    assert asked(analyst, "SELECT count(*) FROM acts")[1] == [(ACTS,)]
    assert not Path("/tmp/headgate-s10.csv").exists()


def test_S10_the_digests_of_keys_are_out_of_reach(
    analyst: duckdb.DuckDBPyConnection, state: Path
) -> None:
    (path,) = (state / FOLDER / "keys").rglob("*.parquet")
    for sql in (f"SELECT * FROM read_parquet('{path}')", f"SELECT * FROM '{path}'", "FROM keys",
                f"SELECT * FROM read_parquet('{state}/history/*/*/*.parquet')"):  # fmt: skip
        with pytest.raises(StorageError):
            asked(analyst, sql)


def test_S10_a_query_that_takes_too_long_is_ended(analyst: duckdb.DuckDBPyConnection) -> None:
    endless = "SELECT count(*) FROM range(100000000000) a, range(100000000000) b"
    with pytest.raises(StorageError, match="took longer"):
        asked(analyst, endless, limit_s=0.2)
    assert asked(analyst, "SELECT 1")[1] == [(1,)]


def test_S10_the_command_is_confined(state: Path) -> None:
    code, out, _ = run("history", "--state", str(state), "--sql", "SELECT count(*) n FROM acts")
    assert code == 0 and str(ACTS) in out
    for sql in ("SELECT * FROM read_csv('/etc/passwd')", "COPY acts TO '/tmp/headgate-s10.csv'"):
        code, out, err = run("history", "--state", str(state), "--sql", sql)
        assert code == 2 and "root" not in out and err
