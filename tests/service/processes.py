"""Commands of ours as processes of their own, ended by the test that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.conftest import KEY


class Process:
    """`headgate COMMAND` on a free port of loopback."""

    def __init__(self, *arguments: str, log: Path, bootstrap: bool = True) -> None:
        self._log = log.open("ab+")
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        if bootstrap:
            environment["HEADGATE_BOOTSTRAP_KEY"] = KEY
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", *arguments, "--port", "0"],
            stderr=self._log, stdout=self._log, env=environment,
        )  # fmt: skip
        self.url = self._listening(log)

    def _listening(self, log: Path) -> str:
        deadline = time.monotonic() + 120
        start = self._log.tell()
        while time.monotonic() < deadline:
            text = log.read_text("utf-8")[start:]
            if "listening on " in text:
                return text.split("listening on ")[1].split()[0]
            if self.process.poll() is not None:
                raise AssertionError(f"it ended at its start: {text}")
            time.sleep(0.02)
        raise AssertionError("it does not listen")

    def ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(self.url + "/health/live", timeout=1.0).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.02)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(10)
        self._log.close()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        code = self.process.wait(40)
        self._log.close()
        return code
