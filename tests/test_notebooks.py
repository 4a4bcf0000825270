"""The notebooks run against a live state directory while the service writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import KEY, ROOT, Service

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
AUTH = {"Authorization": f"Bearer {KEY}"}
PROMPTS = ("Write python code number {}", "Calculate {} percent of 90", "Describe kite {}")


class Traffic:
    """Requests and ratings, and a publication twice a second, until told to stop."""

    def __init__(self, service: Service) -> None:
        self._service, self._halt, self.count = service, threading.Event(), 0
        self._threads = [threading.Thread(target=w) for w in (self._ask, self._publish)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._service.url, headers=AUTH, timeout=10.0) as client:
            while not self._halt.is_set():
                text = PROMPTS[self.count % 3].format(self.count)
                body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
                answer = client.post("/v1/chat/completions", json=body).json()
                if "id" in answer and self.count % 2:
                    value = (self.count % 10) / 10
                    client.post("/v1/feedback", json={"id": answer["id"], "value": value})
                self.count += 1

    def _publish(self) -> None:
        kept = self._service.runtime.kept
        while not self._halt.wait(0.5):
            kept.publisher.publish(kept.log.last_seq)

    def end(self) -> None:
        self._halt.set()
        for thread in self._threads:
            thread.join(20)


@pytest.fixture
def traffic(service: Service) -> Iterator[Traffic]:
    made = Traffic(service)
    yield made
    made.end()


def test_there_are_notebooks_and_their_outputs_are_stripped() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs") and not cell.get("execution_count"), path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_while_the_service_writes(
    path: Path, service: Service, traffic: Traffic
) -> None:
    deadline = time.monotonic() + 30
    while traffic.count < 60:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.startswith("STATE = "):
            cell.source = f"STATE = {str(service.runtime.kept.state_dir)!r}"
    before = traffic.count
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(ROOT))
    assert traffic.count > before, "the service went on writing"
    plots = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(plots) == 3
    assert service.runtime.kept.log.healthy
