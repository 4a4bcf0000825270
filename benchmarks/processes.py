"""Child processes of a benchmark: pinned to a core, watched, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

KEY = "hg-benchmark-0123456789abcdef0123456789"
TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """A command of ours on a free port; ``core`` pins it."""

    def __init__(self, *arguments: str, core: int | None = None) -> None:
        environment = os.environ | {"HEADGATE_BOOTSTRAP_KEY": KEY, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})
        self.url = self._listening()
        self.port = int(self.url.rsplit(":", 1)[1])

    def _listening(self) -> str:
        assert self.process.stderr is not None
        heard = ""
        for line in self.process.stderr:
            heard += line
            if "listening on " in line:
                return line.split("listening on ")[1].strip()
        raise SystemExit(f"a benchmark's process did not start:\n{heard}")

    def cpu_s(self) -> float:
        """CPU seconds so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def end(self) -> None:
        """Stop it, at most thirty seconds."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def wait_ready(url: str) -> None:
    """Until the service answers."""
    import httpx

    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(url + "/health/live", timeout=1.0).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("the service does not answer")
        time.sleep(0.05)
