"""How well requests are classified, by what people said of those that were drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.errors import CannotSay
from experiments.statistics.selective import (
    Drawn,
    ErrorRate,
    calibration_error,
    confusion,
    coverage_curve,
    error_rate,
)
from service.domain.lots import lot
from service.domain.reviews import DISMISS, Turn


def drawn_of(row: Mapping[str, Any]) -> Drawn:
    """A row of ``ReviewItems.labels``."""
    decided = row["turn"] == Turn.DECIDED and row["verdict"] != DISMISS
    return Drawn(
        row["guess"], row["verdict"] if decided else None, row["confidence"], row["probability"],
        lot(row["decision_id"]),
    )  # fmt: skip


def report(rows: Sequence[Mapping[str, Any]], threshold: float | None) -> dict[str, Any]:
    """What can be said of the classification; ``threshold`` None: nobody is asked now."""
    drawn = [drawn_of(row) for row in rows]
    labelled = [each for each in drawn if each.label is not None]
    accepted = [each for each in drawn if threshold is not None and each.confidence >= threshold]
    guesses = sorted({each.guess for each in drawn})
    ece = calibration_error(drawn)
    return {
        "threshold": threshold,
        "asked": len(drawn),
        "labelled": len(labelled),
        "defaulted": sum(row["turn"] == Turn.DEFAULTED for row in rows),
        "dismissed": sum(row["verdict"] == DISMISS for row in rows),
        "open": sum(row["turn"] is None for row in rows),
        "accepted": _rate(error_rate(accepted)),
        "tasks": [
            {"guess": guess} | _rate(error_rate([each for each in drawn if each.guess == guess]))
            for guess in guesses
        ],
        "confusion": [
            {"guess": guess, "label": label, "requests": weight, "labels": n}
            for (guess, label), (weight, n) in confusion(drawn).items()
        ],
        "coverage": [
            {"threshold": p.threshold, "coverage": p.coverage, "error": p.error,
             "labels": p.labels}
            for p in coverage_curve(drawn)
        ],
        "calibration_error": None if isinstance(ece, CannotSay) else ece,
    }  # fmt: skip


def _rate(found: ErrorRate | CannotSay) -> dict[str, Any]:
    if isinstance(found, CannotSay):
        return {"labels": 0, "errors": 0, "cannot_say": str(found)}
    return {
        "labels": found.n, "errors": found.errors, "missing": found.missing, "error": found.rate,
        "low": found.low, "high": found.high, "upper": found.upper,
        "upper_worst": found.upper_worst, "cannot_say": None,
    }  # fmt: skip
