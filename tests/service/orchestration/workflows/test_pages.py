"""The pages of the docs are what the files give, and every step stands in their graphs."""

from __future__ import annotations

from service.cli.workflow_files import pages
from service.orchestration.workflows.format import library
from service.orchestration.workflows.pages import mermaid
from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "workflows"


def test_the_pages_are_what_the_files_give() -> None:
    made = pages()
    there = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    assert there == made, "headgate workflow docs"
    assert set(made) == {"README.md", *(f"{name}.md" for name in library())}


def test_the_graph_names_every_step_and_closes_what_it_opens() -> None:
    for workflow in library().values():
        text = mermaid(workflow)
        lines = [line.strip() for line in text.splitlines()]
        assert lines[0] == "flowchart TD"
        for step in workflow.walk():
            assert any(line.startswith((step.id, f"subgraph {step.id}[")) for line in lines)
        assert lines.count("end") == sum(line.startswith("subgraph ") for line in lines)
        for line in lines:
            for bracket in ("[]", "{}", "()"):
                assert line.count(bracket[0]) == line.count(bracket[1]), line
