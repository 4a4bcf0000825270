"""A service under traffic, with the acts of an operator, for experiments on simulated providers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.providers.simulated import Stream
from service.runtime import Runtime
from service.simulate import SimulatedProviders
from tests.conftest import KEY, Server, make_runtime, plan_text

AUTH = {"Authorization": f"Bearer {KEY}"}
BY = {"author": "ann", "reason": "the test wants it so"}


class Site:
    """A running service, its inside, and clients of it."""

    def __init__(self, runtime: Runtime, url: str, world: Stream) -> None:
        self.runtime, self.url, self.world = runtime, url, world
        self.http = httpx.Client(base_url=url, headers=AUTH, trust_env=False, timeout=60.0)
        self.asked = 0

    def ask(self, session: str = "", text: str = "Describe a kite.", **more: Any) -> httpx.Response:
        """One chat completion."""
        self.asked += 1
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **more}
        headers = {"x-session-id": session} if session else {}
        return self.http.post("/v1/chat/completions", json=body, headers=headers)

    def get(self, path: str) -> Any:
        """The JSON of a GET that must succeed."""
        response = self.http.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        """The JSON of a POST that must end with that status."""
        response = self.http.post(path, json={**BY, **body})
        assert response.status_code == status, response.text
        return response.json()

    def create(self, **design: Any) -> str:
        """A draft; its id."""
        made = self.post("/admin/experiments", 201, design=design_of(**design))
        return str(made["id"])

    def step(self, name: str, *steps: str, **body: Any) -> Any:
        """Steps of an experiment, one after the other."""
        for step in steps:
            found = self.post(f"/admin/experiments/{name}/{step}", **body)
        return found

    def flush(self) -> None:
        """All that was logged is durable."""
        self.runtime.kept.log.flush().result(timeout=20)


def design_of(**more: Any) -> dict[str, Any]:
    """A design that stands; ``settings`` are those of its treatment."""
    settings = more.pop("settings", {"deployment": "mill"})
    share = more.pop("share", 0.5)
    return {
        "slug": "one",
        "hypothesis": "the treatment is as good",
        "variants": [
            {"name": "control", "share": 1.0 - share},
            {"name": "treated", "share": share, "settings": settings},
        ],
        "goals": ["success_rate"],
        "guardrails": [],
        "unit": "request",
        **more,
    }


def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until something holds; fail when it does not come."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@contextmanager
def site(
    state: Path, more: str = "", clock: Any = None, kind: str = "linear", attempts: str = ""
) -> Iterator[Site]:
    """A service of its own against simulated providers of its own; ``more``: of the plan, whose
    policy is of that ``kind`` and whose requests have those ``attempts``.
    """
    world = Stream(seed=11, speed=50.0)
    with Server(SimulatedProviders(world).app()) as providers:
        text = plan_text(providers.url)
        if kind != "linear":
            start, end = text.index("policy:"), text.index("reward:")
            text = f"{text[:start]}policy: {{name: default, kind: {kind}}}\n\n{text[end:]}"
        text = text.replace("[30, 25, 20]", attempts or "[30, 25, 20]")
        runtime = make_runtime(state, text + more, clock=clock)
        with Server(create_app(runtime)) as server:
            found = Site(runtime, server.url, world)
            with found.http:
                yield found
