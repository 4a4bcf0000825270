"""Classifiers of plans' own tasks: fitted in a child process, kept by what they came from."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from learning.errors import SnapshotError
from learning.snapshot import thaw
from learning.taxonomies.own import Wanted
from learning.taxonomy import Classifier
from service.feedback.child import run_child

log = logging.getLogger("headgate.learning")

CHILD = (sys.executable, "-m", "service.feedback.classifying")
FOLDER, WORK = "classifiers", "fitting-"
LIMIT_S = 300


class Classifiers:
    """Those that were fitted on a state directory."""

    def __init__(
        self, state_dir: Path, environment: Mapping[str, str], child: tuple[str, ...] = CHILD
    ) -> None:
        self._root = state_dir / FOLDER
        self._environment, self._child = environment, child

    def path(self, wanted: Wanted) -> Path:
        """Where a classifier lies once it is fitted."""
        return self._root / f"{wanted.digest}.hgsn"

    def known(self, wanted: Wanted) -> Classifier | None:
        """The one that was fitted from the same before; None where there is none that is whole."""
        try:
            return Classifier.of(thaw(self.path(wanted).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, SnapshotError, KeyError, ValueError) as error:
            log.warning("a kept classifier cannot be read and is fitted anew: %s", error)
            return None

    async def fitted(self, wanted: Wanted) -> Classifier | str:
        """Fit it, one at a time on a state directory; or why that came to nothing."""
        self._root.mkdir(exist_ok=True)
        for leftover in self._root.glob(WORK + "*"):  # of a service that was killed as it fitted
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=WORK, dir=self._root) as name:
            folder = Path(name)
            (folder / "wanted").write_text(json.dumps(wanted.told()), "utf-8")
            command = (*self._child, "wanted", "out", str(LIMIT_S))
            reason = await run_child(command, folder, LIMIT_S, self._environment)
            if reason:
                return reason
            await asyncio.to_thread(os.replace, folder / "out", self.path(wanted))
        found = self.known(wanted)
        return "what was fitted cannot be read" if found is None else found
