"""The plan of the house is kept: sizes, docstrings, mirrors, who reads what, and what docs say."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable, Iterator
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


Nodes = list[ast.AST]  # of a file, each once; the module first


def _functions(nodes: Nodes) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def small(path: Path, text: str, nodes: Nodes) -> Iterator[str]:
    """Files and functions stay small."""
    if text.count("\n") > MAX_FILE:
        yield "divide it by meaning"
    for function in _functions(nodes):
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > MAX_FUNCTION:
            yield f"{function.name} has {length} lines"
        if "cli" not in path.parts and "tests" not in path.parts:
            names = [a.arg for a in function.args.args + function.args.kwonlyargs]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > MAX_PARAMETERS:
                yield f"{function.name} takes {count} parameters"


def opened(path: Path, text: str, nodes: Nodes) -> Iterator[str]:
    """Modules open with a sentence."""
    tree = nodes[0]
    assert isinstance(tree, ast.Module)
    if not ast.get_docstring(tree):
        yield "a module opens with one sentence that could be its name"
    if path.name == "__init__.py" and len(tree.body) != 1:
        yield "__init__.py holds a docstring only"


def imported_above(path: Path, text: str, nodes: Nodes) -> Iterator[str]:
    """No import inside a function."""
    if "cli" in path.parts:
        return  # a command must start fast
    for function in _functions(nodes):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield f"{function.name} imports at line {node.lineno}"


def environment_unread(path: Path, text: str, nodes: Nodes) -> Iterator[str]:
    """Only config reads the environment."""
    if path.parts[-2:] == ("service", "config.py"):
        return
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv"):
            yield f"line {node.lineno}: only service/config.py reads the environment"


def without_clock(path: Path, text: str, nodes: Nodes) -> Iterator[str]:
    """Learning and experiments hold no clock and no global randomness."""
    if path.parts[0] == "service":
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            names = {a.name for a in node.names} & {"time", "random", "socket", "datetime"}
            if names:
                yield f"line {node.lineno}: imports {', '.join(sorted(names))}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            owned = node.value.attr != "random" or node.attr in ("default_rng", "Generator")
            if not owned:
                yield f"line {node.lineno}: numpy's global randomness"


def plainly_named(path: Path, text: str, nodes: Nodes) -> Iterator[str]:
    """No forbidden words in names."""
    banned = ("utils", "manager", "helper", "common", "backend", "strategy")
    if path.stem in banned:
        yield "the name of the module"
    for node in nodes:
        if isinstance(node, ast.ClassDef) and any(word in node.name.lower() for word in banned):
            yield node.name


Rule = Callable[[Path, str, Nodes], Iterator[str]]
OF_SOURCES: tuple[Rule, ...] = (
    small, opened, imported_above, environment_unread, without_clock, plainly_named,
)  # fmt: skip
BROKEN: dict[Rule, str] = {
    small: "def f(a, b, c, d, e, f, g): ...\n",
    opened: "A = 1\n",
    imported_above: "def f():\n    import json\n",
    environment_unread: "import os\nHOME = os.environ['HOME']\n",
    without_clock: "import numpy as np\nnp.random.seed(1)\n",
    plainly_named: "class StrategyFactory: ...\n",
}


@pytest.fixture(scope="module")
def told() -> dict[Rule, list[str]]:
    """What each rule says about each file, read once."""
    sources = set(SOURCES)
    found: dict[Rule, list[str]] = {rule: [] for rule in OF_SOURCES}
    for path in ALL:
        text = path.read_text("utf-8")
        nodes = list(ast.walk(ast.parse(text)))
        relative = path.relative_to(ROOT)
        for rule in OF_SOURCES if path in sources else (small,):
            found[rule] += [f"{relative}: {each}" for each in rule(relative, text, nodes)]
    return found


@pytest.mark.parametrize("rule", OF_SOURCES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(told: dict[Rule, list[str]], rule: Rule) -> None:
    assert not told[rule], f"{rule.__doc__} These do not:\n" + "\n".join(told[rule])


@pytest.mark.parametrize("rule", OF_SOURCES, ids=lambda rule: rule.__name__)
def test_a_file_that_breaks_the_rule_is_told(rule: Rule) -> None:
    text = BROKEN[rule]
    nodes = list(ast.walk(ast.parse(text)))
    assert len(list(rule(Path("learning/broken.py"), text, nodes))) == 1


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
