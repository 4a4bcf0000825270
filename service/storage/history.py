"""The published history: immutable Parquet by table and day, with a catalogue of views over it."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from service.storage.database import Database, migrations
from service.storage.errors import StorageError
from service.storage.manifest import (
    FOLDER,
    MANIFEST,
    Manifest,
    damage,
    file_list,
    quoted,
    read_manifest,
    whole,
)
from service.storage.responses import RESPONSE_RATES
from service.storage.tables import NAMES, PRIVATE

CATALOGUE = "catalogue.duckdb"
GRACE_S = 900.0

VIEWS: Mapping[str, str] = {
    "ratings": """
        SELECT * EXCLUDE (newest) FROM (
            SELECT *, row_number() OVER (
                PARTITION BY decision_id, metric, kind, author ORDER BY log_seq DESC) AS newest
            FROM feedback) WHERE newest = 1""",
    "response_rates": RESPONSE_RATES,
    "rounds": """
        SELECT d.id, d.ts, d.task, d.tenant, d.feature, d.mode AS decided, d.deployment AS drawn,
               d.propensity, d.eligible, d.propensities, d.policy, d.version_id, d.override_id,
               d.unit, d.session, d.tokens_in AS tokens_in_estimate,
               o.deployment AS served, o.mode AS served_mode, o.status, o.error_kind,
               o.latency_s, o.ttft_s, o.attempts, o.tokens_in, o.tokens_out,
               o.cost_micro_usd, o.cost_micro_usd / 1e6 AS cost_usd,
               r.quality, r.rated_at,
               CASE WHEN o.status >= 500 THEN 0.0 WHEN r.quality IS NULL THEN NULL
                    ELSE greatest(0.0, least(1.0, r.quality
                         - (o.cost_micro_usd / 1e6) / v.worth_usd - o.latency_s / v.patience_s))
               END AS reward
        FROM decisions d
        LEFT JOIN (SELECT id AS version_id, (parameters -> 'scale' ->> 'worth_usd')::DOUBLE AS
                          worth_usd, (parameters -> 'scale' ->> 'patience_s')::DOUBLE AS patience_s
                   FROM versions) v ON v.version_id = d.version_id
        LEFT JOIN outcomes o ON o.decision_id = d.id
        LEFT JOIN (SELECT decision_id, avg(quality) AS quality, max(ts) AS rated_at
                   FROM ratings WHERE quality IS NOT NULL GROUP BY decision_id) r
               ON r.decision_id = d.id""",
    "spend": """
        SELECT date_trunc('hour', ts) AS hour, deployment, provider, role,
               count(*) AS calls, sum(cost_micro_usd) / 1e6 AS usd
        FROM attempts GROUP BY ALL""",
}


class Publisher:
    """Writes what is new since the last time, aside, and renames it into place."""

    def __init__(
        self,
        database: Database,
        state_dir: Path,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._monotonic_s = monotonic_s
        self._root = state_dir / FOLDER
        self._root.mkdir(parents=True, exist_ok=True)
        self._manifest = read_manifest(state_dir)
        self._digests = dict(self._manifest.digests)
        self._grace_since_s: dict[str, float] = {}
        self._one_at_a_time = threading.Lock()

    @property
    def through_seq(self) -> int:
        """The number of the last row published."""
        return self._manifest.through_seq

    def publish(self, through_seq: int, now_s: float | None = None) -> Manifest:
        """Publish every durable row up to ``through_seq``; blocks, so call it off the loop.

        When it fails, what is published stays as it was and what was written of it is deleted.
        """
        with self._one_at_a_time:
            written: list[Path] = []
            try:
                return self._publish(through_seq, time.time() if now_s is None else now_s, written)
            except (OSError, duckdb.Error):
                for path in written:
                    path.unlink(missing_ok=True)
                raise

    def _publish(self, through_seq: int, now: float, written: list[Path]) -> Manifest:
        old = self._manifest
        files = {name: list(old.files.get(name, ())) for name in NAMES}
        if through_seq > old.through_seq:
            for name in NAMES:
                files[name] += self._write_new(name, old.through_seq, through_seq, written)
        retired = list(old.retired)
        for name in NAMES:
            compacted, gone = self._compact(name, files[name], now, written)
            files[name] = compacted
            retired += [(each, now) for each in gone]
        over = [entry for entry in retired if self._over(entry)]
        manifest = Manifest(
            through_seq=max(through_seq, old.through_seq),
            published_at=now,
            files={name: tuple(paths) for name, paths in files.items()},
            retired=tuple(entry for entry in retired if entry not in over),
            digests={
                path: self._digests[path]
                for paths in files.values()
                for path in paths
                if path in self._digests
            },
        )
        _write_aside(self._root / MANIFEST, manifest.text().encode())
        self._manifest = manifest  # only now: what the file does not say is not published
        written.clear()
        for name, _ in over:
            (self._root / name).unlink(missing_ok=True)
            self._grace_since_s.pop(name, None)
        if manifest.files != old.files or not (self._root / CATALOGUE).exists():
            self._write_catalogue()
        return self._manifest

    def _write_new(self, name: str, after: int, through: int, written: list[Path]) -> list[str]:
        where = f"FROM {name} WHERE log_seq > {after} AND log_seq <= {through}"
        days = (
            self._database.cursor()
            .execute(f"SELECT DISTINCT strftime(ts, '%Y-%m-%d') {where} ORDER BY 1")
            .fetchall()
        )
        paths = []
        for (day,) in days:
            path = f"{name}/day={day}/rows-{after + 1:012d}-{through:012d}.parquet"
            clause = f"{where} AND strftime(ts, '%Y-%m-%d') = '{day}'" if len(days) > 1 else where
            self._copy(f"SELECT * {clause} ORDER BY log_seq", path, name, written)
            paths.append(path)
        return paths

    def _copy(self, sql: str, path: str, name: str, written: list[Path]) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(".aside")
        written += [aside, target]
        escaped = str(aside).replace("'", "''")
        self._database.cursor().execute(
            f"COPY ({sql}) TO '{escaped}' (FORMAT parquet, COMPRESSION zstd)"
        )
        if name in PRIVATE:
            aside.chmod(0o600)
        self._digests[path] = hashlib.sha256(aside.read_bytes()).hexdigest()
        os.replace(aside, target)

    def _compact(
        self, name: str, files: Sequence[str], now: float, written: list[Path]
    ) -> tuple[list[str], list[str]]:
        """One file for every closed day that has several; a damaged one is left as it is."""
        today = time.strftime("%Y-%m-%d", time.gmtime(now - 3600))
        by_day: dict[str, list[str]] = {}
        for path in files:
            by_day.setdefault(path.split("/")[1], []).append(path)
        kept: list[str] = []
        gone: list[str] = []
        for day, paths in by_day.items():
            if len(paths) < 2 or day.removeprefix("day=") >= today:
                kept += paths
                continue
            first = min(path.split("rows-")[1].split("-")[0] for path in paths)
            last = max(path.split("rows-")[1].split("-")[1] for path in paths)
            joined = f"{name}/{day}/rows-{first}-{last}"
            listed = file_list(str(self._root / path) for path in paths)
            # By name: a day may hold files from before and after a migration.
            source = f"read_parquet({listed}, union_by_name = true, hive_partitioning = false)"
            if any(damage(self._root / path, self._digests.get(path, "")) for path in paths):
                kept += paths  # a damaged one stays beside the others, as it is
                continue
            self._copy(f"SELECT * FROM {source} ORDER BY log_seq", joined, name, written)
            kept.append(joined)
            gone += paths
        return kept, gone

    def _over(self, entry: tuple[str, float]) -> bool:
        """Whether no reader can still hold the name of a file that a compaction replaced. Counted
        on the monotonic clock from when this process first saw it, so a jump of the wall clock
        takes no file from a reader.
        """
        now_s = self._monotonic_s()
        return now_s - self._grace_since_s.setdefault(entry[0], now_s) >= GRACE_S

    def _write_catalogue(self) -> None:
        aside = self._root / "catalogue.aside"
        aside.unlink(missing_ok=True)
        connection = duckdb.connect(str(aside))
        try:
            connection.execute(f"SET file_search_path = '{quoted(str(self._root))}'")
            _create_views(connection, self._manifest.files)
        finally:
            connection.close()
        os.replace(aside, self._root / CATALOGUE)


def connect(state_dir: Path | str) -> duckdb.DuckDBPyConnection:
    """A connection with the published history as views; it never touches the live file.

    Views: every table of the log, and ``rounds``, ``ratings``, ``response_rates``, ``spend``.
    What was published later is seen by connecting again. A file that is missing or damaged is
    left out with a warning.
    """
    root = Path(state_dir) / FOLDER
    if not (root / MANIFEST).exists():
        raise StorageError(
            f"no published history under {state_dir}; start the service with --state {state_dir} "
            "and wait a minute, or name another directory"
        )
    manifest = read_manifest(Path(state_dir))
    if manifest.damage:
        warnings.warn(
            f"{root / MANIFEST} is damaged; the files are taken by their names", stacklevel=2
        )
    files = {
        name: [str(root / path) for path in paths if _readable(root / path)]
        for name, paths in manifest.files.items()
    }
    connection = duckdb.connect(":memory:")
    _create_views(connection, files)
    return connection


def query(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a query; raises StorageError that says what is wrong with it."""
    try:
        result = connection.execute(sql)
        return [column[0] for column in result.description or ()], result.fetchall()
    except duckdb.Error as error:
        raise StorageError(f"the query cannot be run: {error}") from None


def _create_views(
    connection: duckdb.DuckDBPyConnection, files: Mapping[str, Sequence[str]]
) -> None:
    connection.execute("CREATE SCHEMA none_yet; SET schema = 'none_yet'")
    for step in migrations().values():
        connection.execute(step)
    connection.execute("SET schema = 'main'")
    for name in NAMES:
        if name in PRIVATE:
            continue
        sql = f"SELECT * FROM none_yet.{name}"
        if files.get(name):
            sql += f" UNION ALL BY NAME SELECT * FROM read_parquet({file_list(files[name])}"
            sql += ", union_by_name = true, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW {name} AS {sql}")
    for name, sql in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {sql}")


def _readable(path: Path) -> bool:
    sound = whole(path)
    if not sound:
        warnings.warn(
            f"{path} is missing or cut short; the history is shown without it", stacklevel=3
        )
    return sound


def _write_aside(path: Path, data: bytes) -> None:
    aside = path.with_name(path.name + ".aside")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
