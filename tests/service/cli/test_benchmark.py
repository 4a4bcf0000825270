"""`headgate benchmark learning`: a report to a file, a table, a plot, and misuse named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.offline.recorded import frame

pytestmark = pytest.mark.slow


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    path = tmp_path / "outcomes.parquet"
    frame(240).to_parquet(path)
    return path


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) | {"COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "benchmark", "learning", *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip


def test_a_report_is_written_shown_and_drawn(outcomes: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "report.json", tmp_path / "plot.png"
    done = _run(
        "--outcomes", str(outcomes), "--scenario", "quality", "--budget", "0.001", "--seeds", "2",
        "--policies", "default,linucb,random", "--features", "headgate", "--json", str(out),
        "--plot", str(plot),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text("utf-8"))
    assert report["scenario"] == "quality" and report["budget_usd"] == 0.001
    assert report["seeds"] == 2 and list(report["policies"]) == ["default", "linucb", "random"]
    row = report["policies"]["default"]
    assert {"reward", "reward_ci95", "spend_over_budget", "regret", "steps_to_halve"} <= set(row)
    assert {"best_static_mix", "oracle", "full_information_ridge"} <= set(report["references"])
    assert "full-information ridge" in done.stdout and "default" in done.stdout
    assert plot.read_bytes()[:4] == b"\x89PNG" and report["warm"] is False


def test_a_warm_start_is_said(outcomes: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = _run("--outcomes", str(outcomes), "--warm", "--seeds", "1", "--json", str(out),
                "--policies", "default,thompson", "--features", "none")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text("utf-8"))["warm"] is True and "warm" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--scenario", "storm"), "unknown scenario 'storm'"),
        (("--budget", "little"), "--budget must be"),
        (("--budget", "1e-9"), "below the cheapest"),
        (("--policies", "wizard"), "unknown policy wizard"),
        (("--features", "neural"), "unknown features"),
        (("--parameters", "[1]"), "--parameters must be"),
        (("--parameters", '{"default": {"tempr": 1}}'), "unknown parameter 'tempr'"),
    ],
)
def test_misuse_is_named_and_ends_with_2(
    outcomes: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = _run("--outcomes", str(outcomes), "--seeds", "1", "--jobs", "1", *arguments)
    assert done.returncode == 2 and told in done.stderr


def test_a_missing_file_is_named() -> None:
    done = _run("--outcomes", "nowhere.parquet")
    assert done.returncode == 2 and "nowhere.parquet is not there" in done.stderr
