"""The child process that fits the chance to be acceptable: rows in a file, a model or why none out.

    python -m service.feedback.acceptance_fitting ROWS BAR OUT SECONDS

It ends itself after SECONDS, also when nobody is left to wait for it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from learning.acceptance import ASIDE, finite
from learning.acceptance_check import Aside, refit
from learning.quality import Rows
from learning.snapshot import Frozen, freeze, thaw

NICE = 10


def main(rows: str, bar: str, out: str, seconds: str) -> None:
    """Fit, and write what came of it, with the CPU time that this took."""
    signal.alarm(int(seconds))
    os.nice(NICE)
    found = refit(Rows.of(thaw(Path(rows).read_bytes())), float(bar))
    spent = time.process_time()
    if isinstance(found, Aside):
        about = {
            "reason": found.reason, "tally": found.tally.plain(), "seconds": spent,
            "standing": None if found.standing is None else finite(found.standing),
        }  # fmt: skip
        frozen = Frozen(ASIDE, about, {})
    else:
        frozen = replace(found.model, seconds=spent).state()
    Path(out).write_bytes(freeze(frozen))


if __name__ == "__main__":
    main(*sys.argv[1:])
