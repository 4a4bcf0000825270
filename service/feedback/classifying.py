"""The child process that fits a plan's task classifier: what it is to be in a file, it out.

    python -m service.feedback.classifying WANTED OUT SECONDS

It ends itself after SECONDS, also when nobody is left to wait for it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from learning.snapshot import freeze
from learning.taxonomies.own import Wanted
from learning.taxonomy_fit import fit
from service.feedback.fitting import NICE

STRENGTHS = (1.0,)  # the default's, found among three; one alone is a third of the work


def main(wanted: str, out: str, seconds: str) -> None:
    """Fit, and write the classifier."""
    signal.alarm(int(seconds))
    os.nice(NICE)
    known = Wanted.of(json.loads(Path(wanted).read_text("utf-8")))
    made = fit(known.rows(), known.version, STRENGTHS)
    Path(out).write_bytes(freeze(made.state()))


if __name__ == "__main__":
    main(*sys.argv[1:])
