"""`headgate report`: pages, Markdown and JSON by hand, designs, and words for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.reviewing.finding import Review
from service.reporting.shelf import keep
from tests.service.cli.test_commands import run


def test_weekly_in_all_forms(marked: Path, tmp_path: Path) -> None:
    html, md = tmp_path / "w.html", tmp_path / "w.md"
    code, out, err = run("report", "weekly", "--week", "2026-W47", "--html", str(html), "--md",
                         str(md), "--json", "--state", str(marked))  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["name"] == "weekly-2026-W47"
    assert html.read_text().startswith("<!doctype html>") and md.read_text().startswith("# Week")


@pytest.mark.slow
def test_monthly_writes_designs_and_quarterly_speaks(marked: Path, tmp_path: Path) -> None:
    code, _, _ = run(
        "report", "monthly", "--designs", str(tmp_path / "next"), "--state", str(marked)
    )
    assert code == 0 and (tmp_path / "next" / "without-sage.yaml").exists()
    assert "Deployments to retire" in run("report", "quarterly", "--state", str(marked))[1]


def test_what_is_wrong_is_said(marked: Path, tmp_path: Path) -> None:
    wrong = run("report", "weekly", "--week", "W47", "--state", str(marked))
    assert wrong[0] == 2 and "2026-W47" in wrong[2]
    none = run("report", "weekly", "--state", str(tmp_path))
    assert none[0] == 1 and "no published history" in none[2]


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_said(marked: Path, tmp_path: Path) -> None:
    unwritable = run("report", "weekly", "--html", str(tmp_path / "no" / "w.html"), "--state",
                     str(marked))  # fmt: skip
    assert unwritable[0] == 1 and "cannot be written" in unwritable[2]


@pytest.mark.slow
def test_without_a_file_it_is_shown(marked: Path) -> None:
    _, shown, _ = run("report", "weekly", "--state", str(marked))
    assert "What moved" in shown and "money:" in shown


def test_kept_ones_are_listed_and_shown(weekly: Review, tmp_path: Path) -> None:
    marked = tmp_path
    keep(marked, weekly)
    _, listed, _ = run("report", "list", "--json", "--state", str(marked))
    names = [each["name"] for each in json.loads(listed)]
    assert "weekly-2026-W47.md" in names
    _, shown, _ = run("report", "show", "weekly-2026-W47.md", "--state", str(marked))
    assert shown.startswith("# Week 2026-W47")
    assert run("report", "show", "../plan", "--state", str(marked))[0] == 2
