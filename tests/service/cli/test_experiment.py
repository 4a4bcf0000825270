"""`headgate experiment` and `headgate policy` against a running service, as an operator types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.cli.test_commands import run
from tests.service.experimentation.rig import Site, design_of, site

WHY = ("--reason", "as it was planned", "--author", "ann")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("cli") / "state") as found:
        yield found


def test_an_experiment_from_a_file_to_its_end(here: Site, tmp_path: Path) -> None:
    file = tmp_path / "design.json"
    file.write_text(json.dumps(design_of(slug="typed", guardrails=[{"metric": "error_rate"}])))
    at = ("--url", here.url)
    code, out, _ = run("experiment", "create", str(file), *WHY, *at)
    assert code == 0 and "typed@1: draft" in out and "next: start" in out
    code, out, _ = run("experiment", "start", "typed", *WHY, *at)
    assert code == 0 and "running, 1 % of its units" in out
    code, out, err = run("experiment", "ship", "typed", "--variant", "treated", *WHY, *at)
    assert code == 1 and "cannot ship what is running" in err
    for step in ("ramp", "pause", "resume", "stop"):
        assert run("experiment", step, "typed", *WHY, *at)[0] == 0
    code, out, _ = run("experiment", "list", *at)
    assert code == 0 and "typed@1" in out and "stopped" in out
    code, out, _ = run("experiment", "report", "typed", *at)
    assert code == 0 and "advice:" in out and "not enough data yet" in out
    code, out, _ = run("experiment", "report", "typed", "--json", *at)
    assert json.loads(out)["valid"] is True
    code, out, _ = run("experiment", "rollback", "typed", *WHY, *at)
    assert code == 0 and "rolled back" in out
    code, out, _ = run("experiment", "show", "typed", "--json", *at)
    assert [s["author"] for s in json.loads(out)["steps"]] == ["ann"] * 6


def test_a_bad_file_is_refused_in_words(here: Site, tmp_path: Path) -> None:
    at = ("--url", here.url)
    assert run("experiment", "create", str(tmp_path / "none.yaml"), *WHY, *at)[0] == 2
    file = tmp_path / "design.yaml"
    file.write_text("slug: [unclosed")
    assert run("experiment", "create", str(file), *WHY, *at)[0] == 2
    file.write_text("slug: one\nhypothesis: h\ncolour: red\n")
    code, _, err = run("experiment", "create", str(file), *WHY, *at)
    assert code == 2 and "colour" in err


@pytest.mark.slow
def test_versions(here: Site, tmp_path: Path) -> None:
    at = ("--url", here.url)
    code, out, _ = run("policy", "create", "--set", "floor=0.03", *WHY, *at, "--json")
    assert code == 0
    made = json.loads(out)["id"]
    code, out, _ = run("policy", "list", *at)
    assert code == 0 and made in out and "live" in out
    live = here.get("/admin/status")["policy"]["version"]
    code, out, _ = run("policy", "diff", live, made, *at)
    assert code == 0 and "parameters.floor" in out
    code, out, _ = run("policy", "evaluate", made, "--since", "1h", *WHY, *at)
    assert code == 1 and f"{made} does not pass: " in out
    file = tmp_path / "versions.json"
    design = design_of(slug="versions", settings={"version": made})
    file.write_text(json.dumps(design))
    assert run("experiment", "create", str(file), *WHY, *at)[0] == 0
    code, _, err = run("experiment", "start", "versions", *WHY, *at)
    assert code == 1 and "may not be exposed yet: no decision was logged" in err
    assert run("experiment", "start", "versions", "--unproven", *WHY, *at)[0] == 0
    assert run("experiment", "rollback", "versions", *WHY, *at)[0] == 0
    code, out, _ = run("policy", "promote", made, *WHY, *at)
    assert code == 0 and f"{made} is live (promoted)" in out
    code, out, _ = run("policy", "rollback", *WHY, *at)
    assert code == 0 and "byte for byte" in out
    code, out, _ = run("policy", "show", made, *at)
    assert code == 0 and "floor = 0.03" in out and "rolled back" in out
    assert run("policy", "create", "--set", "floor", *WHY, *at)[0] == 2
    assert run("policy", "promote", "xyz", *WHY, *at)[0] == 2
