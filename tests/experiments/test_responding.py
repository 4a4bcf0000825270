"""Who rates, by variant: told always, and warned of where the shares differ."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.analysis import analyse
from experiments.arms import expose
from experiments.design import Unit
from experiments.metrics import Frame
from experiments.responding import Responses, responses
from experiments.switchback import Blocks
from tests.experiments.statistics.looks import allowed
from tests.experiments.traffic import experiment, of, part, traffic

ASKED = experiment(goals=("judged_quality",))


def told(frame: Frame) -> Responses:
    found = responses(ASKED, expose(ASKED, frame))
    assert found is not None
    return found


def fewer(frame: Frame, column: str, kept: float, seed: int = 0) -> Frame:
    """Of the treatment only a part of what there was."""
    lost = of(frame, "cheaper") & (np.random.default_rng(seed).random(len(frame["unit"])) > kept)
    return {**frame, column: np.where(lost, np.nan, frame[column])}


def test_the_rates_by_hand() -> None:
    """First answers of units: a second rating of a unit, and an answer that failed, count not."""
    nan = float("nan")
    frame: Frame = {
        "unit": np.array(["a", "a", "b", "c", "d"], dtype=object),
        "variant": np.array(["control", "control", "control", "cheaper", "cheaper"], dtype=object),
        "ts_us": np.arange(5), "status": np.array([200.0, 200.0, 200.0, 503.0, 200.0]),
        "quality": np.array([nan, 0.5, 0.7, nan, 0.9]), "judged": np.array([0.5, 0.5, nan, nan, 1]),
    }  # fmt: skip
    control, cheaper = told(frame).variants
    assert (control.answers, control.rated, control.judged) == (2, 1, 1)
    assert (cheaper.answers, cheaper.rated, cheaper.judged) == (1, 1, 1)


@pytest.mark.parametrize(
    ("column", "kept", "said"),
    [("quality", 0.5, "people rated different shares"), ("quality", 0.0, "cheaper 0.0%"),
     ("judged", 0.5, "the judge scored different shares")],
)  # fmt: skip
def test_uneven_rates_are_warned_of_in_the_report(column: str, kept: float, said: str) -> None:
    frame = traffic(ASKED, 3_000, 1, rows_a_unit=2.0)
    calm = analyse(ASKED, frame)
    assert calm.responses is not None and not calm.responses.caveats
    assert any("like the others" in each for each in calm.caveats)
    report = analyse(ASKED, fewer(frame, column, kept))
    (caveat,) = [each for each in report.caveats if "different shares" in each]
    assert said in caveat and "evidence e^" in caveat
    shown = report.to_dict()["responses"]["variants"]
    assert [each["variant"] for each in shown] == ["control", "cheaper"]


def test_even_rates_are_not_warned_of() -> None:
    """100 seeded streams of sessions at 8 looks, at a level of 0.1 %: at most that + 3 deviations,
    one in a hundred.
    """
    warned = 0
    for seed in range(100):
        frame = traffic(ASKED, 1_600, 300 + seed, rows_a_unit=2.0)
        warned += any(
            told(part(frame, slice(0, stop))).caveats for stop in range(200, 1_601, 200)
        )  # fmt: skip
    assert warned / 100 <= allowed(0.001, 100)


def test_where_nothing_stands_on_ratings_nothing_is_told() -> None:
    frame = traffic(ASKED, 200, 2)
    other = experiment(goals=("latency_mean",))
    assert responses(other, expose(other, frame)) is None
    bare = {name: column for name, column in frame.items() if name != "status"}
    quality = experiment(goals=("quality",))
    assert responses(quality, expose(quality, bare)) is None
    without = {name: column for name, column in frame.items() if name != "judged"}
    found = responses(quality, expose(quality, without))
    assert found is not None and {each.judged for each in found.variants} == {0}
    switch = experiment(goals=("quality",), unit=Unit.BLOCK, blocks=Blocks("trial/1", 0))
    assert responses(switch, expose(switch, frame)) is None
