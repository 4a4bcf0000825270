"""A sandbox for code that somebody else wrote: a keeper with limits, and no way out of it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KEEPER = Path(__file__).with_name("sandbox_keeper.py")
GRACE_S = 5.0  # for the keeper to end what it keeps, beyond the wall time
MOST_SAID = 65_536  # bytes that are read of it at most


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one run: wall and processor seconds, bytes of memory and of a file, processes, files."""

    wall_s: float = 8.0
    cpu_s: int = 4
    memory_bytes: int = 512 * 1024 * 1024
    file_bytes: int = 4 * 1024 * 1024
    processes: int = 16
    files: int = 64


@dataclass(frozen=True, slots=True)
class Examined:
    """``passed`` of ``tests``; None where the sandbox itself failed. ``why``: what ended it early,
    or the first test that failed. ``walls``: what the system let us build: ``network``,
    ``files``, ``processes``; what is missing there is only limited, not walled off.
    """

    passed: int | None
    tests: int
    why: str = ""
    walls: tuple[str, ...] = ()


async def examine(code: str, tests: Sequence[str], limits: Limits) -> Examined:
    """Run some code and then each test in its names, in a process of its own.

    It has no environment, an empty directory that goes afterwards, and the limits. Where the
    system allows it has no network, sees no files but the interpreter's, and can signal nobody. A
    code that attacks its examiner can claim that it passed; it reaches nothing else.
    """
    token = secrets.token_hex(16)
    asked = {
        "code": code, "tests": list(tests), "token": token, "wall_s": limits.wall_s,
        "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes, "processes": limits.processes, "files": limits.files,
        "shown": [sys.base_prefix],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="headgate-sandbox-") as folder:
        said, killed = await _kept(json.dumps(asked).encode(), folder, limits.wall_s + GRACE_S)
    return _read(said, token, len(tests), killed)


async def _kept(asked: bytes, folder: str, wall_s: float) -> tuple[bytes, bool]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(KEEPER), folder, env={}, cwd=folder, start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    killed, said = False, b""
    try:
        async with asyncio.timeout(wall_s):
            process.stdin.write(asked)
            process.stdin.close()
            while len(said) < MOST_SAID:
                part = await process.stdout.read(MOST_SAID - len(said))
                if not part:
                    break
                said += part
            if len(said) < MOST_SAID:
                await process.wait()
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        killed = True
    finally:
        if process.returncode is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            await process.wait()
    return said, killed


def _read(said: bytes, token: str, tests: int, killed: bool) -> Examined:
    """The keeper's one line; what the code printed does not come through here."""
    try:
        found = json.loads(said)
        if found["token"] != token:
            raise ValueError("another's")
        passed = int(found["passed"])
        return Examined(
            min(max(passed, 0), tests), tests, str(found["why"])[:200], tuple(found["walls"])
        )
    except (ValueError, KeyError, TypeError):
        why = "the keeper did not end" if killed else "the keeper said nothing"
        return Examined(None, tests, why)
