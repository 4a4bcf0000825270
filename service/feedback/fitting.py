"""The child process that refits the quality model: rows in a file, the model or a refusal out.

    python -m service.feedback.fitting ROWS CURRENT OUT SECONDS

CURRENT is the file of the model in use, or `-`. It ends itself after SECONDS, also when nobody
is left to wait for it.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from learning.quality import REFUSED, QualityModel, Rows
from learning.quality_check import Refused, refit
from learning.snapshot import Frozen, freeze, thaw

NICE = 10


def main(rows: str, current: str, out: str, seconds: str) -> None:
    """Fit, and write what came of it."""
    signal.alarm(int(seconds))
    os.nice(NICE)
    known = Rows.of(thaw(Path(rows).read_bytes()))
    model = None if current == "-" else QualityModel.of(thaw(Path(current).read_bytes()))
    found = refit(known, model)
    if isinstance(found, Refused):
        figures = asdict(found.figures) if found.figures else None
        frozen = Frozen(REFUSED, {"reason": found.reason, "figures": figures}, {})
    else:
        frozen = found.model.state()
    Path(out).write_bytes(freeze(frozen))


if __name__ == "__main__":
    main(*sys.argv[1:])
