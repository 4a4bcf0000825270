"""What the examples of the library cost and take on simulated deployments, beside the estimates.

Starts simulated providers and a service on loopback. Each example is run some times to be learned
from, estimated, and run as often again: means after, beside the estimate before. ``--write`` puts
them where the pages of the docs are made from.

    python -m benchmarks.workflow_library --runs 20 --write
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import httpx

from benchmarks.processes import KEY, Child, wait_ready
from service.orchestration.workflows.format import LIBRARY, library

ROOT = Path(__file__).parent.parent
FIGURES = LIBRARY / "figures.json"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    providers = Child("-m", "service.cli", "simulate", "--port", "0", "--seed", "11")
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = _served(providers.url, Path(folder), asked)
    finally:
        providers.end()
    print(json.dumps(figures, indent=2))
    if asked.write:
        known = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
        FIGURES.write_text(json.dumps({**known, **figures}, indent=2, sort_keys=True) + "\n")


def _served(providers: str, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    text = (ROOT / "examples" / "simulated.yaml").read_text("utf-8")
    text = text.replace("http://127.0.0.1:9100", providers)
    text = text.replace("console: {enabled: true}", "console: {enabled: false}")
    (folder / "plan.yaml").write_text(text, "utf-8")
    plan, state = str(folder / "plan.yaml"), str(folder / "state")
    service = Child("-m", "service.cli", "serve", "--plan", plan, "--state", state, "--port", "0")
    try:
        wait_ready(service.url)
        names = [asked.only] if asked.only else sorted(library())
        with httpx.Client(base_url=service.url, timeout=300, trust_env=False,
                          headers={"Authorization": f"Bearer {KEY}"}) as http:  # fmt: skip
            found = {name: _measured(http, name, asked.runs) for name in names}
    finally:
        service.end()
    return {name: each for name, each in found.items() if each is not None}


def _measured(http: httpx.Client, name: str, runs: int) -> dict[str, Any] | None:
    example = library()[name].form.example
    body = {"inputs": example.inputs if example is not None else {}}
    before = [_run(http, name, body) for _ in range(runs)]
    told = http.post(f"/v1/workflows/{name}/estimate", json=body)
    told.raise_for_status()
    foreseen = told.json()
    after = [_run(http, name, body) for _ in range(runs)]
    failed = [each for each in (*before, *after) if each["status"] != "done"]
    done = [each for each in after if each["status"] == "done"]
    if failed:
        error = failed[0]["error"]
        print(f"{name}: {len(failed)} of {2 * runs} did not come to their end: {error}")
    if len(done) < runs // 2:
        return None
    return {
        "runs": len(done), "failed": len(failed),
        "calls": statistics.mean(each["usage"]["calls"] for each in done),
        "cost_usd": round(statistics.mean(each["cost_usd"] for each in done), 7),
        "time_s": round(statistics.mean(each["took_s"] for each in done), 3),
        "estimated_usd": round(foreseen["cost_usd"]["mean"], 7),
        "low_usd": round(foreseen["cost_usd"]["low"], 7),
        "high_usd": round(foreseen["cost_usd"]["high"], 7),
        "estimated_s": round(foreseen["time_s"]["mean"], 3),
    }  # fmt: skip


def _run(http: httpx.Client, name: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(f"/v1/workflows/{name}/runs", json=body)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


if __name__ == "__main__":
    main()
