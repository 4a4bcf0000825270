"""A child process that computes in a folder of its own, bounded in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

log = logging.getLogger("headgate.learning")

ROOT = str(Path(__file__).resolve().parents[2])


async def run_child(
    command: Sequence[str], folder: Path, limit_s: int, environment: Mapping[str, str]
) -> str:
    """Run a command in ``folder`` to its end, or to its limit; why it failed, empty when it did
    not. ``environment`` is all that it sees of ours. What it says goes to ``folder/said``.
    """
    path = environment.get("PYTHONPATH")
    seen = dict(environment) | {"PYTHONPATH": f"{ROOT}:{path}" if path else ROOT}
    with (folder / "said").open("wb") as said:
        child = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=seen, stdin=asyncio.subprocess.DEVNULL, stdout=said,
            stderr=said,
        )  # fmt: skip
    try:
        code = await asyncio.wait_for(child.wait(), limit_s)
    except TimeoutError:
        return f"the child was not done after {limit_s} seconds and was ended"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if code:
        tail = (folder / "said").read_text("utf-8", "replace")[-2_000:]
        log.warning("the child ended with code %s: %s", code, tail)
        return f"the child ended with code {code}"
    return ""
