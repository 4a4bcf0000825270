"""Batches on disk: what a call wrote is durable when it returns, and each result stands once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from service.domain.batches import (
    LIVE,
    Batch,
    BatchState,
    NewRequest,
    Owner,
    Standing,
    StoredFile,
    Taken,
)
from service.storage.batch_file import written

_FILE = "id, key_id, tenant, purpose, name, size, created_us, keep_until_us"
_PLAIN = (
    "endpoint", "input_file", "state", "created_us", "deadline_us", "window", "priority",
    "metadata", "total", "tokens", "completed", "failed", "cancelling_us", "ended_us",
    "keep_until_us", "output_file", "error_file", "errors", "idempotency", "digest",
)  # fmt: skip
_BATCH = ", ".join(("id", "key_id", "tenant", *_PLAIN))
_OWN = "(key_id = ? OR (tenant <> '' AND tenant = ?))"
Line = Callable[[int, str], bytes]  # of a request that was never answered: its number and name


class BatchStore:
    """Called from one thread at a time. ``standings``: the live batches, kept up to date."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.standings: dict[str, Standing] = {}
        live = ", ".join(f"'{each.value}'" for each in LIVE)
        for batch in self._batches(f"state IN ({live}) ORDER BY seq", ()):
            waiting, with_provider = self._db.execute(
                "SELECT count(*) FILTER (WHERE state = 'waiting'), "
                "count(*) FILTER (WHERE state = 'running') "
                "FROM requests WHERE batch_id = ?", (batch.id,),
            ).fetchone()  # fmt: skip
            self.standings[batch.id] = Standing(batch, waiting, with_provider)

    # files ------------------------------------------------------------------------------------

    def put_file(self, file: StoredFile, content: bytes) -> None:
        """Keep a file."""
        with written(self._db):
            self._insert_file(file, content)

    def _insert_file(self, file: StoredFile, content: bytes) -> None:
        owner = file.owner
        self._db.execute(
            f"INSERT INTO files ({_FILE}, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (file.id, owner.key_id, owner.tenant, file.purpose, file.name, file.size,
             file.created_us, file.keep_until_us, content),
        )  # fmt: skip

    def file(self, file_id: str, owner: Owner) -> StoredFile | None:
        """A file of an owner's."""
        found = self._files(f"id = ? AND {_OWN}", (file_id, owner.key_id, owner.tenant))
        return found[0] if found else None

    def content(self, file_id: str, owner: Owner) -> bytes | None:
        """The content of a file of an owner's."""
        row = self._db.execute(
            f"SELECT content FROM files WHERE id = ? AND {_OWN}",
            (file_id, owner.key_id, owner.tenant),
        ).fetchone()
        return None if row is None else bytes(row[0])

    def files(
        self, owner: Owner, purpose: str, after: str, most: int, order: str = "desc"
    ) -> list[StoredFile]:
        """An owner's files, the newest first, or last where the order is "asc"; ``after``: those
        that follow this one.
        """
        where, given = f"{_OWN} AND (? = '' OR purpose = ?)", [owner.key_id, owner.tenant]
        where, given = self._after(
            "files", where, [*given, purpose, purpose], (after, owner), order
        )
        way = "ASC" if order == "asc" else "DESC"
        return self._files(f"{where} ORDER BY seq {way} LIMIT ?", (*given, most))

    def _files(self, where: str, given: Sequence[Any]) -> list[StoredFile]:
        rows = self._db.execute(f"SELECT {_FILE} FROM files WHERE {where}", given).fetchall()
        return [StoredFile(row[0], Owner(row[1], row[2]), *row[3:]) for row in rows]

    def _after(
        self, table: str, where: str, given: list[Any], cut: tuple[str, Owner], order: str = "desc"
    ) -> tuple[str, list[Any]]:
        after, owner = cut
        if not after:
            return where, given
        found = f"SELECT seq FROM {table} WHERE id = ? AND {_OWN}"
        beyond = ">" if order == "asc" else "<"
        return f"{where} AND seq {beyond} ({found})", [*given, after, owner.key_id, owner.tenant]

    def remove_file(self, file_id: str, owner: Owner) -> bool:
        """Erase a file; batches that were made of it go on."""
        with written(self._db):
            return bool(
                self._db.execute(
                    f"DELETE FROM files WHERE id = ? AND {_OWN}",
                    (file_id, owner.key_id, owner.tenant),
                ).rowcount
            )

    # batches ----------------------------------------------------------------------------------

    def put(self, batch: Batch, requests: Sequence[NewRequest]) -> Batch:
        """Take a batch with its requests; or the one that the same key had under the same
        idempotency key.
        """
        if known := self.known(batch.owner.key_id, batch.idempotency):
            return known
        with written(self._db):
            marks = ", ".join("?" * (len(_PLAIN) + 3))
            self._db.execute(
                f"INSERT INTO batches ({_BATCH}) VALUES ({marks})",
                (batch.id, batch.owner.key_id, batch.owner.tenant,
                 *(getattr(batch, name) for name in _PLAIN)),
            )  # fmt: skip
            self._db.executemany(
                "INSERT INTO requests (batch_id, number, custom_id, body, state) "
                "VALUES (?, ?, ?, ?, 'waiting')",
                ((batch.id, n, each.custom_id, each.body) for n, each in enumerate(requests, 1)),
            )
        if batch.state in LIVE:
            self.standings[batch.id] = Standing(batch, len(requests))
        return batch

    def known(self, key_id: str, idempotency: str) -> Batch | None:
        """The batch that a key had under an idempotency key."""
        found = self._batches("key_id = ? AND idempotency = ?", (key_id, idempotency))
        return found[0] if found and idempotency else None

    def batch(self, batch_id: str, owner: Owner | None) -> Batch | None:
        """A batch of an owner's; None: of anybody's."""
        own = "" if owner is None else f" AND {_OWN}"
        given = () if owner is None else (owner.key_id, owner.tenant)
        found = self._batches(f"id = ?{own}", (batch_id, *given))
        return found[0] if found else None

    def batches(self, owner: Owner, after: str, most: int) -> list[Batch]:
        """An owner's batches, the newest first; ``after``: those older than this one."""
        where, given = self._after("batches", _OWN, [owner.key_id, owner.tenant], (after, owner))
        return self._batches(f"{where} ORDER BY seq DESC LIMIT ?", (*given, most))

    def all_batches(self, tenant: str | None, most: int) -> list[Batch]:
        """Everybody's, or a tenant's, the newest first."""
        where = "? IS NULL OR tenant = ? ORDER BY seq DESC LIMIT ?"
        return self._batches(where, (tenant, tenant, most))

    def _batches(self, where: str, given: Sequence[Any]) -> list[Batch]:
        rows = self._db.execute(f"SELECT {_BATCH} FROM batches WHERE {where}", given).fetchall()
        found = []
        for row in rows:
            told = dict(zip(_PLAIN, row[3:], strict=True))
            told["state"] = BatchState(told["state"])
            found.append(Batch(row[0], Owner(row[1], row[2]), **told))
        return found

    def cancelling(self, batch_id: str, now_us: int) -> bool:
        """A batch is being called off; whether it was live."""
        standing = self.standings.get(batch_id)
        if standing is None or standing.batch.state is not BatchState.IN_PROGRESS:
            return False
        state = BatchState.CANCELLING
        with written(self._db):
            self._db.execute(
                "UPDATE batches SET state = ?, cancelling_us = ? WHERE id = ?",
                (state, now_us, batch_id),
            )
        standing.batch = replace(standing.batch, state=state, cancelling_us=now_us)
        return True

    # requests ---------------------------------------------------------------------------------

    def take(self, batch_id: str, now_us: int) -> Taken | None:
        """The next request that may be tried; None where none may now."""
        standing = self.standings.get(batch_id)
        if standing is None:
            return None
        row = self._db.execute(
            "SELECT number, custom_id, body, tries, EXISTS (SELECT 1 FROM posted p WHERE "
            "p.batch_id = requests.batch_id AND p.number = requests.number) FROM requests WHERE "
            "batch_id = ? AND state = 'waiting' AND ready_us <= ? ORDER BY number LIMIT 1",
            (batch_id, now_us),
        ).fetchone()  # fmt: skip
        if row is None:
            standing.ready_us = self._db.execute(
                "SELECT coalesce(min(ready_us), 0) FROM requests WHERE batch_id = ? "
                "AND state = 'waiting'", (batch_id,),
            ).fetchone()[0]  # fmt: skip
            return None
        with written(self._db):
            self._db.execute(
                "UPDATE requests SET state = 'running' WHERE batch_id = ? AND number = ?",
                (batch_id, row[0]),
            )
        standing.waiting -= 1
        standing.running += 1
        return Taken(batch_id, row[0], row[1], bytes(row[2]), row[3], bool(row[4]))

    def release(self, taken: Taken, ready_us: int, counted: bool) -> None:
        """A request waits again, until ``ready_us`` at least."""
        with written(self._db):
            changed = self._db.execute(
                "UPDATE requests SET state = 'waiting', ready_us = ?, tries = tries + ? "
                "WHERE batch_id = ? AND number = ? AND state = 'running' AND NOT EXISTS (SELECT 1 "
                "FROM posted p WHERE p.batch_id = requests.batch_id AND p.number = requests.number "
                "AND p.state = 'with')",
                (ready_us, int(counted), taken.batch_id, taken.number),
            ).rowcount
        standing = self.standings.get(taken.batch_id)
        if changed and standing is not None:
            standing.running -= 1
            standing.waiting += 1
            standing.ready_us = min(standing.ready_us, ready_us)

    def finish(self, taken: Taken, line: bytes, result: str) -> bool:
        """A request's result (completed, failed, expired, cancelled) with its line; whether it is
        the first and counts.
        """
        batch_id, number = taken.batch_id, taken.number
        with written(self._db):
            changed = self._db.execute(
                "UPDATE requests SET state = ?, line = ?, body = x'' WHERE batch_id = ? "
                "AND number = ? AND line IS NULL", (result, line, batch_id, number),
            ).rowcount  # fmt: skip
            if changed:
                self.counted(batch_id, result, 1)
        if changed:
            self.given(batch_id, result, 1)
        return bool(changed)

    def given(self, batch_id: str, result: str, number: int) -> None:
        """So many that were under way have their result."""
        if (standing := self.standings.get(batch_id)) is not None:
            standing.running -= number
            standing.batch = _with(standing.batch, result, number)

    def counted(self, batch_id: str, result: str, number: int) -> None:
        """The same in the file, as a part of what is written."""
        column = "completed" if result == "completed" else "failed"
        self._db.execute(
            f"UPDATE batches SET {column} = {column} + ? WHERE id = ?", (number, batch_id)
        )

    def give_up(self, batch_id: str, result: str, line: Line) -> list[int]:
        """Requests that wait get no answer any more, but their line; their numbers."""
        standing = self.standings[batch_id]
        rows = self._db.execute(
            "SELECT number, custom_id FROM requests WHERE batch_id = ? AND state = 'waiting'",
            (batch_id,),
        ).fetchall()
        with written(self._db):
            self._db.executemany(
                "UPDATE requests SET state = ?, line = ?, body = x'' "
                "WHERE batch_id = ? AND number = ?",
                ((result, line(number, name), batch_id, number) for number, name in rows),
            )
            self.counted(batch_id, result, len(rows))
        standing.waiting = 0
        standing.batch = _with(standing.batch, result, len(rows))
        return [number for number, _ in rows]

    def close_batch(self, batch_id: str, times: tuple[int, int], names: tuple[str, str]) -> Batch:
        """All requests have their line: the files are made and the requests erased, in one step.

        ``times``: now, and until when all is kept; ``names``: ids for the output and error files.
        """
        batch = self.standings[batch_id].batch
        now_us, until_us = times
        made: list[str] = []
        with written(self._db):
            for name, file_id, own in (("output", names[0], "="), ("error", names[1], "<>")):
                rows = self._db.execute(
                    f"SELECT line FROM requests WHERE batch_id = ? AND state {own} 'completed' "
                    "ORDER BY number", (batch_id,),
                ).fetchall()  # fmt: skip
                content = b"".join(row[0] + b"\n" for row in rows)
                if content:
                    file = StoredFile(
                        file_id, batch.owner, "batch_output", f"{batch_id}_{name}.jsonl",
                        len(content), now_us, until_us,
                    )  # fmt: skip
                    self._insert_file(file, content)
                made.append(file_id if content else "")
            state = self._end_state(batch)
            self._db.execute(
                "UPDATE batches SET state = ?, ended_us = ?, keep_until_us = ?, output_file = ?, "
                "error_file = ? WHERE id = ?", (state, now_us, until_us, *made, batch_id),
            )  # fmt: skip
            self._db.execute("DELETE FROM requests WHERE batch_id = ?", (batch_id,))
            self._db.execute(
                "DELETE FROM posted WHERE batch_id = ? AND state IN ('back', 'done')", (batch_id,)
            )
        del self.standings[batch_id]
        return replace(batch, state=state, ended_us=now_us, keep_until_us=until_us,
                       output_file=made[0], error_file=made[1])  # fmt: skip

    def _end_state(self, batch: Batch) -> BatchState:
        if batch.state is BatchState.CANCELLING:
            return BatchState.CANCELLED
        late = self._db.execute(
            "SELECT 1 FROM requests WHERE batch_id = ? AND state = 'expired' LIMIT 1", (batch.id,)
        ).fetchone()
        return BatchState.COMPLETED if late is None else BatchState.EXPIRED

    def held(self, owner: Owner) -> tuple[int, int, int]:
        """Bytes of an owner's files, bytes of all, and an owner's live batches."""
        mine = f"SELECT coalesce(sum(size), 0) FROM files WHERE {_OWN}"
        given = owner.key_id, owner.tenant
        bytes_mine = self._db.execute(mine, given).fetchone()[0]
        bytes_all = self._db.execute("SELECT coalesce(sum(size), 0) FROM files").fetchone()[0]
        live = sum(_same(each.batch.owner, owner) for each in self.standings.values())
        return bytes_mine, bytes_all, live

    def sweep(self, now_us: int) -> None:
        """Erase what was kept long enough."""
        with written(self._db):
            self._db.execute("DELETE FROM files WHERE keep_until_us <= ?", (now_us,))
            self._db.execute("DELETE FROM batches WHERE keep_until_us <= ?", (now_us,))

    def close(self) -> None:
        """Let the file go."""
        self._db.close()


def _with(batch: Batch, result: str, number: int) -> Batch:
    if result == "completed":
        return replace(batch, completed=batch.completed + number)
    return replace(batch, failed=batch.failed + number)


def _same(one: Owner, other: Owner) -> bool:
    return one.key_id == other.key_id or bool(one.tenant and one.tenant == other.tenant)
