"""Made traffic of an experiment: units drawn by their shares, rows in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.design import Experiment, Guardrail, Variant
from experiments.metrics import Frame

STEP_US = 10_000_000
TWO = (Variant("control", 0.5), Variant("cheaper", 0.5, (("dial", "0.8"),)))
CANARY = (Variant("control", 0.9), Variant("canary", 0.1, (("dial", "0.8"),)))


def experiment(
    variants: tuple[Variant, ...] = TWO,
    goals: tuple[str, ...] = ("cost_per_request",),
    guardrails: tuple[Guardrail, ...] = (),
    **more: Any,
) -> Experiment:
    return Experiment("trial", "it should help", variants, goals, guardrails, **more)


def traffic(asked: Experiment, rows: int, seed: int, rows_a_unit: float = 1.0) -> Frame:
    """Everybody is treated alike: one request in a hundred fails, three in ten are rated.

    Units have a level of their own, which their rows share.
    """
    rng = np.random.default_rng(seed)
    shares = [each.share for each in asked.variants]
    number = max(1, round(rows / rows_a_unit))
    units = np.arange(rows) if rows_a_unit == 1.0 else np.sort(rng.integers(0, number, rows))
    drawn = rng.choice(len(shares), max(number, rows), p=shares)[units]
    own = rng.normal(0.0, 0.5, max(number, rows))[units]
    nothing = np.full(rows, np.nan)
    found = {
        "unit": np.array([f"u{unit}" for unit in units], dtype=object),
        "variant": np.array([asked.variants[at].name for at in drawn], dtype=object),
        "ts_us": STEP_US * np.arange(rows, dtype=np.int64),
        "share": np.array(shares)[drawn],
        "quality": np.where(rng.random(rows) < 0.3, rng.beta(8, 2, rows), nothing),
        "reward": nothing,
        "status": np.where(rng.random(rows) < 0.01, 503.0, 200.0),
        "cost_micro_usd": np.exp(own + rng.normal(6.0, 0.5, rows)),
        "latency_s": np.exp(own + rng.normal(0.0, 0.5, rows)),
        "ttft_s": np.exp(own + rng.normal(-1.0, 0.5, rows)),
        "served_mode": np.array(["randomised"] * rows, dtype=object),
        "error_kind": np.array([None] * rows, dtype=object),
        "attempts": rng.integers(1, 3, rows).astype(np.float64),
        "tokens_out": rng.integers(1, 500, rows).astype(np.float64),
        "tokens_in": np.exp(own + 4.0),
    }
    # A judge who follows people, and thinks too well of what they dislike.
    meant = np.where(np.isnan(found["quality"]), rng.beta(8, 2, rows), found["quality"])
    found["judged"] = np.clip(0.4 + 0.5 * meant + rng.normal(0.0, 0.05, rows), 0.0, 1.0)
    return found


def of(frame: Frame, variant: str) -> np.ndarray:
    """Which rows are the variant's."""
    return np.asarray(frame["variant"] == variant)


def times(frame: Frame, column: str, factor: float, rows: np.ndarray) -> Frame:
    """The frame with a column multiplied in those rows."""
    return {**frame, column: np.where(rows, factor * frame[column], frame[column])}  # type: ignore[operator]


def failing(frame: Frame, rate: float, rows: np.ndarray, seed: int) -> Frame:
    """The frame with requests failing at that rate in those rows."""
    drawn = np.random.default_rng(seed).random(len(rows)) < rate
    return {**frame, "status": np.where(rows, np.where(drawn, 503.0, 200.0), frame["status"])}


def part(frame: Frame, rows: Any) -> Frame:
    """Those rows alone: a slice, or flags."""
    return {name: column[rows] for name, column in frame.items()}


def looks(frame: Frame, at: Sequence[int]) -> list[Frame]:
    """What stood there at each look."""
    return [part(frame, slice(0, stop)) for stop in at]
