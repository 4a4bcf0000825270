"""S06, S08, S11, S12: what must not stand in the source, and that the look finds it if it does."""

from __future__ import annotations

import ast
import re

import pytest

from service.domain.expressions import ExpressionInvalid, parse
from tests.security.source import calls, imports, trees
from tests.test_house import SOURCES

pytestmark = pytest.mark.slow
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
RUNS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "importlib.import_module"}
NAMED = {"SPANS"}  # a module of our own, by a constant: loaded only where traces are wanted
# Runs what somebody else wrote, which is what it is for: in a process of its own, behind walls.
KEEPER = "service/orchestration/sandbox_keeper.py"
SECRET = re.compile(r"secret|signature|digest|token\b|password", re.I)


def test_S06_what_is_secret_is_compared_in_constant_time() -> None:
    """No `==` between secrets where a caller can send one: in the api, and where keys are found."""
    for name, tree in trees():
        if not name.startswith("service/api/") and name != "service/storage/keys.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                text = ast.unparse(node)
                assert not SECRET.search(text), f"{name}:{node.lineno}: {text}"
    assert any(each == "hmac.compare_digest" and name.endswith("storage/keys.py")
               for name, each, _ in calls())  # fmt: skip


def test_S08_no_pattern_comes_from_outside() -> None:
    """Every regular expression is written in the source; the plan's conditions know none."""
    for name, called, node in calls():
        if re.fullmatch(r"re\.(compile|match|search|fullmatch|sub|split|findall|finditer)", called):
            assert isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.Name), name
            if isinstance(node.args[0], ast.JoinedStr | ast.Name):
                raise AssertionError(f"{name}:{node.lineno}: {ast.unparse(node)}")


def test_S11_nothing_is_read_that_can_run() -> None:
    for name, module in imports():
        assert module.split(".")[0] not in UNSAFE, f"{name} imports {module}"
    for name, called, node in calls():
        if called in ("yaml.load", "yaml.load_all"):
            loader = [ast.unparse(each.value) for each in node.keywords if each.arg == "Loader"]
            loader += [ast.unparse(each) for each in node.args[1:]]
            assert loader and all("Safe" in each or each.startswith("_") for each in loader), name
        assert called not in ("yaml.unsafe_load", "yaml.full_load"), name
        assert not (called == "np.load" and any(k.arg == "allow_pickle" for k in node.keywords))


def test_S12_no_text_is_run() -> None:
    for name, called, node in calls():
        named = called == "importlib.import_module" and ast.unparse(node.args[0]) in NAMED
        kept = called in ("exec", "compile") and name == KEEPER
        assert called not in RUNS or named or kept, f"{name}:{node.lineno}: {called}"
        shell = [each for each in node.keywords if each.arg == "shell"]
        assert not shell, f"{name}:{node.lineno}: a shell"
    keeper = KEEPER.removesuffix(".py").replace("/", ".")
    assert not any(keeper in module for _, module in imports()), "it runs in a process of its own"


HOSTILE = (
    "__import__('os').system('id')", "().__class__", "type.__mro__", "[x for x in (1,)]",
    "(lambda: 1)()", "open('/etc/passwd')", "f'{type}'", "type := 1", "tags[0]", "1 if type else 2",
    "type == 'a' and exec('1')", "'a' * 10**9 == type", "word_count ** 99 > 1", "await type",
    "type.upper() == 'A'", "not __builtins__", "{**type}", "*tags", "`id`", "type == b'a'",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=[f"S12-{n}" for n in range(len(HOSTILE))])
def test_S12_a_condition_is_of_its_language_or_refused(text: str) -> None:
    with pytest.raises(ExpressionInvalid):
        parse(text)


def test_the_looks_see_the_whole_source() -> None:
    assert len(trees()) == len(SOURCES) > 300
    assert len(calls()) > 5_000


def test_the_audit_trail_has_no_path_that_changes_or_deletes() -> None:
    """No statement of SQL in the source changes or deletes a row of the log; rows go only
    from files of their own: the queue's, conversations', runs', batches', and kept answers'.
    """
    changes = re.compile(r"\b(UPDATE\s+\w+\s+SET|DELETE\s+FROM|TRUNCATE\s+\w|DROP\s+TABLE)\b", re.I)
    found = set()
    for name, tree in trees():
        for node in ast.walk(tree):
            told = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if told and changes.search(str(node.value)):  # type: ignore[attr-defined]
                found.add(name)
    allowed = {"service/storage/queue.py", "service/storage/queue_file.py",
               "service/storage/cache_file.py", "service/storage/conversations.py",
               "service/storage/run_store.py", "service/storage/batch_file.py",
               "service/storage/batch_store.py", "service/storage/parcel_store.py",
               "service/storage/long_look.py"}  # of tables of its own, in memory  # fmt: skip
    assert found <= allowed, found - allowed
