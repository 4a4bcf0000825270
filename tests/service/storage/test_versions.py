"""Checkpoints: whole or not there, the last twenty and one an hour kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

from service.domain.records import Checkpoint
from service.storage.database import Database
from service.storage.versions import KEEP, VersionStore


def write(store: VersionStore, number: int, at_us: int, data: bytes = b"state") -> Checkpoint:
    made = Checkpoint(f"c{number:03}", at_us, "v", number, hashlib.sha256(data).hexdigest(), 5)
    store.write(made, data)
    return made


def test_the_newest_whole_one_is_found(tmp_path: Path) -> None:
    store = VersionStore(Database(None), tmp_path)
    write(store, 1, 0, b"first")
    second = write(store, 2, 0, b"second")
    assert store.newest("v") == (second, b"second") and store.newest("other") is None
    (tmp_path / "checkpoints" / "c002.hgsn").write_bytes(b"damaged")
    found = store.newest("v")
    assert found is not None and found[1] == b"first"
    (tmp_path / "checkpoints" / "c001.hgsn").unlink()
    assert store.newest("v") is None


def test_the_last_twenty_and_one_an_hour_are_kept(tmp_path: Path) -> None:
    store = VersionStore(Database(None), tmp_path)
    for number in range(90):
        write(store, number, number * 600_000_000)  # one in ten minutes: six an hour
    kept = sorted(path.stem for path in (tmp_path / "checkpoints").iterdir())
    hourly = {f"c{n:03}" for n in range(0, 90, 6)}
    last = {f"c{n:03}" for n in range(90 - KEEP, 90)}
    assert set(kept) == hourly | last
