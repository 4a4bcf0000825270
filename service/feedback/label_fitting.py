"""The child process that fits the classifier with people's labels: a refit or a refusal out.

    python -m service.feedback.label_fitter WANTED LABELS CURRENT OUT SECONDS

WANTED is JSON: what the classifier is to be, and ``version``. CURRENT is the file of the one in
use, or `-`. The child ends itself after SECONDS, also when nobody is left to wait for it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from learning.labels import COMPARED, REFUSED, Classifying, Fit, Labels, Refused, relearn
from learning.snapshot import Frozen, freeze, thaw
from service.feedback.fitting import NICE

Known = Callable[[Frozen], Classifying]  # a classifier that was frozen


def run(fitted: Fit, known_as: Known, arguments: Sequence[str]) -> None:
    """Fit, and write what came of it."""
    wanted, labels, current, out, seconds = arguments
    signal.alarm(int(seconds))
    os.nice(NICE)
    told: dict[str, Any] = json.loads(Path(wanted).read_text("utf-8"))
    known = Labels.of(thaw(Path(labels).read_bytes()))
    before = None if current == "-" else known_as(thaw(Path(current).read_bytes()))
    found = relearn(fitted, told, known, before, str(told["version"]))
    if isinstance(found, Refused):
        compared = asdict(found.compared) if found.compared else None
        frozen = Frozen(REFUSED, {"reason": found.reason, COMPARED: compared}, {})
    else:
        frozen = found.classifier.state()
        frozen = replace(frozen, about={**frozen.about, COMPARED: asdict(found.compared)})
    Path(out).write_bytes(freeze(frozen))
