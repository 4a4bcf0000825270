"""The published history as it is replayed: decisions with what came of them, and updates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from service.domain.records import Checkpoint, Decision, Update, Version
from service.storage.cases import at_time, decision_from, us
from service.storage.errors import StorageError
from service.storage.history import connect
from service.storage.manifest import read_manifest
from service.storage.updates import update_from
from service.storage.versions import FOLDER

CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Ended:
    """A decision and what came of its request; None where it is not known. ``quality``: the last
    that the policy was told, so by the metric that the plan says is quality.
    """

    decision: Decision
    status: int | None
    quality: float | None
    latency_s: float | None
    cost_micro_usd: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """Decisions between two times, from a row of the log on; ``update_seq``: the least update that
    one of them knew.
    """

    first_seq: int
    decisions: int
    since_us: int
    until_us: int
    update_seq: int


class LoggedHistory:
    """Reads a state directory's published history; the live file is never touched.

    Raises StorageError where there is none, or where it cannot be read.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.published_us = int(read_manifest(state_dir).published_at * 1e6)
        self._connection = connect(state_dir)

    def versions(self) -> list[Version]:
        """All versions, the oldest first."""
        return [
            Version(
                row["id"], us(row["ts"]), row["policy"], row["kind"], row["parameters"],
                row["parent"], row["author"], row["reason"],
            )
            for row in self._rows("SELECT * FROM versions ORDER BY log_seq")
        ]  # fmt: skip

    def live(self) -> Version | None:
        """The version that was promoted last."""
        versions = self.versions()
        promoted = [
            row["version_id"]
            for row in self._rows("SELECT version_id FROM promotions ORDER BY log_seq DESC LIMIT 1")
        ]
        for version in versions:
            if version.id in promoted:
                return version
        return versions[-1] if versions else None

    def checkpoints(self, version_id: str) -> list[Checkpoint]:
        """A version's checkpoints, the oldest first; their files may be gone."""
        return [
            Checkpoint(
                row["id"], us(row["ts"]), row["version_id"], row["update_seq"], row["sha256"],
                row["size_bytes"],
            )
            for row in self._rows(
                "SELECT * FROM checkpoints WHERE version_id = ? ORDER BY log_seq", version_id
            )
        ]  # fmt: skip

    def update_us(self, seq: int) -> int | None:
        """When an update was logged."""
        rows = list(self._rows("SELECT ts FROM updates WHERE seq = ?", seq))
        return us(rows[0]["ts"]) if rows else None

    def span(self, since_us: int, until_us: int, most: int) -> Span | None:
        """The newest ``most`` decisions between two times; None where there is none."""
        (found,) = self._rows(
            "SELECT min(log_seq) AS first, count(*) AS n, min(ts) AS ts, "
            "min(update_seq) AS known FROM (SELECT log_seq, ts, update_seq FROM decisions "
            "WHERE ts >= ? AND ts < ? ORDER BY log_seq DESC LIMIT ?)",
            at_time(since_us), at_time(until_us), most,
        )  # fmt: skip
        if not found["n"]:
            return None
        return Span(found["first"], found["n"], us(found["ts"]), until_us, found["known"])

    def decisions(self, span: Span) -> Iterator[Ended]:
        """Its decisions in the order of the log."""
        rows = self._rows(
            "SELECT d, o.status, o.latency_s, o.cost_micro_usd, r.quality FROM decisions d "
            "LEFT JOIN outcomes o ON o.decision_id = d.id AND o.mode NOT IN ('ensemble', 'batch') "
            "LEFT JOIN (SELECT decision_id, "
            "arg_max(quality, seq) AS quality FROM updates WHERE kind IN ('rating', 'revision') "
            "GROUP BY decision_id) r ON r.decision_id = d.id "
            "WHERE d.log_seq >= ? AND d.ts >= ? AND d.ts < ? ORDER BY d.log_seq",
            span.first_seq, at_time(span.since_us), at_time(span.until_us),
        )  # fmt: skip
        for row in rows:
            yield Ended(
                decision_from(row["d"]), row["status"], row["quality"], row["latency_s"],
                row["cost_micro_usd"],
            )  # fmt: skip

    def updates(self, after_seq: int) -> Iterator[tuple[Update, Decision | None]]:
        """The updates after a number, in order, each with its decision."""
        rows = self._rows(
            "SELECT u, d FROM updates u LEFT JOIN decisions d ON d.id = u.decision_id "
            "WHERE u.seq > ? ORDER BY u.seq",
            after_seq,
        )
        for row in rows:
            about = row["d"]
            known = about is not None and about["id"] is not None
            yield update_from(row["u"]), decision_from(about) if known else None

    def checkpoint_bytes(self, checkpoint: Checkpoint) -> bytes | None:
        """A checkpoint's state, None when its file is gone or not what was written."""
        try:
            data = (self.state_dir / FOLDER / f"{checkpoint.id}.hgsn").read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == checkpoint.sha256 else None

    def _rows(self, sql: str, *parameters: Any) -> Iterator[Mapping[str, Any]]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql, list(parameters))
            names = [column[0] for column in cursor.description or ()]
            while rows := cursor.fetchmany(CHUNK):
                for row in rows:
                    yield dict(zip(names, row, strict=True))
        except duckdb.Error as error:
            raise StorageError(f"the published history cannot be read: {error}") from None
        finally:
            cursor.close()
