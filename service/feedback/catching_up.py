"""A version that missed much of the log catches up in a child process; and that child.

    python -m service.feedback.catching_up JOB OUT SECONDS

JOB is a file of JSON, OUT the policy's state. It ends itself after SECONDS, also when nobody is
left to wait for it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from learning.errors import LearningError, SnapshotError
from service.domain.records import Checkpoint, Version
from service.feedback.apply import apply, fits
from service.feedback.child import ROOT
from service.feedback.versions import policy_of
from service.storage.logged import LoggedHistory
from service.storage.models import QualityModels
from service.storage.versions import VersionStore

log = logging.getLogger("headgate.learning")

WORK = "catching-"
LIMIT_S = 300
NICE = 10
SEQ = "seq"


@dataclass(frozen=True, slots=True)
class Ready:
    """A version's state after update ``seq``."""

    data: bytes
    seq: int


class CatchUp:
    """Does so in the calling thread, which waits. ``publish`` publishes all that is durable;
    ``environment`` is all that the child sees of ours.
    """

    def __init__(
        self, state_dir: Path, publish: Callable[[], None], environment: Mapping[str, str]
    ) -> None:
        self._state_dir, self._publish = state_dir.resolve(), publish
        self._environment = environment
        for leftover in state_dir.glob(WORK + "*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def __call__(self, version: Version, store: VersionStore, after: int) -> Ready | None:
        """Its state from its newest whole checkpoint and the published updates since, none of them
        before ``after``; None where that failed, and why is logged.
        """
        self._publish()
        folder = Path(tempfile.mkdtemp(prefix=WORK, dir=self._state_dir))
        try:
            return self._ready(folder, version, store.newest(version.id), after)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            log.warning("version %s cannot catch up beside: %s", version.id, type(error).__name__)
            return None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _ready(
        self, folder: Path, version: Version, newest: tuple[Checkpoint, bytes] | None, after: int
    ) -> Ready | None:
        if newest is not None:
            (folder / "checkpoint").write_bytes(newest[1])
            after = max(after, newest[0].update_seq)
        job = {"state_dir": str(self._state_dir), "version": asdict(version), "after": after}
        (folder / "job").write_text(json.dumps(job), "utf-8")
        path = self._environment.get("PYTHONPATH")
        command = (sys.executable, "-m", "service.feedback.catching_up", "job", "out", str(LIMIT_S))
        with (folder / "said").open("wb") as said:
            ended = subprocess.run(  # noqa: S603 - our own module
                command, cwd=folder, timeout=LIMIT_S, stdin=subprocess.DEVNULL, stdout=said,
                stderr=said, check=False,
                env={**self._environment, "PYTHONPATH": f"{ROOT}:{path}" if path else ROOT},
            )  # fmt: skip
        if ended.returncode:
            tail = (folder / "said").read_text("utf-8", "replace")[-2_000:]
            log.warning("catching up ended with code %s: %s", ended.returncode, tail)
            return None
        seq = int((folder / SEQ).read_text("utf-8"))
        return Ready((folder / "out").read_bytes(), seq)


def main(job: str, out: str, seconds: str) -> None:
    """Fold the published updates in, and write what came of it."""
    signal.alarm(int(seconds))
    os.nice(NICE)
    asked = json.loads(Path(job).read_text("utf-8"))
    state_dir, seq = Path(asked["state_dir"]), int(asked["after"])
    policy = policy_of(Version(**asked["version"]))
    checkpoint = Path("checkpoint")
    if checkpoint.exists():
        try:
            policy.thaw(checkpoint.read_bytes())
        except SnapshotError:
            policy = policy_of(Version(**asked["version"]))
    models = QualityModels(state_dir)
    for update, decision in LoggedHistory(state_dir).updates(seq):
        seq = update.seq
        if not fits(policy, update, decision):
            continue
        try:
            apply(policy, update, decision, models.prior)
        except LearningError:
            continue  # as the learner does
    Path(out).write_bytes(policy.freeze())
    Path(SEQ).write_text(str(seq), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
