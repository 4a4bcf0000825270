"""What the tests share: a clock to turn by hand, a world on loopback, a service in this process."""

from __future__ import annotations

import functools
import gc
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import typer.testing

# Before anybody imports them, from whichever folder; so the imports below come late.
# ruff: noqa: E402
gc.set_threshold(10_000, 20, 50)  # as the command line does
hypothesis.settings.register_profile("untimed", deadline=None)  # the machine may be busy
hypothesis.settings.load_profile("untimed")
# The command line's tree of 140 commands is built once a worker, not at each call of a runner.
typer.testing._get_command = functools.cache(typer.main.get_command)
pytest.register_assert_rewrite("tests.service.faults.rig", "tests.service.faults.refusing")

from service.api import serving
from service.app import create_app
from service.bootstrap.build import build
from service.bootstrap.reload import PlanSource
from service.check import load_checked
from service.config import Settings
from service.domain.clock import SystemClock
from service.plan.reading import load
from service.providers.simulated import Stream
from service.runtime import Runtime
from service.simulate import SimulatedProviders
from tests.chromium import CHROMIUM
from tests.longest import LONGEST

ROOT = Path(__file__).parent.parent
KEY = "hg-test-administrator-0123456789"


ALL_SLOW = re.compile(r"^pytestmark = pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file whose tests are all slow is not imported where none of them is wanted: its vendors'
    clients and the rewriting of its asserts take each worker seconds.
    """
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return True if ALL_SLOW.search(collection_path.read_text("utf-8")) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then those of most tests: so no worker is left alone with one."""
    count = Counter(item.nodeid.split("::")[0] for item in items)
    rank = {name: at for at, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> tuple[int, int, str]:
        name = item.nodeid.split("::")[0]
        return rank.get(name, len(rank)), -count[name], name

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What was imported and collected stays: no collection need look at it, as in a service."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was left out is said."""
    if CHROMIUM is None:
        terminalreporter.write_line(
            "left out: tests/service/console/test_browser.py, there is no chromium on this machine"
        )


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """A client of httpx reads all the world's certificates, 20 ms, and hundreds are made here for
    plain loopback: the context of those with the same settings is made once.
    """
    with pytest.MonkeyPatch.context() as patch:
        made = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", made)
        yield


class HandClock:
    """A clock that moves when told."""

    def __init__(self, wall_us: int = 1_790_000_000_000_000) -> None:
        self.wall, self.monotonic = wall_us, 1_000.0

    def wall_us(self) -> int:
        return self.wall

    def monotonic_s(self) -> float:
        return self.monotonic

    def advance(self, seconds: float) -> None:
        """Time passes on both clocks."""
        self.monotonic += seconds
        self.wall += int(seconds * 1e6)


class Server:
    """An ASGI app on a loopback port, in a thread with a loop of its own."""

    def __init__(self, app: Any) -> None:
        self._socket = serving.listening("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        runtime = getattr(app, "runtime", None)
        self._server = serving.Server(app, runtime and runtime.load, drain_s=5, linger_s=0.05)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def state(self) -> Any:
        """uvicorn's own account of connections and tasks."""
        return self._server.server_state

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Server:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self._thread.join(timeout=20)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def world() -> Stream:
    """The simulated world, twenty times as fast."""
    return Stream(seed=11, speed=20.0)


@pytest.fixture(scope="session")
def providers(world: Stream) -> Iterator[Server]:
    """Simulated providers on loopback."""
    with Server(SimulatedProviders(world).app()) as server:
        yield server


def plan_text(providers_url: str, **replace: str) -> str:
    """The example plan, pointed at some providers."""
    text = (ROOT / "examples" / "simulated.yaml").read_text("utf-8")
    text = text.replace("http://127.0.0.1:9100", providers_url)
    text = text.replace("console: {enabled: true}", "console: {enabled: false}")
    for old, new in replace.items():
        text = text.replace(old, new)
    return text


def calm(text: str) -> str:
    """The plan of a service that turns nobody away for want of CPU: it shares its process with the
    test, and the machine with others.
    """
    if "most_lag_s" in text:
        return text
    if "\nservice: {" in text:
        return text.replace("\nservice: {", "\nservice: {most_lag_s: 60, ")
    if "\nservice:\n" in text:
        return text.replace("\nservice:\n", "\nservice:\n  most_lag_s: 60\n")
    return f"{text}\nservice: {{most_lag_s: 60}}\n"


def make_runtime(state_dir: Path, text: str, seed: int = 5, clock: Any = None) -> Runtime:
    """A runtime on a plan's text."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "plan.yaml"
    path.write_text(calm(text), "utf-8")
    plan, _ = load(path)
    settings = Settings(state_dir=state_dir, bootstrap_key=KEY)
    source = PlanSource(path, load_checked)
    return build(plan, settings, clock or SystemClock(), seed, source)


class Service:
    """A running service and its inside."""

    def __init__(self, runtime: Runtime, server: Server) -> None:
        self.runtime, self.url, self.key = runtime, server.url, KEY


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service against the simulated providers, one a module."""
    state = tmp_path_factory.mktemp("state")
    runtime = make_runtime(state, plan_text(providers.url))
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)
