"""`headgate workflow`: files checked, inputs read, events followed, runs shown; exit codes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from service.cli import output, workflow_shown
from service.cli.main import app
from service.cli.workflow_files import one_by_one, read_inputs
from service.cli.workflow_live import Progress, events, follow, indented
from service.orchestration.workflows.format import LIBRARY
from tests.conftest import ROOT

PLAN = str(ROOT / "examples" / "simulated.yaml")


def headgate(*arguments: str) -> tuple[int, str]:
    output.out.width = output.err.width = 200
    found = CliRunner().invoke(app, ["workflow", *arguments])
    return found.exit_code, found.stdout


def test_a_file_of_the_library_is_sound_for_the_example_plan() -> None:
    code, told = headgate("check", str(LIBRARY / "best-of-n.yaml"), "--plan", PLAN)
    assert code == 0 and "best-of-n can be run" in told


def test_what_is_wrong_with_a_file_has_its_line_and_its_mend(tmp_path: Path) -> None:
    text = (LIBRARY / "best-of-n.yaml").read_text("utf-8")
    path = tmp_path / "best-of-n.yaml"
    path.write_text(text.replace("best_of.value", "best_of.valu"), "utf-8")
    code, told = headgate("check", str(path), "--json")
    [found] = json.loads(told)["files"]
    [problem] = found["problems"]
    assert code == 1 and problem["line"] and "did you mean value" in problem["message"]
    path.write_text(text.replace("    temperature: 0.8", "    model: nobody"), "utf-8")
    code, told = headgate("check", str(path), "--plan", PLAN)
    assert code == 1 and "nobody" in told and "known:" in told
    assert headgate("check", str(tmp_path / "none.yaml"))[0] == 1


def test_pages_are_written(tmp_path: Path) -> None:
    code, told = headgate("docs", "--into", str(tmp_path / "pages"), "--json")
    assert code == 0 and len(json.loads(told)["pages"]) >= 17
    assert (tmp_path / "pages" / "README.md").read_text("utf-8").startswith("# The library")


def test_inputs_are_read_one_by_one_and_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("A long text.", "utf-8")
    given = one_by_one(["n=3", "list=[1, 2]", "words=plain text", f"text=@{tmp_path / 'text'}"])
    assert given == {"n": 3, "list": [1, 2], "words": "plain text", "text": "A long text."}
    (tmp_path / "in.yaml").write_text("n: 4", "utf-8")
    assert read_inputs(tmp_path / "in.yaml") == {"n": 4}
    for wrong in ("n", "n=@/nowhere"):
        with pytest.raises(output.typer.Exit) as ended:
            one_by_one([wrong])
        assert ended.value.exit_code == 2
    for name in ("none", "text"):
        with pytest.raises(output.typer.Exit) as ended:
            read_inputs(tmp_path / name)
        assert ended.value.exit_code == 2


def _told(name: str, **data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def test_events_are_followed_however_the_stream_is_cut() -> None:
    stream = (
        ": still here\n\n" + _told("step.started", path="a", kind="chat")
        + _told("step.done", path="a", deployment="brook", cost_usd=0.5, latency_s=0.25)
        + _told("step.started", path="l#2/b@3", kind="judge") + "event: odd\ndata: [1]\n\n"
        + _told("step.failed", path="l#2/b@3", code="timeout", cost_usd=0.25)
        + _told("run.ended", status="failed") + "data: [DONE]\n\n"
    )  # fmt: skip
    for size in (1, 7, 1_000):
        pieces = iter([stream[at : at + size] for at in range(0, len(stream), size)])
        progress = follow(Progress("small"), pieces)
        assert [each.state for each in progress.steps.values()] == ["done", "failed"]
        assert progress.steps["a"].deployment == "brook" and progress.cost_usd == 0.75
        assert progress.status == "failed"
    assert len(list(events(iter([stream])))) == 5 and indented("l#2/b@3") == "  b@3 #2"
    assert progress.table().row_count == 2


def test_a_run_is_shown_with_its_steps_and_its_pictures_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = {"media_type": "image/png", "b64": base64.b64encode(b"point").decode()}
    run = {
        "id": "1", "workflow": "w", "status": "failed", "took_s": 1.5,
        "error": {"code": "timeout", "step": "b", "message": "too slow"},
        "steps": [{"path": "b", "kind": "chat", "status": "failed", "code": "timeout"}],
        "outputs": {"text": "x" * 5_000, "image": picture, "all": [picture]}, "cost_usd": 0.01,
    }  # fmt: skip
    output.out.width = 200
    workflow_shown.show_run(run, tmp_path)
    workflow_shown.show_run(run, None)
    told = capsys.readouterr().out
    assert "failed at b: too slow" in told and "timeout" in told and "--json shows all" in told
    assert (tmp_path / "image.png").read_bytes() == b"point" and (tmp_path / "all-1.png").exists()
    assert "5 bytes; --into FOLDER writes it" in told


@pytest.mark.parametrize("terminal", [True, False])
def test_a_list_of_runs_can_be_read_in_eighty_columns_and_whole_in_a_file(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"id": "01a21750-9bf2-7253-a0f1-cd5540c3e796", "workflow": "outline-write-illustrate"}
    run = {**named, "status": "failed", "took_s": 1.5, "cost_usd": 0.012345,
           "error": {"code": "content_policy_violation"}}  # fmt: skip
    monkeypatch.setattr(output, "out", Console(width=80, force_terminal=terminal, no_color=True))
    workflow_shown.show_runs({"data": [run]})
    told = capsys.readouterr().out
    assert named["id"] in told and "$0.012345" in told and "1.50 s" in told
    assert "\u2026" not in told  # nothing is cut
    assert ("outline-write-illustrate" in told) is not terminal  # else folded


def test_the_names_of_workflows_are_never_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "out", Console(width=80, force_terminal=True, no_color=True))
    purpose = "A blog post with pictures from a topic. " * 3
    listed = {"name": "outline-write-illustrate", "version": 1, "inputs": {"topic": "text"}}
    workflow_shown.show_list({"data": [{**listed, "purpose": purpose}]})
    assert "outline-write-illustrate" in capsys.readouterr().out
