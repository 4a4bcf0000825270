"""Every workflow that ships runs its example on simulated deployments, within what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.app import create_app
from service.orchestration.workflows.drawing import calls
from service.orchestration.workflows.format import LIBRARY, library, load
from service.orchestration.workflows.kinds import fault
from service.orchestration.workflows.language import compiled
from tests.conftest import ROOT, Server, Service, make_runtime
from tests.service.api.test_modal import modal_plan
from tests.service.orchestration.workflows.examples import run

pytestmark = pytest.mark.slow

NAMES = sorted(path.stem for path in LIBRARY.glob("*.yaml"))
FREE = ("check", "code", "transform", "retrieve")


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One with deployments of all modalities."""
    runtime = make_runtime(tmp_path_factory.mktemp("state"), modal_plan(providers.url))
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


@pytest.mark.parametrize("name", NAMES)
def test_its_example_runs_and_holds(service: Service, name: str) -> None:
    workflow = load(LIBRARY / f"{name}.yaml")
    ended = run(service, workflow)
    assert ended.status == "done", (ended.step, ended.code, ended.message)
    kinds = {key: each.kind for key, each in workflow.form.outputs.items()}
    for key, kind in kinds.items():
        assert fault(ended.outputs[key], kind) == "", key
    assert workflow.form.example is not None and workflow.form.example.holds
    for held in workflow.form.example.holds:
        assert compiled(held, kinds)(ended.outputs) is True, held
    least, most = calls(workflow)
    assert least <= sum(each.calls for each in ended.entries) <= most
    assert len(ended.entries) <= workflow.form.limits.max_steps
    assert 0 < ended.cost_micro_usd <= workflow.form.limits.max_cost_usd * 1e6
    assert all(each.calls == 0 for each in ended.entries if each.kind in FREE)


def test_pictures_and_sounds_come_out_whole(service: Service) -> None:
    post = run(service, load(LIBRARY / "outline-write-illustrate.yaml"), {
        "topic": "Why mills have two stones.", "sections": 2, "words": 150, "images": 2,
    })  # fmt: skip
    assert post.status == "done" and 1 <= len(post.outputs["images"]) <= 2
    assert post.outputs["images"][0]["media_type"] == "image/png"
    said = run(service, load(LIBRARY / "voice-over.yaml"))
    assert said.outputs["audio"]["media_type"] == "audio/wav"


def test_the_library_is_told_in_the_docs() -> None:
    assert len(NAMES) >= 16
    for workflow in library().values():
        form = workflow.form
        assert form.purpose and form.execution and form.errors and form.example is not None
        assert (ROOT / "docs" / "workflows" / f"{form.name}.md").exists()


def test_it_is_packed_with_the_service() -> None:
    assert Path(LIBRARY).is_relative_to(ROOT / "service")  # the wheel packs the whole package
