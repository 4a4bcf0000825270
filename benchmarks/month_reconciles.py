"""A made-up month's ledger held against its provider's bill, to the micro-dollar.

    python -m benchmarks.month_reconciles [--decisions 200000] [--seed 7] [--month 2026-10]
        [--keep DIR] [--json OUT]

`headgate generate-history` makes the month (an outage, a change of price in the middle, failures,
fallbacks and calls that broke off among it). The bill is made from the same calls by other means:
the published Parquet read without the views, each call priced from its tokens in exact decimals by
the plan's prices and the stated change, rounded half up once a call, and added up by day and
deployment. Then `headgate ledger reconcile` compares. To see that it would notice, the bill is
spoilt by one micro-dollar in one line, and by one call that is left out: both must be told, each by
its own amount. Exit 1 where any of it fails.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

MICRO = Decimal(1_000_000)
COLUMNS = (
    "ts",
    "latency_s",
    "deployment",
    "tokens_in",
    "tokens_out",
    "error_kind",
    "cost_micro_usd",
)


@dataclass(frozen=True)
class Line:
    """Of a day and a deployment."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    micro_usd: Decimal = Decimal(0)


def headgate(*arguments: str) -> tuple[int, str]:
    """A command's exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments], capture_output=True, text=True,
        check=False, timeout=1_800,
    )  # fmt: skip
    if done.returncode and not done.stdout:
        raise SystemExit(done.stderr)
    return done.returncode, done.stdout


def month(text: str) -> tuple[int, str]:
    """How many days it has, and the first day of the next."""
    begin = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    after = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return (after - begin).days, after.date().isoformat()


def prices(state: Path) -> dict[str, tuple[Decimal, Decimal]]:
    """Dollars a million tokens, in and out, as the plan says them."""
    plan = yaml.safe_load((state / "plan.yaml").read_text("utf-8"))
    return {
        each["name"]: (Decimal(str(each["price"]["input_usd_per_mtok"])),
                       Decimal(str(each["price"]["output_usd_per_mtok"])))
        for each in plan["deployments"]
    }  # fmt: skip


def changed(state: Path) -> tuple[str, int, Decimal]:
    """Whose price changed, until when it was another, and how many times today's that was."""
    events = json.loads((state / "generated.json").read_text("utf-8"))["events"]
    (event,) = (each for each in events if "price" in each["kind"])
    times = (1 / Decimal(str(event["size"]))).quantize(Decimal("1e-9"))
    return event["deployment"], event["begins_us"], times


def bill(state: Path) -> tuple[dict[tuple[str, str], Line], dict[str, int]]:
    """By day and deployment, from the calls' tokens; and what kinds of calls there were."""
    asked, (mover, until_us, times) = prices(state), changed(state)
    micro = Decimal("1e-6")  # a price is a whole number of micro-dollars
    earlier = asked | {mover: tuple((each * times).quantize(micro) for each in asked[mover])}
    sums: dict[tuple[str, str], Line] = defaultdict(Line)
    seen = {"calls": 0, "failed": 0, "billed though failed": 0}
    for path in sorted((state / "history" / "attempts").rglob("*.parquet")):
        rows = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
        for row in rows:
            at: datetime = row["ts"].replace(tzinfo=UTC)
            began_us = at.timestamp() * 1e6 - row["latency_s"] * 1e6  # prices hold from the start
            into, out = (earlier if began_us < until_us else asked)[row["deployment"]]
            units = row["tokens_in"] * into + row["tokens_out"] * out
            cost = units.quantize(Decimal(1), ROUND_HALF_UP)
            key = at.date().isoformat(), row["deployment"]
            old = sums[key]
            sums[key] = Line(old.requests + 1, old.tokens_in + row["tokens_in"],
                             old.tokens_out + row["tokens_out"], old.micro_usd + cost)  # fmt: skip
            seen["calls"] += 1
            seen["failed"] += row["error_kind"] is not None
            seen["billed though failed"] += row["error_kind"] is not None and cost > 0
    return dict(sums), seen


def write(path: Path, sums: dict[tuple[str, str], Line]) -> None:
    """As a provider exports it, in dollars."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["date", "model", "input_tokens", "output_tokens", "n_requests", "cost_usd"])
        for (day, model), line in sorted(sums.items()):
            cost = f"{line.micro_usd / MICRO:.6f}"
            out.writerow([day, model, line.tokens_in, line.tokens_out, line.requests, cost])


def reconciled(path: Path, state: Path) -> tuple[int, dict[str, Any]]:
    """What `headgate ledger reconcile` says."""
    code, said = headgate("ledger", "reconcile", str(path), "--state", str(state), "--json")
    return code, json.loads(said)


def spoilt(sums: dict[tuple[str, str], Line]) -> dict[str, tuple[dict[tuple[str, str], Line], int]]:
    """Bills that are wrong, and by how many micro-dollars."""
    key = max(sums, key=lambda each: sums[each].micro_usd)
    one = sums[key]
    mean = (one.micro_usd / one.requests).quantize(Decimal(1))
    more = Line(one.requests, one.tokens_in, one.tokens_out, one.micro_usd + 1)
    less = Line(one.requests - 1, one.tokens_in, one.tokens_out, one.micro_usd - mean)
    return {"a micro-dollar more": (sums | {key: more}, 1),
            "a call left out": (sums | {key: less}, -int(mean))}  # fmt: skip


def measure(state: Path, decisions: int, seed: int, of: str) -> dict[str, Any]:
    """Make the month and compare."""
    days, until = month(of)
    headgate("generate-history", "--days", str(days), "--decisions", str(decisions), "--seed",
             str(seed), "--until", until, "--state", str(state), "--json")  # fmt: skip
    started = time.perf_counter()
    sums, seen = bill(state)
    billed_s = time.perf_counter() - started
    file = state / "provider.csv"
    write(file, sums)
    started = time.perf_counter()
    code, found = reconciled(file, state)
    lines = found["lines"]
    off = [abs(Decimal(str(each["off_micro_usd"] or 0))) for each in lines]
    told: dict[str, Any] = {
        **seen, "lines": len(lines), "exit": code, "theirs_micro_usd": found["theirs"],
        "ours_micro_usd": found["ours"], "lines_off": sum(each > 0 for each in off),
        "off_micro_usd": float(sum(off)), "within": found["within"],
        "bill_s": round(billed_s, 1), "reconcile_s": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    noticed = {}
    for name, (wrong, by) in spoilt(sums).items():
        write(file, wrong)
        _, after = reconciled(file, state)
        apart = sum(bool(each["off_micro_usd"]) for each in after["lines"])
        noticed[name] = {
            "put_in": by, "found": after["theirs"] - found["theirs"], "lines_off": apart,
        }  # fmt: skip
    write(file, sums)
    told["noticed"] = noticed
    told["reconciles"] = (
        code == 0 and not any(off) and bool(lines) and found["theirs"] == found["ours"]
        and all(each["found"] == each["put_in"] and each["lines_off"] == 1
                for each in noticed.values())
    )  # fmt: skip
    return told


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decisions", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--month", default="2026-10")
    parser.add_argument("--keep", type=Path, help="make the history there, and leave it")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-month-") as name:
        state = asked.keep or Path(name) / "state"
        told = measure(state, asked.decisions, asked.seed, asked.month)
    text = json.dumps(told, indent=2)
    sys.stdout.write(text + "\n")
    if asked.json is not None:
        asked.json.write_text(text + "\n", "utf-8")
    if not told["reconciles"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
