"""Which detector of change: delay at an equal rate of false alarms, on standardised residuals.

    python -m benchmarks.detectors [--streams 60] [--length 20000] [--json OUT]

Each detector is tuned on a small grid to the quickest setting with at most one false alarm in
20,000 observations over all kinds of residuals; then shifts of a quarter to two deviations are
made and the observations until the alarm are counted (a miss counts as the 2,000 that are tried).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from river.drift import ADWIN, PageHinkley

from learning.drift import Cusum

SHIFTS = (0.25, 0.5, 1.0, 2.0)
AFTER, BEFORE = 2_000, 500
ALLOWED = 1.0  # false alarms in 20,000
Push = Callable[[float], bool]


def cusum(drift: float, threshold: float) -> Push:
    """Ours: two-sided, clipped."""
    held = Cusum.of(1, drift, threshold)

    def push(value: float) -> bool:
        alarm = held.push(0, value) is not None
        if alarm:
            held.rest(0)
        return alarm

    return push


def adwin(delta: float) -> Push:
    """River's adaptive windowing (Bifet and Gavalda 2007), looking at every fourth value."""
    held = ADWIN(delta=delta, clock=4, grace_period=10)

    def push(value: float) -> bool:
        held.update(0.5 + value / 12.0)  # it expects [0, 1]
        return bool(held.drift_detected)

    return push


def page_hinkley(drift: float, threshold: float) -> Push:
    """River's Page-Hinkley test, both sides."""
    held = PageHinkley(min_instances=30, delta=drift, threshold=threshold, alpha=1.0, mode="both")

    def push(value: float) -> bool:
        held.update(min(3.0, max(-3.0, value)))
        return bool(held.drift_detected)

    return push


GRIDS: dict[str, list[tuple[Callable[..., Push], tuple[float, ...]]]] = {
    "cusum": [(cusum, (k, h)) for k in (0.25, 0.35, 0.5) for h in (10.0, 12.0, 14.0, 17.0, 20.0)],
    "adwin": [(adwin, (d,)) for d in (0.05, 0.01, 0.002, 1e-4, 1e-6)],
    "page_hinkley": [
        (page_hinkley, (k, h)) for k in (0.25, 0.35, 0.5) for h in (12.0, 17.0, 25.0, 40.0, 60.0)
    ],
}


def residuals(kind: str, rng: np.random.Generator, count: int, shift: float) -> np.ndarray:
    """Standardised residuals whose mean has moved by ``shift`` deviations."""
    if kind == "normal":
        return rng.standard_normal(count) - shift
    if kind == "thumbs":  # yes or no, seven of ten yes
        rate = max(0.02, 0.7 - shift * np.sqrt(0.21))
        return (((rng.random(count) < rate) - 0.7) / np.sqrt(0.21)).astype(float)
    heavy = rng.beta(6.0, 0.7, count)  # good answers, now and then a bad one
    mean, deviation = 6.0 / 6.7, np.sqrt(6.0 * 0.7 / (6.7**2 * 7.7))
    return np.asarray((heavy - mean) / deviation - shift)


KINDS = ("normal", "thumbs", "skewed")


def false_alarms(make: Callable[[], Push], streams: int, length: int) -> float:
    """In 20,000 observations, the worst kind's."""
    worst = 0.0
    for kind in KINDS:
        count = 0
        for seed in range(streams // len(KINDS)):
            push, rng = make(), np.random.default_rng([seed, 1])
            count += sum(push(float(v)) for v in residuals(kind, rng, length, 0.0))
        worst = max(worst, 20_000.0 * count / (length * (streams // len(KINDS))))
    return worst


def delays(make: Callable[[], Push], streams: int, shift: float) -> Iterator[int]:
    """Observations from the change to the alarm."""
    for kind in KINDS:
        for seed in range(streams // len(KINDS)):
            push, rng = make(), np.random.default_rng([seed, 2])
            for value in residuals(kind, rng, BEFORE, 0.0):
                push(float(value))
            changed = residuals(kind, rng, AFTER, shift)
            found = (at + 1 for at, value in enumerate(changed) if push(float(value)))
            yield next(found, AFTER)


def tune(name: str, streams: int, length: int) -> dict[str, Any]:
    """The quickest setting that is silent enough, and its delays with 95 % intervals."""
    best: dict[str, Any] = {}
    for maker, setting in GRIDS[name]:

        def make(maker: Callable[..., Push] = maker, s: tuple[float, ...] = setting) -> Push:
            return maker(*s)

        rate = false_alarms(make, streams, length)
        print(f"  {name} {setting}: {rate:.2f} false alarms in 20,000", file=sys.stderr)
        if rate > ALLOWED:
            continue
        found = {}
        for shift in SHIFTS:
            values = np.array(list(delays(make, streams, shift)), dtype=float)
            found[shift] = (values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(len(values)))
        if not best or found[1.0][0] < best["delays"][1.0][0]:
            best = {"setting": setting, "false_alarms_in_20000": rate, "delays": found}
    return best


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--length", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    report = {name: tune(name, o.streams, o.length) for name in GRIDS}
    print(f"{'detector':14}{'setting':>20}{'false':>7}" + "".join(f"{s:>16} sd" for s in SHIFTS))
    for name, row in report.items():
        told = "".join(f"{m:>12.0f} +-{e:4.0f}" for m, e in row["delays"].values()) if row else ""
        setting = str(row.get("setting", "none silent enough"))
        print(f"{name:14}{setting:>20}{row.get('false_alarms_in_20000', 0):>7.2f}{told}")
    if o.json:
        o.json.write_text(json.dumps(report, indent=1, default=str))


if __name__ == "__main__":
    main()
