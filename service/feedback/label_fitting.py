"""The child process that fits the classifier with people's labels: a refit or a refusal out.

    python -m service.feedback.label_fitting WANTED LABELS CURRENT OUT SECONDS FITTER

WANTED is JSON: what the classifier is to be, and ``version``. CURRENT is the file of the one in
use, or `-`. FITTER is the module that fits: it has ``fitted(wanted, labels, version)``, and
``known(frozen)``. The child ends itself after SECONDS, also when nobody is left to wait for it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, cast

from learning.labels import REFUSED, Classifying, Fit, Labels, Refused, relearn
from learning.snapshot import Frozen, freeze, thaw
from service.feedback.fitting import NICE

COMPARED = "compared"  # where the snapshot of a refit tells what it was held against


class Fitter(Protocol):
    """The module that fits."""

    fitted: Fit

    def known(self, frozen: Frozen) -> Classifying:
        """A classifier that was frozen."""


def main(wanted: str, labels: str, current: str, out: str, seconds: str, fitter: str) -> None:
    """Fit, and write what came of it."""
    signal.alarm(int(seconds))
    os.nice(NICE)
    told: dict[str, Any] = json.loads(Path(wanted).read_text("utf-8"))
    module = cast(Fitter, importlib.import_module(fitter))
    known = Labels.of(thaw(Path(labels).read_bytes()))
    before = None if current == "-" else module.known(thaw(Path(current).read_bytes()))
    found = relearn(module.fitted, told, known, before, str(told["version"]))
    if isinstance(found, Refused):
        compared = asdict(found.compared) if found.compared else None
        frozen = Frozen(REFUSED, {"reason": found.reason, COMPARED: compared}, {})
    else:
        frozen = found.classifier.state()
        frozen = replace(frozen, about={**frozen.about, COMPARED: asdict(found.compared)})
    Path(out).write_bytes(freeze(frozen))


if __name__ == "__main__":
    main(*sys.argv[1:])
