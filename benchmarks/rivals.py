"""Published routers beside ours on recorded outcomes: same streams, features, prices, one run.

    python -m benchmarks.rivals --outcomes FILE.parquet [--scenarios stationary,quality]
        [--budgets 0.000662,none] [--seeds 10] [--models a,b] [--warm] [--json OUT]

The rivals (ParetoBandit, LinUCB and linear Thompson under its pacer, Vowpal Wabbit) are installed
from the package index into an environment of their own; nothing of them is a dependency.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".rivals"
PACKAGES = (
    "paretobandit==0.1.1", "vowpalwabbit>=9.10", "numpy", "pandas", "pyarrow", "scikit-learn",
    "scipy", "river",
)  # fmt: skip
OURS = "default"


def environment() -> Path:
    """The rivals' interpreter, installed at the first run."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / "ready"
    if not ready.exists():
        print("installing the rivals", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        ready.touch()
    return python


def play(python: Path, request: dict[str, Any]) -> dict[str, Any]:
    """One process plays ours and theirs, the policies of one seed side by side."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    clean |= {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "request.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(request), "utf-8")
        subprocess.run(
            [python, "-m", "benchmarks.rivals_play", asked, answered],
            check=True, cwd=ROOT, env=clean,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(answered.read_text("utf-8"))
        return found


def show(name: str, report: dict[str, Any]) -> None:
    """One question's table, the best first."""
    refs = report["references"]
    print(
        f"\n{name}" + (f", about {report['focus']}" if report["focus"] else "")
        + f": ridge {refs['full_information_ridge']:.4f}, mix {refs['best_static_mix']:.4f}"
    )  # fmt: skip
    for policy, row in sorted(report["policies"].items(), key=lambda item: -item[1]["reward"]):
        low, high = row["reward_ci95"]
        told = f"  {policy:16} {row['reward']:.4f} [{low:.4f}, {high:.4f}]"
        told += f"  spend/budget {row['spend_over_budget']:.3f}" if report["budget_usd"] else ""
        for figure in ("steps_to_halve", "steps_to_give_back", "steps_to_adopt",
                       "reward_first_300", "false_alarms_in_20000"):  # fmt: skip
            if figure in row and (policy == OURS or not figure.startswith("false")):
                told += f"  {figure} {row[figure]:.4g}"
        closed = row["gap_closed"]
        print(told + (f"  gap closed {closed:.0%}" if closed is not None else ""))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--outcomes", type=Path, required=True)
    parser.add_argument("--scenarios", default="stationary")
    parser.add_argument("--budgets", default="none", help="dollars a request, or none")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--models", default="", help="only these of the file")
    parser.add_argument("--focus", default="", help="the model that the scenario is about")
    parser.add_argument("--features", default="svd25")
    parser.add_argument("--warm", action="store_true", help="tell them the unscored prompts first")
    parser.add_argument("--policies", default="", help="all if empty; ours is called default")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    if not o.outcomes.exists():
        raise SystemExit(f"{o.outcomes} is not there; recorded outcomes are no part of the project")
    policies = [name for name in o.policies.split(",") if name]
    if o.warm and not policies:
        policies = [OURS, "paretobandit", "linucb+pacer", "thompson+pacer"]
    request = {
        "outcomes": str(o.outcomes.resolve()),
        "models": [name for name in o.models.split(",") if name],
        "scenarios": o.scenarios.split(","),
        "budgets": [None if b == "none" else float(b) for b in o.budgets.split(",")],
        "features": o.features, "focus": o.focus, "seeds": o.seeds, "warm": o.warm,
        "policies": policies or [OURS, "paretobandit", "linucb+pacer", "thompson+pacer",
                                 "vw_squarecb", "vw_cover", "vw_regcb"],
    }  # fmt: skip
    found = play(environment(), request)
    for name, report in found.items():
        show(name, report)
    if o.json:
        o.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
