"""Settings, from the environment; its only reader. Imports nothing that loads numpy."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things lie and what is secret, from the environment."""

    state_dir: Path = Path("state")
    bootstrap_key: str | None = field(default=None, repr=False)
    hash_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, state_dir: Path) -> Settings:
        """Read HEADGATE_BOOTSTRAP_KEY and HEADGATE_HASH_KEY."""
        return cls(
            state_dir=state_dir,
            bootstrap_key=os.environ.get("HEADGATE_BOOTSTRAP_KEY") or None,
            hash_key=os.environ.get("HEADGATE_HASH_KEY") or None,
        )


def client_key() -> str | None:
    """The key that the command line sends, from HEADGATE_KEY."""
    return os.environ.get("HEADGATE_KEY") or None


def one_blas_thread() -> None:
    """Keep linear algebra on one thread, so that a replay is bit for bit; before numpy loads."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def child_environment() -> dict[str, str]:
    """What a child that computes needs of the environment: no keys, one thread of algebra."""
    needed = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
    kept = {name: os.environ[name] for name in needed if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def process_environment() -> dict[str, str]:
    """A copy of the environment, for a child process."""
    return dict(os.environ)


def plan_digest(path: Path) -> str:
    """The start of the SHA-256 of a plan file, to tell plans apart; empty where it is not read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError:
        return ""
