"""Rows are told apart by unit and variant, and a frame of something else is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.arms import arm_of, expose
from experiments.design import Unit
from experiments.errors import ExperimentError
from experiments.metrics import METRICS, Frame
from experiments.switchback import Blocks
from tests.experiments.traffic import experiment, part, traffic

HAND: Frame = {
    **part(traffic(experiment(), 6, 0), slice(0, 6)),
    "unit": np.array(["b", "a", "b", "c", "a", "c"], dtype=object),
    "variant": np.array(["control", "cheaper", "control", "control", "cheaper", "cheaper"],
                        dtype=object),
    "latency_s": np.array([np.nan, 2.0, 3.0, 4.0, 5.0, 6.0]),
}  # fmt: skip


def test_arms_by_hand() -> None:
    """b is the control's, a the treatment's, c saw both."""
    exposure = expose(experiment(), HAND)
    assert exposure.units.tolist() == [0, 1, 0, 2, 1, 2]
    assert exposure.crossed == ("c",) and exposure.kept.tolist() == [True] * 3 + [
        False,
        True,
        False,
    ]
    assert (exposure.units_of(0), exposure.units_of(1)) == (1, 1)
    assert (exposure.rows_of(0), exposure.rows_of(1)) == (2, 2)
    assert exposure.first_us == 0 and exposure.last_us == 50_000_000
    assert exposure.days == pytest.approx(50 / 86_400)
    measured = METRICS["latency_mean"].measure(HAND)
    control, treatment = arm_of(exposure, measured, 0), arm_of(exposure, measured, 1)
    assert control.rows.tolist() == [2] and control.first().tolist() == [3.0]
    assert treatment.values.tolist() == [2.0, 5.0] and treatment.first().tolist() == [2.0]
    assert treatment.sums().numerator.tolist() == [7.0]
    assert treatment.sums().denominator.tolist() == [2.0] and treatment.number == 1
    assert treatment.since(4).values.tolist() == [5.0]
    assert arm_of(exposure, measured, 1, whole=True).number == 2


def test_nothing_is_a_frame_too() -> None:
    exposure = expose(experiment(), part(HAND, slice(0, 0)))
    assert len(exposure) == 0 and exposure.days == 0.0 and exposure.units_of(0) == 0
    assert exposure.first_us is None and exposure.last_us is None


def test_rows_of_blocks_are_kept_where_the_schedule_was() -> None:
    plan = Blocks("trial/1", 0, 10, 0)
    asked = experiment(unit=Unit.BLOCK, blocks=plan)
    due = [plan.treated(block) for block in range(6)]
    names = np.array(["cheaper" if treated else "control" for treated in due], dtype=object)
    exposure = expose(asked, {**HAND, "variant": names})
    assert exposure.kept.all() and exposure.crossed == ()
    names[2] = "control" if due[2] else "cheaper"
    off = expose(asked, {**HAND, "variant": names})
    assert np.flatnonzero(~off.kept).tolist() == [2]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("ts_us", np.array([0, 1, 3, 2, 5, 6]), "ts_us runs back after row 2"),
        ("variant", np.array(["control", "dearer"] * 3, dtype=object),
         "variant of row 1 is 'dearer': give rows of control, cheaper only"),
        ("unit", np.array(["a", None] * 3, dtype=object), "unit of row 1 is None"),
        ("unit", np.array(["a", ""] * 3, dtype=object), "unit of row 1 is ''"),
        ("share", np.ones(5), "differ in length"),
        ("unit", None, "lacks unit"),
    ],
)  # fmt: skip
def test_what_is_no_frame_of_it_is_refused(column: str, value: Any, told: str) -> None:
    frame = {name: each for name, each in HAND.items() if name != column}
    with pytest.raises(ExperimentError, match=told):
        expose(experiment(), frame if value is None else {**frame, column: value})
