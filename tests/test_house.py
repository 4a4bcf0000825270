"""The plan of the house is kept: sizes, docstrings, mirrors, who reads what, and what docs say."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from learning.policies.registry import POLICIES
from service.providers.registry import PROVIDERS
from tests.mirrored import MIRRORED

ROOT = Path(__file__).parent.parent
PACKAGES = ("service", "learning", "experiments")
SOURCES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))
ALL = SOURCES + sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 60, 6


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", ALL, ids=_id)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= MAX_FILE, "divide it by meaning"
    for function in _functions(ast.parse(text)):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= MAX_FUNCTION, f"{function.name} has {length} lines"
        if "cli" not in path.parts and "tests" not in path.parts:
            names = [a.arg for a in function.args.args + function.args.kwonlyargs]
            count = len([name for name in names if name not in ("self", "cls")])
            assert count <= MAX_PARAMETERS, f"{function.name} takes {count} parameters"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_modules_open_with_a_sentence(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "a module opens with one sentence that could be its name"
    if path.name == "__init__.py":
        assert len(tree.body) == 1, "__init__.py holds a docstring only"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_no_import_inside_a_function(path: Path) -> None:
    if "cli" in path.parts:
        return  # a command must start fast
    for function in _functions(ast.parse(path.read_text("utf-8"))):
        inner = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
        assert not inner, f"{function.name} imports at line {inner[0].lineno if inner else 0}"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_only_config_reads_the_environment(path: Path) -> None:
    if path == ROOT / "service" / "config.py":
        return
    tree = ast.parse(path.read_text("utf-8"))
    read = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv")
    ]
    assert not read, "only service/config.py reads the environment"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parts[-2] != "service"], ids=_id)
def test_learning_and_experiments_hold_no_clock_and_no_global_randomness(path: Path) -> None:
    if not path.is_relative_to(ROOT / "learning") and not path.is_relative_to(ROOT / "experiments"):
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not {a.name for a in node.names} & {"time", "random", "socket", "datetime"}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            owned = node.value.attr != "random" or node.attr in ("default_rng", "Generator")
            assert owned, f"line {node.lineno}: numpy's global randomness"


def test_no_forbidden_words_in_names() -> None:
    banned = ("utils", "manager", "helper", "common", "backend", "strategy")
    for path in SOURCES:
        assert path.stem not in banned, path
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert not any(word in node.name.lower() for word in banned), node.name


def test_the_three_packages_resolve_inside_the_repository() -> None:
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        assert Path(spec.origin).is_relative_to(ROOT)


def test_every_module_has_its_tests() -> None:
    """A module is mirrored by tests/<package>/.../test_<module>.py or named in MIRRORED."""
    missing = []
    for path in SOURCES:
        if path.name in ("__init__.py", "__main__.py"):
            continue
        relative = path.relative_to(ROOT)
        mirror = ROOT / "tests" / relative.parent / f"test_{path.stem}.py"
        named = str(relative) in MIRRORED or f"{relative.parent}/" in MIRRORED
        if not mirror.exists() and not named:
            missing.append(str(relative))
    assert not missing, f"without tests: {missing}"
    for name, test in MIRRORED.items():
        assert (ROOT / name).exists(), f"{name} is gone from the house: drop it from MIRRORED"
        assert (ROOT / "tests" / test).exists(), f"{test} does not exist"


@pytest.mark.parametrize("text", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_hashes_and_name_no_host(text: str) -> None:
    content = (ROOT / text).read_text("utf-8")
    pins = [line for line in content.splitlines() if re.match(r"^[a-z0-9]", line)]
    assert pins and all("==" in line and line.rstrip().endswith("\\") for line in pins)
    assert content.count("--hash=sha256:") >= len(pins)
    assert "://" not in content and "--index-url" not in content


def test_every_registered_thing_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for name in (*POLICIES, *PROVIDERS):
        assert f"`{name}`" in text, f"docs/architecture.md does not name {name}"
