"""A report in a clause: gained, lost, rose, fell, no difference, too few; and its figures."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.analysis import Report, analyse
from experiments.design import Experiment, Variant
from service.experimentation.telling import brief, figures

UNITS = 6_000


def report(gain: float, metric: str = "quality", units: int = UNITS) -> Report:
    rng = np.random.default_rng(3)
    treated = np.arange(units) % 2 == 1
    base = rng.normal(0.6, 0.1, units) if metric == "quality" else rng.normal(900.0, 90.0, units)
    values = base * (1.0 + gain * treated)
    frame = {
        "unit": np.array([f"u{n}" for n in range(units)]),
        "variant": np.where(treated, "treated", "control"),
        "share": np.full(units, 0.5),
        "ts_us": np.arange(units, dtype=np.float64) * 1e6,
        "quality": np.clip(values, 0.0, 1.0) if metric == "quality" else np.full(units, 0.5),
        "cost_micro_usd": values,
        "status": np.full(units, 200.0),
    }
    design = Experiment(
        slug="one", hypothesis="it is as good", goals=(metric,),
        variants=(Variant("control", 0.5), Variant("treated", 0.5, (("deployment", "mill"),))),
    )  # fmt: skip
    return analyse(design, frame)


@pytest.mark.parametrize(
    ("gain", "metric", "units", "said"),
    [
        (0.05, "quality", UNITS, "gained 4."),
        (-0.05, "quality", UNITS, "lost "),
        (0.1, "cost_per_request", UNITS, "cost_per_request rose "),
        (-0.1, "cost_per_request", UNITS, "cost_per_request fell "),
        (0.0, "quality", UNITS, "no difference shown in quality ("),
        (0.0, "quality", 20, "too few data on quality"),
    ],
)
def test_a_report_in_a_clause(gain: float, metric: str, units: int, said: str) -> None:
    found = report(gain, metric, units)
    assert brief(found).startswith(said)
    assert figures(found)["comparisons"][0]["metric"] == metric


def test_invalid_data_are_said_to_be() -> None:
    found = report(0.0)
    object.__setattr__(found, "invalid", ("the shares are not those drawn",))
    assert brief(found) == "its data were invalid"
    assert figures(found)["words"].startswith("the shares are not")
