"""The notebooks run on a generated history, and 01 while the service writes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from tests.conftest import KEY, ROOT, Service

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
AUTH = {"Authorization": f"Bearer {KEY}"}
PLOTS = {
    "01_what_happened": 3,
    "02_why_the_weights_moved": 2,
    "03_reading_an_experiment": 4,
    "04_off_policy": 2,
    "05_cost_of_exploration_and_overrides": 3,
    "06_real_outcomes": 2,
}
LOUD = pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::ResourceWarning")
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


def run(path: Path, state: Path, **settings: str) -> tuple[int, str]:
    """Execute a notebook on a state directory; how many plots there are, and what it printed.

    No cell may take longer than half a minute. ``settings`` are lines after that of STATE.
    """
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [c for c in notebook.cells if c.source.startswith("STATE = ")]
    lines = [f"STATE = {str(state)!r}", *cell.source.splitlines()[1:]]
    cell.source = "\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())])
    NotebookClient(notebook, timeout=30, kernel_name="python3").execute(cwd=str(ROOT))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    plots = sum("image/png" in output.get("data", {}) for output in outputs)
    return plots, "".join(output.get("text", "") for output in outputs)


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four weeks of 20,000 decisions, by the command that makes them."""
    state = tmp_path_factory.mktemp("generated")
    asked = ["generate-history", "--decisions", "20000", "--days", "28", "--seed", "7"]
    asked += ["--until", "2026-11-25", "--state", str(state)]
    subprocess.run(
        [sys.executable, "-m", "service.cli", *asked], cwd=ROOT, check=True, timeout=120,
        capture_output=True,
    )  # fmt: skip
    return state


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_opens_with_one_line_and_has_few_cells(path: Path) -> None:
    sources = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert 4 <= len(sources) <= 6
    assert sources[0].startswith('STATE = "../state"')
    assert sum(source.count("STATE = ") for source in sources) == 1


@pytest.mark.slow
@LOUD
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_on_a_generated_history(path: Path, generated: Path) -> None:
    plots, _ = run(path, generated)
    assert plots == PLOTS[path.stem]


@pytest.mark.slow
@LOUD
def test_01_says_what_a_week_lacks(generated: Path) -> None:
    plots, said = run(NOTEBOOKS[0], generated, WEEK="'2026-W02'")
    assert plots == 0
    for words in ("Nothing was asked", "No weights", "No call was made", "nothing can be said"):
        assert words in said, words


@pytest.mark.slow
@LOUD
def test_06_replays_outcomes_when_a_file_is_given(generated: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (at, f"prompt {at} " + ("write code" if hard else "hello"), name, cost,
         float(rng.random() < (0.9 if name == "large" or not hard else 0.3)))
        for at, hard in enumerate(rng.random(600) < 0.5)
        for name, cost in (("small", 1e-4), ("large", 1e-3))
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["prompt_id", "prompt", "model", "cost_usd", "reward"])
    frame.to_parquet(tmp_path / "outcomes.parquet")
    path = NOTEBOOKS[5]
    plots, said = run(path, generated, OUTCOMES=repr(str(tmp_path / "outcomes.parquet")))
    assert plots == PLOTS[path.stem] and "600 prompts, 2 models" in said and "route" in said


@pytest.mark.slow
@LOUD
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_while_the_service_writes(
    path: Path, service: Service, traffic: Traffic
) -> None:
    """A young history: what it lacks is said, and nothing fails; 01 has all its plots."""
    deadline = time.monotonic() + 30
    while traffic.count < 60:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = traffic.count
    plots, _ = run(path, service.runtime.kept.state_dir)
    assert traffic.count > before, "the service went on writing"
    assert plots == 3 if path.stem.startswith("01") else plots >= 1
    assert service.runtime.kept.log.healthy
