"""H01: SIGKILL at random moments and at every point of a write: nothing acknowledged is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kills import run
from service.storage.cases import rows_of
from service.storage.restore import open_live

pytestmark = pytest.mark.slow  # real processes, disks and clocks

POINTS = {
    "before the commit": ("service.storage.database.Database", "write", "before"),
    "after the commit": ("service.storage.database.Database", "write", "after"),
    "before a checkpoint's file": ("service.storage.versions.VersionStore", "write", "before"),
    "after a checkpoint's file": ("service.storage.versions.VersionStore", "write", "after"),
    "before a published file": ("service.storage.history.Publisher", "_copy", "before"),
    "after a published file": ("service.storage.history.Publisher", "_copy", "after"),
    "after a publication": ("service.storage.history.Publisher", "_publish", "after"),
    "before the catalogue": ("service.storage.history.Publisher", "_write_catalogue", "before"),
}

CHILD = """
import importlib, os, signal, sys
from pathlib import Path
place, name, when, count = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
module, _, kind = place.rpartition(".")
owner = getattr(importlib.import_module(module), kind)
real, calls = getattr(owner, name), 0
def killing(*given, **more):
    global calls
    calls += 1
    if calls == count and when == "before": os.kill(os.getpid(), signal.SIGKILL)
    found = real(*given, **more)
    if calls == count: os.kill(os.getpid(), signal.SIGKILL)
    return found
setattr(owner, name, killing)
from tests.service.feedback.test_learner import Home
from service.storage.history import Publisher
state = Path(sys.argv[1])
home = Home(state)
publisher = Publisher(home.database, state)
home.learner.start()
for turn in range(200):
    case = home.round(None)
    home.rate(case, 0.5)
    print(case.feedback["rating", "user", "a"].id, flush=True)
    if turn % 5 == 4:
        home.settle()
        home.learner._save()
        publisher.publish(home.log.last_seq)
"""


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("point", POINTS)
def test_H01_a_kill_at_every_point_of_a_write(tmp_path: Path, point: str, count: int) -> None:
    found = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), *POINTS[point], str(count)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode == -signal.SIGKILL, found.stderr
    acknowledged = found.stdout.split()
    database, mended = open_live(tmp_path)
    assert mended is None
    rows = rows_of(database.cursor(), "SELECT id, log_seq FROM feedback ORDER BY log_seq")
    kept = [str(row["id"]) for row in rows]
    assert len(kept) == len(set(kept)) and set(acknowledged) <= set(kept)
    assert len(kept) <= len(acknowledged) + 1, "at most the one that was under way"
    database.close()
    from_checkpoint(tmp_path)


def from_checkpoint(state: Path) -> None:
    """What is learned is the same from the newest checkpoint and from the updates alone."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.service.feedback.test_learner import Home\n"
        "state = Path(sys.argv[1])\n"
        "home = Home(state); first = home.resumed; home.abandon()\n"
        "[p.unlink() for p in (state / 'checkpoints').iterdir()]\n"
        "home = Home(state); again = home.resumed; home.abandon()\n"
        "assert first.policy.freeze() == again.policy.freeze()\n"
        "assert first.update_seq == again.update_seq\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(state)], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_H01_kills_at_random_moments_of_the_whole_service(tmp_path: Path) -> None:
    found = run(5, 3, tmp_path)
    assert found["good"], found
    assert found["acknowledged"]["feedback"] > 10 and 2 <= found["starts"] <= 6
