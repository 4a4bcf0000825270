"""Each import contract is kept, and each bites: broken on purpose in a copy, the linter says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# A line put into a file, and the contract that it must break.
BREACHES = [
    ("learning/reward.py", "import experiments.errors", "1. service stands on"),
    ("experiments/errors.py", "import service.domain.errors", "1. service stands on"),
    ("learning/reward.py", "import duckdb", "2. learning and experiments reach no"),
    ("experiments/offline/baselines.py", "import httpx", "2. learning and experiments reach no"),
    ("experiments/statistics/moments.py", "import learning.reward", "3. in experiments only"),
    ("service/domain/will.py", "import service.config", "4. the floors of service"),
    ("service/routing/sessions.py", "import service.monitoring.live", "4. the floors of service"),
    ("service/storage/tally.py", "import service.providers.base", "4. the floors of service"),
    ("service/routing/billing.py", "import service.queueing.pace", "4. the floors of service"),
    ("service/outbound.py", "import service.monitoring.live", "4. the floors of service"),
    ("service/newroom.py", '"""A file that the plan does not know."""', "4. the floors of service"),
    ("service/providers/openai.py", "import service.providers.simulated", "5a. providers"),
    ("service/providers/gemini.py", "import service.providers.anthropic", "5a. providers"),
    ("learning/policies/fixed.py", "import learning.policies.uniform", "5b. policies"),
    ("learning/reward.py", "import learning.interaction", "6. no circles"),
    ("service/routing/billing.py", "import aiohttp", "7a. only providers"),
    ("service/queueing/webhooks.py", "import httpx", "7a. only providers"),
    ("service/feedback/apply.py", "import duckdb", "7b. only storage"),
    ("service/tracing/tracer.py", "import opentelemetry.trace", "7d. only the spans"),
    ("service/monitoring/live.py", "import starlette", "7c. only app"),
]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """The linter on a tree."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=root, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("house")
    for name in ("service", "learning", "experiments"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_the_house_as_it_stands_keeps_every_contract(copy: Path) -> None:
    found = lint(copy)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 broken" in found.stdout


@pytest.mark.parametrize(("name", "line", "contract"), BREACHES)
def test_every_contract_bites(copy: Path, name: str, line: str, contract: str) -> None:
    path = copy / name
    was = path.read_text("utf-8") if path.exists() else None
    path.write_text((was or "") + f"\n{line}\n", "utf-8")
    try:
        found = lint(copy)
    finally:
        if was is None:
            path.unlink()
        else:
            path.write_text(was, "utf-8")
    broken = [row for row in found.stdout.splitlines() if "BROKEN" in row]
    assert found.returncode != 0
    assert any(contract in row for row in broken), found.stdout


def test_every_contract_has_a_breach_here() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    names = [line.split('"')[1] for line in text.splitlines() if line.startswith('name = "')]
    contracts = [name for name in names if name[0].isdigit()]
    for name in contracts:
        assert any(name.startswith(contract) for _, _, contract in BREACHES), name
