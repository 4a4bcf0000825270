"""What publishing costs the service, and how long each view's typical query takes.

python -m benchmarks.publication                       some five minutes
python -m benchmarks.publication --only publishing --hours 0.5
python -m benchmarks.publication --only queries --decisions 1000000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.published_rows import make_history
from service.domain.clock import new_id
from service.domain.records import (
    Attempt,
    Caller,
    Candidates,
    Decision,
    Feedback,
    Mode,
    Outcome,
    PolicyMark,
    Role,
    Update,
    Usage,
    Weight,
)
from service.storage.database import FILE, Database
from service.storage.history import Publisher, connect
from service.storage.manifest import FOLDER, read_manifest
from service.storage.tables import TABLES

EVERY_S = 30.0
RATE = 200  # requests a second
ARMS = ("small", "middle", "large", "other")
FEATURES = 64
QUERIES = {
    "rounds": "SELECT task, served, count(*), avg(cost_usd), avg(quality) FROM rounds GROUP BY ALL",
    "rounds, a week": "SELECT ts::DATE, task, served, count(*), avg(reward), "
    "quantile_cont(latency_s, 0.95) FROM rounds WHERE ts >= (SELECT max(ts) FROM decisions) "
    "- INTERVAL 7 DAY GROUP BY ALL",
    "ratings": "SELECT metric, kind, count(*), avg(quality) FROM ratings GROUP BY ALL",
    "response_rates": "SELECT deployment, sum(rated) / sum(answers) FROM response_rates GROUP BY 1",
    "spend": "SELECT hour::DATE, deployment, sum(usd) FROM spend GROUP BY ALL",
    "spend by task, tenant, feature": "SELECT task, tenant, feature, sum(usd) FROM spend "
    "GROUP BY ALL",
    "spend_by_tag": "SELECT tag, sum(usd) FROM spend_by_tag GROUP BY 1",
    "sessions": "SELECT held, count(*), avg(turns), avg(cost_usd) FROM sessions GROUP BY 1",
    "weights_over_time": "SELECT task, deployment, why, count(*) FROM weights_over_time "
    "WHERE abs(moved) > 0.02 GROUP BY ALL",
    "drift_events": "SELECT deployment, kind, count(*) FROM drift_events GROUP BY ALL",
    "fallbacks": "SELECT failed, tried, error_kind, count(*), sum(lost_s) FROM fallbacks "
    "GROUP BY ALL",
    "breaker_episodes": "SELECT * FROM breaker_episodes ORDER BY opened",
    "overrides_in_time": "SELECT * FROM overrides_in_time ORDER BY starts_at",
    "experiments_in_time": "SELECT * FROM experiments_in_time",
    "exposures": "SELECT experiment, variant, count(*), count(DISTINCT unit) FROM exposures "
    "GROUP BY ALL",
    "rollbacks": "SELECT * FROM rollbacks",
    "versions_in_time": "SELECT * FROM versions_in_time",
}  # fmt: skip


class Traffic:
    """Rows of requests as the service would write them, straight into a live file."""

    def __init__(self, database: Database, seed: int = 1) -> None:
        self._database, self._rng, self._update = database, np.random.default_rng(seed), 0

    def write(self, requests: int, at_s: float) -> int:
        """The rows of half a minute; how many."""
        rng, rows = self._rng, {table.name: [] for table in TABLES.values()}
        tables = {table.name: table for table in TABLES.values()}
        for number in range(requests):
            at_us = int((at_s + EVERY_S * number / requests) * 1e6)
            for record in self._request(rng, at_us):
                table = TABLES[type(record)]
                rows[table.name].append(table.row(record))
        batches = {}
        for name, each in rows.items():
            if each:
                batches[name] = tables[name].batch(each, self._database.last_seq + 1)
                self._database.last_seq += len(each)
        self._database.write(batches)
        return sum(map(len, rows.values()))

    def _request(self, rng: np.random.Generator, at_us: int) -> list[object]:
        propensities = rng.dirichlet(np.ones(len(ARMS)))
        drawn = int(rng.choice(len(ARMS), p=propensities))
        told = [tuple(rng.random(len(ARMS)).tolist()) for _ in range(5)]
        decision = Decision(
            id=new_id(), at_us=at_us,
            caller=Caller("key", f"tenant{rng.integers(5)}", "basic", "search", ("a",),
                          f"unit{rng.integers(100_000)}", f"s{rng.integers(100_000)}"),
            task=f"task{rng.integers(4)}", task_confidence=1.0, task_source="rule",
            prompt_hash=f"{rng.integers(1 << 62):016x}",
            features=rng.random(FEATURES).astype(np.float32), tokens_in=int(rng.integers(2_000)),
            tokens_out_limit=0, cost_dial=1.0, stream=False,
            candidates=Candidates(ARMS, tuple(propensities.tolist()), *told), disqualified=(),
            draw=float(rng.random()), deployment=ARMS[drawn],
            propensity=float(propensities[drawn]), mode=Mode.RANDOMISED, reason="policy",
            policy=PolicyMark("default", "v1", "c1", self._update),
        )  # fmt: skip
        usage = Usage(decision.tokens_in, int(rng.integers(900)), 0, int(rng.lognormal(6.0, 1.0)))
        latency_s = float(rng.lognormal(0.0, 0.5))
        outcome = Outcome(decision.id, at_us, ARMS[drawn], Mode.RANDOMISED, 200, None, latency_s,
                          None, 0.001, 1, usage)  # fmt: skip
        call = Attempt(decision.id, 1, at_us, ARMS[drawn], "provider", Role.FIRST, 200, None, None,
                       latency_s, usage)  # fmt: skip
        self._update += 1
        update = Update(self._update, at_us, decision.id, at_us, ARMS[drawn], "outcome", None, None,
                        usage.cost_micro_usd / 1e6, latency_s, usage.tokens_out, False, None,
                        "v1")  # fmt: skip
        made: list[object] = [decision, call, outcome, update]
        if rng.random() < 0.2:
            self._update += 1
            value = float(rng.random())
            made.append(Feedback(new_id(), decision.id, at_us, "rating", "user", "key", value, None,
                                 value, ARMS[drawn], None, None, "", ()))  # fmt: skip
            made.append(replace(update, seq=self._update, kind="rating", quality=value))
        if rng.random() < 0.001:
            made.append(Weight(at_us, decision.task, ARMS[drawn], 0.3, 0.5, 1e-4, 1.0, 0.01, 0.4,
                               32, self._update, "others moved"))  # fmt: skip
        return made


def publishing(hours: float) -> dict[str, float]:
    """CPU seconds of publishing for each second of service at ``RATE``, over some hours of a day,
    and what closing that day takes.
    """
    turns = int(hours * 3_600.0 / EVERY_S)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        database = Database(state / FILE)
        traffic, publisher = Traffic(database), Publisher(database, state)
        start_s = time.time() // 86_400.0 * 86_400.0 - 10 * 86_400.0
        costs, walls, rows = [], [], 0
        for turn in range(turns):
            at_s = start_s + turn * EVERY_S
            rows += traffic.write(int(RATE * EVERY_S), at_s)
            cpu, wall = time.process_time(), time.perf_counter()
            publisher.publish(database.last_seq, at_s + EVERY_S)
            costs.append(time.process_time() - cpu)
            walls.append(time.perf_counter() - wall)
        files = sum(map(len, read_manifest(state).files.values()))
        cpu = time.process_time()
        publisher.publish(database.last_seq, start_s + 90_000.0)
        closing = time.process_time() - cpu
        size = sum(path.stat().st_size for path in (state / FOLDER).rglob("*.parquet"))
        database.close()
    return {
        "turns": turns, "rows": rows, "share of a core": sum(costs) / (turns * EVERY_S),
        "worst turn, s": max(walls), "median turn, s": float(np.median(walls)),
        "files of the open day": files, "closing, share of a core": closing / (turns * EVERY_S),
        "bytes a request": size / (turns * EVERY_S * RATE),
    }  # fmt: skip


def query_alone(state: Path, name: str) -> dict[str, float]:
    """One query in this process: seconds to open, to answer; peak resident megabytes."""
    begun = time.perf_counter()
    connection = connect(state)
    connection.execute("SET threads = 2")
    opened, cpu = time.perf_counter(), time.process_time()
    rows = len(connection.execute(QUERIES[name]).fetchall())
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return {"open, s": opened - begun, "answer, s": ended - opened, "CPU, s": cpu,
            "peak, MB": peak, "rows": rows}  # fmt: skip


def queries(state: Path) -> None:
    """Every view's typical query, each in a process of its own."""
    for name in QUERIES:
        command = [sys.executable, "-m", "benchmarks.publication", "--query", name, "--state",
                   str(state)]  # fmt: skip
        found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if found.returncode:
            sys.stdout.write(f"{name:32s} failed: {found.stderr.strip().splitlines()[-1]}\n")
            continue
        told = json.loads(found.stdout)
        figures = "  ".join(f"{what} {value:8.2f}" for what, value in told.items())
        sys.stdout.write(f"{name:32s} {figures}\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("publishing", "queries"))
    parser.add_argument("--hours", type=float, default=1.0, help="of publishing")
    parser.add_argument("--decisions", type=int, default=10_000_000, help="of the long history")
    parser.add_argument(
        "--state", type=Path, help="a history that is there, rather than a made one"
    )
    parser.add_argument("--query", help="run this one alone")
    asked = parser.parse_args()
    if asked.query:
        json.dump(query_alone(asked.state, asked.query), sys.stdout)
        return
    if asked.only != "queries":
        for what, value in publishing(asked.hours).items():
            sys.stdout.write(f"{what:32s} {value:12.5g}\n")
    if asked.only != "publishing":
        if asked.state is not None:
            queries(asked.state)
            return
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            make_history(Path(folder), asked.decisions)
            sys.stdout.write(f"made in {time.perf_counter() - begun:.0f} s\n")
            queries(Path(folder))


if __name__ == "__main__":
    main()
