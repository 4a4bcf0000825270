"""What is published: the files by table with their checksums, and what is wrong with one."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from service.storage.chain import Head
from service.storage.database import migrations
from service.storage.errors import SchemaNewer
from service.storage.retention import Dropped
from service.storage.tables import NAMES

FOLDER = "history"
MANIFEST = "manifest.json"
SCHEMA_KEY = "headgate_schema"  # in the metadata of a Parquet file
FORMAT = 1
_MAGIC = b"PAR1"
_FILE_NAME = re.compile(r"rows-(\d{12})-(\d{12})\.parquet")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is published: files by table, and the number of the last row in them."""

    through_seq: int = 0
    published_at: float = 0.0
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    retired: tuple[tuple[str, float], ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by file
    schemas: Mapping[str, int] = field(default_factory=dict)  # under which a file was written
    dropped: Mapping[str, Dropped] = field(default_factory=dict)  # by retention, by table
    schema: int = 0  # of the one who wrote it; 0 where that is not told
    head: Head | None = None  # of the chain over what was done, as far as it is published
    damage: str = ""  # why it was made from the names of the files, where it was

    def text(self) -> str:
        """As JSON."""
        content = {
            "format": FORMAT,
            "schema": max(migrations()),
            "through_seq": self.through_seq,
            "published_at": self.published_at,
            "files": {name: list(files) for name, files in self.files.items()},
            "retired": [list(entry) for entry in self.retired],
            "sha256": dict(self.digests),
            "schemas": dict(self.schemas),
            "dropped": {name: [each.before, each.rows] for name, each in self.dropped.items()},
            "chain": list(self.head) if self.head is not None else None,
        }
        return json.dumps(content, indent=1)


def read_manifest(state_dir: Path, newer: bool = False) -> Manifest:
    """The manifest of a state directory; empty when nothing was published yet. One that is
    damaged is made again from the names of the files, and says so. One of a newer schema is
    refused unless ``newer`` is asked for; then ``schemas`` tells which files are of that.
    """
    path = state_dir / FOLDER / MANIFEST
    known = max(migrations())
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        schema, schemas = int(content["schema"]), content.get("schemas", {})
        if content["format"] == FORMAT and (schema <= known or (newer and schemas)):
            return Manifest(
                through_seq=int(content["through_seq"]),
                published_at=float(content["published_at"]),
                files={str(name): tuple(files) for name, files in content["files"].items()},
                retired=tuple((str(name), float(at)) for name, at in content["retired"]),
                digests=dict(content.get("sha256", {})),
                schemas={str(name): int(each) for name, each in schemas.items()},
                dropped={str(name): Dropped(str(before), int(rows))
                         for name, (before, rows) in content.get("dropped", {}).items()},
                schema=schema,
                head=_head(content.get("chain")),
            )  # fmt: skip
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return replace(by_names(path.parent), damage=type(error).__name__)
    raise SchemaNewer(
        f"{path} was written by a newer version of Headgate (schema {schema}, this one reads up to "
        f"{known}); use that one"
    )


def _head(told: Any) -> Head | None:
    return None if told is None else Head(int(told[0]), str(told[1]), int(told[2]))


def by_names(root: Path) -> Manifest:
    """A manifest from the names of the files, which tell the rows in them. A file whose rows are
    all in another of its day (a compaction replaced it) is left out.
    """
    files: dict[str, tuple[str, ...]] = {}
    through = 0
    published_at = 0.0
    for name in NAMES:
        taken: list[tuple[str, int, int, str]] = []
        found = []
        for path in (root / name).glob("day=*/rows-*.parquet"):
            match = _FILE_NAME.fullmatch(path.name)
            if match is not None:
                found.append((path.parent.name, int(match[1]), -int(match[2]), path))
        for day, first, minus_last, path in sorted(found):
            last = -minus_last
            if any(d == day and f <= first and last <= t for d, f, t, _ in taken):
                continue
            taken.append((day, first, last, str(path.relative_to(root))))
            through = max(through, last)
            published_at = max(published_at, path.stat().st_mtime)
        if taken:
            files[name] = tuple(path for _, _, _, path in taken)
    schemas = {path: schema_of(root / path) for paths in files.values() for path in paths}
    told = {path: schema for path, schema in schemas.items() if schema}
    return Manifest(through, published_at, files, schemas=told)


def schema_of(path: Path) -> int:
    """The schema that a published file says it was written under; 0 where it does not."""
    try:
        told = pq.read_metadata(path).metadata or {}
        return int(told.get(SCHEMA_KEY.encode(), 0))
    except (OSError, ValueError, pa.ArrowException):
        return 0


def damage(path: Path, digest: str) -> str:
    """What is wrong with a published file, read through; empty where nothing is. Parquet alone
    would not tell: a flipped byte may come out as another value.
    """
    if not whole(path):
        return "missing or cut short"
    if digest:
        same = sha256(path) == digest
        return "" if same else "not what was written"
    connection = duckdb.connect(":memory:")
    try:
        listed = file_list([path])
        connection.execute(f"SELECT bit_xor(hash(t)) FROM read_parquet({listed}) t").fetchall()
    except duckdb.Error as error:
        return type(error).__name__
    finally:
        connection.close()
    return ""


def sha256(path: Path) -> str:
    """Of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def whole(path: Path) -> bool:
    """Whether a file is there and ends as Parquet does."""
    try:
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            return file.read(4) == _MAGIC
    except OSError:
        return False


def quoted(text: str) -> str:
    return text.replace("'", "''")


def file_list(paths: Any) -> str:
    return "[" + ", ".join(f"'{quoted(str(path))}'" for path in paths) + "]"
