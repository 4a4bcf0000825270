"""What the tests of the host's faults share: a disk that fails when told, services to trouble."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.storage.database import Database
from service.storage.errors import WriteFailed
from tests.conftest import KEY
from tests.service.test_changed_plan import Running, running

AUTH = {"Authorization": f"Bearer {KEY}"}

__all__ = ["AUTH", "Disk", "Running", "client", "running", "small_disk", "until"]


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers=AUTH, timeout=15.0)


class Disk:
    """The writer's boundary of a database: commits fail, or wait, while told to."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.held = threading.Event()
        database.write = self.write  # type: ignore[method-assign]

    def write(self, batches: Any) -> None:
        if not self.free.is_set():
            self.held.set()
            assert self.free.wait(60)
        if self.error is not None:
            raise self.error
        self._write(batches)

    def fails(self, text: str) -> None:
        self.error = WriteFailed(f'Could not write file "x": {text}')

    def heals(self) -> None:
        self.error = None


@contextmanager
def small_disk(at: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system in memory of that size, and a way to change it; skips where none is given."""
    at.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "headgate-test", str(at)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip()}")

    def resize(to: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={to}", str(at)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)
