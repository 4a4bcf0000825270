"""The playbook read as the commands that it shows, and a site on which they run."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.providers.simulated import Stream, Weather, prompts
from service.storage.database import LOCK
from tests.conftest import KEY, ROOT, plan_text

PAGE = ROOT / "docs" / "playbook.md"
ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
GIVES = re.compile(r"gives ([A-Z]+)")
PATIENCE_S = 60.0
START_S = 180.0  # of a service, on a machine that is busy with other tests
LOOKS = re.compile(
    r"(headgate (\w+ )?(status|weights|why|history|trends|list|show|report)\b"
    r"|df |du |tail |curl -s )"
)


@dataclass(frozen=True)
class Command:
    """One command as it is typed, and what the comment behind it says."""

    text: str
    comment: str

    @property
    def exit_code(self) -> int:
        found = re.search(r"ends with (\d)", self.comment)
        return int(found[1]) if found else 0

    @property
    def again(self) -> bool:
        return "again until it says so" in self.comment

    @property
    def gives(self) -> str:
        """The word in capitals that its first id is called from here on; or nothing."""
        found = GIVES.search(self.comment)
        return found[1] if found else ""


@dataclass(frozen=True)
class Block:
    """The commands of a fence, and the lines that are promised of their output."""

    section: str
    number: int  # in its section, from 0
    commands: tuple[Command, ...]
    promised: tuple[str, ...]

    @property
    def only_looks(self) -> bool:
        """Whether it changes nothing, so that who sees too little may look once more."""
        return all(LOOKS.match(command.text) is not None for command in self.commands)


def blocks(text: str) -> list[Block]:
    """Every fence of commands, in order; each has the fence of its output right behind it."""
    found: list[Block] = []
    section, number = "", 0
    parts = re.split(r"^```(\w*)\n(.*?)^```\n", text, flags=re.M | re.S)
    fences = list(zip(parts[0::3], parts[1::3], parts[2::3], strict=False))
    for at, (prose, kind, inside) in enumerate(fences):
        headings = re.findall(r"^##+ (.+)$", prose, flags=re.M)
        if headings:
            section, number = headings[-1], 0
        if kind == "sh":
            follows = at + 1 < len(fences) and fences[at + 1][1] == "text"
            after = fences[at + 1][2] if follows and not fences[at + 1][0].strip() else ""
            shown = tuple(line.strip() for line in after.splitlines() if line.strip())
            found.append(Block(section, number, tuple(_commands(inside)), shown))
            number += 1
    return found


def _commands(inside: str) -> Iterator[Command]:
    pending = ""
    for line in inside.splitlines():
        pending += line
        if pending.endswith("\\") or not _closed(pending):
            pending += "\n"
            continue
        if pending.strip():
            text, _, comment = pending.partition("  # ")
            yield Command(text.strip(), comment.strip())
        pending = ""
    assert not pending, f"a command without an end: {pending}"


def _closed(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def missing(promised: tuple[str, ...], output: str) -> str | None:
    """The first promised line that is not there, after the ones before it; spaces count once and
    three dots are whatever there is.
    """
    seen, at = " ".join(output.split()), 0
    for line in promised:
        words = [re.escape(" ".join(part.split())) for part in line.split("...")]
        found = re.search(".*?".join(words), seen[at:])
        if found is None:
            return line
        at += found.end()
    return None


class Duty:
    """A folder with a plan, a service that runs in it, its callers, and a shell beside it."""

    def __init__(self, folder: Path, shared: Path, providers_url: str, world: Stream) -> None:
        self.folder, self.shared = folder, shared
        self.world, self._providers = world, providers_url
        self.state = folder / "state"
        self.port, self.asked = _free_port(), 0
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment: dict[str, str] = {}
        self._ends: list[Any] = []
        folder.mkdir(parents=True, exist_ok=True)
        examples = folder / "examples" / "experiments"
        examples.mkdir(parents=True)
        example = (ROOT / "examples" / "experiments" / "cheaper.yaml").read_text("utf-8")
        (examples / "cheaper.yaml").write_text(example, "utf-8")
        (folder / "bin").mkdir()
        shim = folder / "bin" / "headgate"
        shim.write_text(
            f'#!/bin/sh\nport=""\n[ "$1" = serve ] && port="--port {self.port}"\n'
            f'exec {sys.executable} -m service.cli "$@" $port\n'
        )
        shim.chmod(0o755)
        self.write_plan()

    def write_plan(self, more: str = "", providers_url: str = "") -> None:
        """The example plan before its providers, or others, and more of it."""
        text = plan_text(providers_url or self._providers) + more
        (self.folder / "plan.yaml").write_text(text, "utf-8")

    def shell(self, text: str) -> tuple[int, str]:
        """A command as a person would type it; its exit code and all that it prints."""
        environment = os.environ | {
            "HEADGATE_URL": self.url, "HEADGATE_KEY": KEY, "HEADGATE_BOOTSTRAP_KEY": KEY,
            "HEADGATE_STATE": str(self.state), "COLUMNS": "220", "PYTHONPATH": str(ROOT),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", text], cwd=self.folder, env=environment | self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout

    def start(self) -> None:
        """The service, until it answers."""
        code, told = self.shell("headgate serve --plan plan.yaml >> headgate.log 2>&1 &")
        assert code == 0, told
        self.settled(self.answers, START_S)

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(self.url + "/health/live", timeout=2.0).status_code == 200
        return False

    @staticmethod
    def settled(holds: Any, seconds: float = PATIENCE_S) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"it never came: {holds}"
            time.sleep(0.1)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """The service ends, however it was started."""
        lock = self.state / LOCK
        owner = lock.read_text("utf-8").strip() if lock.exists() else ""
        if not owner or not _is_ours(int(owner), self.port):
            return
        os.kill(int(owner), number)
        self.settled(lambda: not _is_ours(int(owner), self.port))

    def close(self) -> None:
        """Callers first, then the service."""
        for each in reversed(self._ends):
            each()
        self.end()

    def later(self, end: Any) -> None:
        """What is to be done at the end."""
        self._ends.append(end)

    def weather(self, *names: str, **changes: float) -> None:
        """Deployments become as told, or well again."""
        for name in names:
            self.world.set_weather(name, Weather(**changes))

    def ask(self, at: httpx.Client, text: str, **more: Any) -> httpx.Response:
        """One request."""
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **more}
        return at.post("/v1/chat/completions", json=body)

    def caller(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=20.0,
            trust_env=False,
        )  # fmt: skip

    def traffic(self, number: int, rated: bool = True, **more: Any) -> list[int]:
        """So many requests, eight at a time, rated as the simulated world sees them; statuses."""
        texts = prompts(self.asked + 1, number)
        self.asked += number
        with self.caller() as at, ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda text: self._served(at, text, rated, more), texts))

    def _served(self, at: httpx.Client, text: str, rated: bool, more: dict[str, Any]) -> int:
        answer = self.ask(at, text, **more)
        if answer.status_code == 200 and rated:
            name = answer.headers["x-headgate-deployment"]
            worth = self.world.answer(name, text, 10).quality
            rating = {"id": answer.headers["x-headgate-decision-id"], "value": round(worth, 3)}
            at.post("/v1/feedback", json=rating)
        return answer.status_code

    def flow(self) -> None:
        """Requests go on beside, until the end."""
        halt = threading.Event()

        def run() -> None:
            while not halt.wait(0.2):
                with suppress(httpx.HTTPError):
                    self.traffic(4)

        thread = threading.Thread(target=run)
        thread.start()

        def stop() -> None:
            halt.set()
            thread.join(60)

        self.later(stop)

    def published(self) -> None:
        """All that was logged is in the history: a clean stop and a start publish it."""
        self.end()
        self.start()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _is_ours(number: int, port: int) -> bool:
    """Whether that process is the service of this site, still running."""
    try:
        line = Path(f"/proc/{number}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return "serve" in line and str(port) in line


@contextmanager
def on_duty(folder: Path, shared: Path, providers_url: str, world: Stream) -> Iterator[Duty]:
    """A site, and a folder that it shares with others; what runs in it ends with it."""
    duty = Duty(folder, shared, providers_url, world)
    try:
        yield duty
    finally:
        duty.close()
        duty.weather(*world.models)
