"""The audit trail: what people and the service did, found, and the chain over it looked through."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from service.storage.cases import rows_of
from service.storage.catalogue import table_sql
from service.storage.chain import TABLE, Break, Head, Link, Verdict, links, verify
from service.storage.database import Cursor, migrations
from service.storage.errors import ReadFailed, StorageError
from service.storage.manifest import FOLDER, MANIFEST, damage, file_list, read_manifest

COLUMNS = (
    "log_seq", "id", "ts", "actor", "role", "key_id", "author", "act", "subject", "reason",
    "detail", "before", "after", "ip", "request_id", "prev_hash", "hash",
)  # fmt: skip
MOST = 1_000  # a page
REST_ROWS, REST_S = 200, 0.001


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which acts: by time (microseconds), and where not empty by actor (or author), act (or the
    noun before its dot) and subject. Newest first below ``below``; with ``after`` oldest first.
    """

    since_us: int | None = None
    until_us: int | None = None
    actor: str = ""
    act: str = ""
    subject: str = ""
    below: int | None = None
    after: int | None = None
    limit: int = 100


def acts(cursor: Cursor, wanted: Wanted) -> list[dict[str, Any]]:
    """A page of them, from the live file or the published history; raises ReadFailed."""
    clauses: list[str] = ["true"]
    given: list[Any] = []
    for clause, value in (
        ("ts >= make_timestamp(?)", wanted.since_us),
        ("ts < make_timestamp(?)", wanted.until_us),
        ("log_seq < ?", wanted.below),
        ("log_seq > ?", wanted.after),
        ("subject = ?", wanted.subject or None),
    ):
        if value is not None:
            clauses.append(clause)
            given.append(value)
    if wanted.actor:
        clauses.append("(actor = ? OR author = ?)")
        given += [wanted.actor, wanted.actor]
    if wanted.act:
        clauses.append("(act = ? OR starts_with(act, ?))")
        given += [wanted.act, wanted.act + "."]
    order = "DESC" if wanted.after is None else "ASC"
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    sql = f"SELECT {columns} FROM {TABLE} WHERE {' AND '.join(clauses)} "
    sql += f"ORDER BY log_seq {order} LIMIT {int(wanted.limit)}"
    return rows_of(cursor, sql, given)


def who_knows(cursor: Cursor, key_id: str) -> tuple[str, str]:
    """Who was shown a key's newest secret when it was issued: the id of the key that asked for it,
    or the name of who approved that, to whom it went then; empty where no act tells of it.
    """
    sql = f"SELECT key_id, detail FROM {TABLE} WHERE subject = ? AND act IN (?, ?) "
    sql += "ORDER BY log_seq DESC LIMIT 1"
    rows = rows_of(cursor, sql, [key_id, "key.created", "key.rotated"])
    if not rows:
        return "", ""
    approved_by = (_json(rows[0]["detail"]) or {}).get("approved_by", "")
    return ("", str(approved_by)) if approved_by else (str(rows[0]["key_id"]), "")


def all_acts(cursor: Cursor, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """All of them, oldest first, a page at a time, so that a long trail is never in memory."""
    after = wanted.after or 0
    while page := acts(cursor, replace(wanted, below=None, after=after, limit=MOST)):
        yield from page
        after = int(page[-1]["log_seq"])


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """An act as it is listed: times as texts, what it changed as JSON."""
    told: dict[str, Any] = dict(row)
    told["ts"] = row["ts"].isoformat(timespec="milliseconds") + "Z"
    for name in ("detail", "before", "after"):
        told[name] = _json(row[name])
    return told


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look through a trail found. ``unread``: published files that are not what was written;
    ``anchored``: whether its end was compared with what was published.
    """

    verdict: Verdict
    unread: tuple[str, ...] = ()
    anchored: bool = False

    @property
    def holds(self) -> bool:
        return self.verdict.holds and not self.unread

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        head = self.verdict.head
        return {
            "holds": self.holds,
            "rows": self.verdict.rows,
            "head": {"seq": head.seq, "hash": head.hash},
            "anchored": self.anchored,
            "broken": self.verdict.broken,
            "breaks": [
                {"row": each.seq, "id": each.id or None, "what": each.what}
                for each in self.verdict.breaks
            ],
            "unread": list(self.unread),
        }


def look(cursor: Cursor, published: Head | None, known: str = "") -> Looked:
    """Through the live trail. ``known``: a hash from an earlier look, which must be in it."""
    try:
        verdict = _verified(_rested(links(cursor, TABLE)), published, known)
    except duckdb.Error as error:
        raise ReadFailed(f"the live file cannot be read: {error}") from error
    return Looked(verdict, (), published is not None)


def _rested(rows: Iterator[Link]) -> Iterator[Link]:
    """With a rest now and then: the requests of the same process want the interpreter too."""
    for number, each in enumerate(rows, 1):
        if number % REST_ROWS == 0:
            time.sleep(REST_S)
        yield each


def look_published(state_dir: Path, known: str = "") -> Looked:
    """Through the published one, without a service; a file that is damaged is named, and what can
    be read of it is looked through all the same.
    """
    root = state_dir / FOLDER
    if not (root / MANIFEST).exists():
        raise StorageError(f"no published history under {state_dir}; name another with --state")
    manifest = read_manifest(state_dir, newer=True)
    paths = manifest.files.get(TABLE, ())
    spoiled = [each for each in paths if damage(root / each, manifest.digests.get(each, ""))]
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("CREATE SCHEMA none_yet; SET schema = 'none_yet'")
        for step in migrations().values():
            connection.execute(step)
        read = [str(root / each) for each in paths if _reads(connection, root / each)]
        schemas = {str(root / each): schema for each, schema in manifest.schemas.items()}
        source = f"({table_sql(TABLE, {TABLE: read}, schemas)})"
        verdict = _verified(links(connection, source), manifest.head, known)
    except duckdb.Error as error:
        raise StorageError(f"the published acts cannot be read: {error}") from error
    finally:
        connection.close()
    return Looked(verdict, tuple(spoiled), manifest.head is not None)


def _reads(connection: Cursor, path: Path) -> bool:
    try:
        listed = file_list([path])
        connection.execute(f"SELECT bit_xor(hash(t)) FROM read_parquet({listed}) t").fetchall()
    except duckdb.Error:
        return False
    return True


def _verified(rows: Iterator[Link], published: Head | None, known: str) -> Verdict:
    met = not known

    def watched() -> Iterator[Link]:
        nonlocal met
        for each in rows:
            met = met or each.hash == known
            yield each

    found = verify(watched(), published)
    if met:
        return found
    lost = Break(found.head.seq, "", f"no row has the hash {known[:64]} that was known")
    return replace(found, breaks=(*found.breaks, lost), broken=found.broken + 1)
