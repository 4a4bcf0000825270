"""H05, H09: another process at the file or the directory: refused clearly, with the mend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.storage.database import FILE, StateLock
from service.storage.errors import StateLocked
from tests.conftest import Server, plan_text
from tests.service.faults.host import client, running
from tests.service.processes import Process

pytestmark = pytest.mark.slow  # real processes, disks and clocks

HOLD = (
    "import sys, duckdb\n"
    "held = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == 'ro')\n"
    "print('held', flush=True); sys.stdin.read()\n"
)


def serve(state: Path, plan: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "serve", "--plan", str(plan), "--state", str(state),
         "--port", "0"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["ro", "rw"])
def test_H05_a_file_that_an_analyst_holds_at_the_start(
    tmp_path: Path, providers: Server, how: str
) -> None:
    state, plan = tmp_path / "state", tmp_path / "plan.yaml"
    plan.write_text(plan_text(providers.url), "utf-8")
    with running(state, plan_text(providers.url)) as service:
        service.ask("Describe a kite")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(state / FILE), how],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert holder.stdout is not None and holder.stdin is not None
    try:
        assert holder.stdout.readline() == "held\n"
        found = serve(state, plan)
    finally:
        holder.communicate("", timeout=20)
    assert found.returncode == 1 and "Traceback" not in found.stderr
    told = " ".join(found.stderr.split())
    assert f"process {holder.pid}" in told and "close it there" in told
    assert "headgate history" in told and not list(state.glob("*set-aside*"))
    with running(state, plan_text(providers.url)) as service:
        assert service.ask("Describe a kite").status_code == 200


@pytest.mark.parametrize("how", ["ro", "rw"])
def test_H05_while_it_runs_nobody_opens_the_live_file_and_all_read_the_history(
    tmp_path: Path, providers: Server, how: str
) -> None:
    state = tmp_path / "state"
    with running(state, plan_text(providers.url)) as service:
        service.ask("Describe a kite")
        found = subprocess.run([sys.executable, "-c", HOLD, str(state / FILE), how], input="",
                               capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
        assert found.returncode == 1 and "Could not set lock" in found.stderr
        assert service.ask("Describe a kite").status_code == 200
        read = subprocess.run(
            [sys.executable, "-m", "service.cli", "history", "--state", str(state), "--json"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert read.returncode == 0 and '"decisions"' in read.stdout


def test_H09_a_second_instance_is_refused_and_harms_nothing(
    tmp_path: Path, providers: Server
) -> None:
    state, plan = tmp_path / "state", tmp_path / "plan.yaml"
    plan.write_text(plan_text(providers.url), "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()
    found = serve(state, plan)
    told = " ".join(found.stderr.split())
    assert found.returncode == 1 and "Traceback" not in found.stderr
    assert f"process {process.process.pid}" in told and "another --state" in told
    with client(process.url) as at:
        assert at.get("/health/ready").status_code == 200
    assert process.stop() == 0


def test_H09_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    """The parent forks and is killed; the child lives on, and the directory is free."""
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from service.storage.database import StateLock\n"
        f"lock = StateLock(Path({str(tmp_path)!r}))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.close(1); time.sleep(60); os._exit(0)\n"
        "print(child, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(StateLocked, match=f"process {parent.pid}"):
            StateLock(tmp_path)
        parent.kill()
        parent.wait(10)
        StateLock(tmp_path).release()
    finally:
        parent.kill()
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_H09_a_fork_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    code = f"from pathlib import Path; from service.storage.database import StateLock\n" \
           f"StateLock(Path({str(tmp_path)!r}))"  # fmt: skip
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 1 and "StateLocked" in found.stderr
    lock.release()
