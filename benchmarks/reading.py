"""Reading ten million decisions: the three reviews, and every query of the shipped notebooks."""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).parents[1]
BARS = {"weekly": 60.0, "query": 5.0, "memory_mb": 2_000.0}
REVIEWS = ("weekly", "monthly", "quarterly")
QUERIES = ("experiment_frame", "drawn_requests", "overridden")  # of storage, called by notebooks


def child(state: Path, kind: str) -> dict[str, float]:
    """A review in a process of its own."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "service.cli", "report", kind, "--json", "--state", str(state)]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdout=told, cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - began, "cpu_s": cpu,
            "memory_mb": used.ru_maxrss / 1e3}  # fmt: skip


class Timed:
    """A connection whose queries are timed."""

    def __init__(self, inner: duckdb.DuckDBPyConnection, spent: list[dict[str, Any]]) -> None:
        self._inner, self._spent = inner, spent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, sql: str, *given: Any) -> Fetched:
        """Run, and note how long that and the fetching of its rows took."""
        return Fetched(timed(lambda: self._inner.execute(sql, *given), sql, self._spent),
                       self._spent[-1])  # fmt: skip


class Fetched:
    """A result whose fetching is added to its query's time."""

    def __init__(self, inner: Any, noted: dict[str, Any]) -> None:
        self._inner, self._noted = inner, noted

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fetch(*given: Any) -> Any:
            again: list[dict[str, Any]] = []
            found = timed(lambda: getattr(self._inner, name)(*given), name, again)
            for each in ("seconds", "cpu_s"):
                self._noted[each] += again[0][each]
            return found

        return fetch


def timed(call: Callable[[], Any], name: str, spent: list[dict[str, Any]]) -> Any:
    """What a call gives; its seconds are noted under a name."""
    began, cpu = time.perf_counter(), time.process_time()
    found = call()
    spent.append({"query": " ".join(name.split())[:60], "seconds": time.perf_counter() - began,
                  "cpu_s": time.process_time() - cpu})  # fmt: skip
    return found


def notebook(path: Path, state: Path, results: Any) -> None:
    """All code of a notebook in this process, queries timed; the rest of its time is not."""
    import matplotlib

    matplotlib.use("agg")
    spent: list[dict[str, Any]] = []
    space: dict[str, Any] = {}
    cells = json.loads(path.read_text("utf-8"))["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    tree = ast.parse(source.replace('STATE = "../state"', f"STATE = {str(state)!r}"))
    for statement in tree.body:
        exec(compile(ast.Module([statement], []), str(path), "exec"), space)
        if isinstance(statement, ast.ImportFrom):
            _watch(space, spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    results.put({"queries": spent, "memory_mb": peak})


def _watch(space: dict[str, Any], spent: list[dict[str, Any]]) -> None:
    for name in ("connect", *QUERIES):
        plain = space.get(name)
        if plain is None or getattr(plain, "watched", False):
            continue

        def watched(*given: Any, _plain: Any = plain, _name: str = name, **more: Any) -> Any:
            if _name == "connect":
                return Timed(timed(lambda: _plain(*given, **more), _name, spent), spent)
            bare = [getattr(each, "_inner", each) for each in given]
            return timed(lambda: _plain(*bare, **more), _name, spent)

        watched.watched = True  # type: ignore[attr-defined]
        space[name] = watched


def read(path: Path, state: Path) -> dict[str, Any]:
    """A notebook in a process of its own, as a kernel is."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=notebook, args=(path, state, results))
    process.start()
    while process.is_alive() and results.empty():
        process.join(0.1)
    if results.empty():
        raise SystemExit(f"{path.name} failed")
    found: dict[str, Any] = results.get()
    process.join()
    return found


def main() -> None:
    """Print a table, and JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, help="a history of your own")
    parser.add_argument("--decisions", type=int, default=10_000_000, help="to generate")
    parser.add_argument("--only", choices=("reviews", "notebooks"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-reading-") as folder:
        state = given.state or Path(folder) / "state"
        if given.state is None:
            _generate(state, given.decisions)
        told: dict[str, Any] = {"load": os.getloadavg()[0], "bars": BARS}
        if given.only != "notebooks":
            told["reviews"] = {kind: child(state, kind) for kind in REVIEWS}
            for kind, each in told["reviews"].items():
                print(f"{kind:10} {each['seconds']:6.1f} s  {each['cpu_s']:6.1f} s CPU  "
                      f"{each['memory_mb']:6.0f} MB", flush=True)  # fmt: skip
        if given.only != "reviews":
            told["notebooks"] = {}
            for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
                found = told["notebooks"][path.stem] = read(path, state)
                print(f"{path.stem}  {found['memory_mb']:.0f} MB")
                for each in found["queries"]:
                    print(f"  {each['seconds']:6.2f} s  {each['cpu_s']:6.2f} s CPU  "
                          f"{each['query']}", flush=True)  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _generate(state: Path, decisions: int) -> None:
    command = [sys.executable, "-m", "service.cli", "generate-history", "--days", "60",
               "--decisions", str(decisions), "--seed", "7", "--state", str(state)]  # fmt: skip
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
