"""Slopes from before the experiment: narrower intervals, the level kept, nothing adjusted away."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.analysis import Options, analyse
from experiments.arms import arm_of, expose
from experiments.comparing import Estimate, Setting, compare
from experiments.design import Guardrail
from experiments.errors import ExperimentError
from experiments.findings import Compared
from experiments.metrics import METRICS, Frame
from experiments.slopes import LEAST_UNITS, adjustable, at_first, judge_scale, slopes
from experiments.statistics.fixed_horizon import Covaried, cuped
from tests.experiments.statistics.looks import allowed
from tests.experiments.traffic import experiment, of, part, traffic

ASKED = experiment(
    goals=("latency_mean", "cost_per_request"), guardrails=(Guardrail("attempts"),),
    covariate="tokens_in",
)  # fmt: skip


def foretold(rows: int, seed: int, rows_a_unit: float = 1.0) -> Frame:
    """Traffic whose latency is what its first prompt foretells and a little noise."""
    frame = dict(traffic(ASKED, rows, seed, rows_a_unit))
    units = np.unique(frame["unit"], return_inverse=True)[1]
    first = at_first(units, np.asarray(frame["tokens_in"], dtype=np.float64))
    noise = np.random.default_rng(seed + 1_000).normal(1.0, 0.3, rows)
    frame["latency_s"] = np.clip(0.02 * first + noise, 0.0, None)
    return frame


def latency(frame: Frame, theta: dict[str, float]) -> Compared:
    return analyse(ASKED, frame, Options(theta=theta)).comparisons[0]


def test_the_slope_is_the_pooled_one_of_units() -> None:
    before = foretold(2_000, 1)
    found = slopes(ASKED, before)
    assert list(found) == ["latency_mean", "attempts"] == list(adjustable(ASKED))
    x, y = (np.asarray(before[name], dtype=np.float64) for name in ("tokens_in", "latency_s"))
    assert found["latency_mean"] == pytest.approx(np.polyfit(x, y, 1)[0])
    assert found["latency_mean"] == pytest.approx(0.02, rel=0.05)
    both = Covaried(y, x)
    told = cuped(both, both)
    assert not isinstance(told, Exception) and told.theta == pytest.approx(found["latency_mean"])
    twice = {name: np.repeat(column, 2) for name, column in before.items()}
    assert slopes(ASKED, twice) == pytest.approx(found)


def test_a_units_first_request_tells_and_later_ones_do_not() -> None:
    units = np.array([0, 1, 0, 1, 2])
    known = at_first(units, np.array([5.0, np.nan, 50.0, 7.0, 3.0]))
    assert known.tolist()[:1] + known.tolist()[2:3] == [5.0, 5.0] and known[4] == 3.0
    assert np.isnan(known[[1, 3]]).all()


def test_an_effect_on_later_prompts_is_not_adjusted_away() -> None:
    """Longer answers make the next prompt longer, and waiting with it: adjusted by each row's own
    tokens the effect would be gone; by those of the first request it stays.
    """
    frame = foretold(4_000, 2, rows_a_unit=4.0)
    units = np.unique(frame["unit"], return_inverse=True)[1]
    _, firsts = np.unique(units, return_index=True)
    later = of(frame, "cheaper") & ~np.isin(np.arange(4_000), firsts)
    longer = {
        **frame,
        "tokens_in": np.where(later, np.asarray(frame["tokens_in"]) + 50.0, frame["tokens_in"]),
        "latency_s": np.where(later, np.asarray(frame["latency_s"]) + 1.0, frame["latency_s"]),
    }
    found = latency(longer, {"latency_mean": 0.02})
    assert found.effect is not None and found.effect.low > 0.5
    exposure, measured = expose(ASKED, longer), METRICS["latency_mean"].measure(longer)
    control, treatment = (arm_of(exposure, measured, at) for at in (0, 1))
    own = np.asarray(longer["tokens_in"], dtype=np.float64)
    setting = Setting(0.05, 2_000.0, theta=0.02)
    gone = compare(METRICS["latency_mean"], control, treatment, own, setting)
    assert isinstance(gone, Estimate) and gone.effect.low < 0.0


def test_the_interval_is_narrower_with_a_slope_from_before() -> None:
    frame = foretold(3_000, 3)
    theta = slopes(ASKED, foretold(1_000, 4))
    wide, narrow = latency(frame, {}).effect, latency(frame, theta).effect
    assert wide is not None and narrow is not None
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def fooled(paths: int, at: range) -> float:
    """The share of seeded streams of equal arms in which the adjusted latency ever differs."""
    wrong = 0
    theta = slopes(ASKED, foretold(1_000, 5))
    for seed in range(paths):
        frame = foretold(at[-1], 100 + seed, rows_a_unit=2.0)
        told = [latency(part(frame, slice(0, stop)), theta) for stop in at]
        wrong += any(each.p_value is not None and each.p_value <= 0.05 for each in told)
    return wrong / paths


def test_equal_arms_do_not_differ() -> None:
    """15 streams of sessions, 4 looks: at most 5 % + 3 deviations."""
    assert fooled(15, range(500, 2_001, 500)) <= allowed(0.05, 15)


@pytest.mark.slow
def test_equal_arms_do_not_differ_at_many_looks() -> None:
    """The same in 60 streams at 20 looks; a false alarm of this test: 0.1 %."""
    assert fooled(60, range(200, 4_001, 200)) <= allowed(0.05, 60)


def flattened(rows: int, seed: int) -> Frame:
    """Traffic of which people rate a tenth, and the judge scores all, half as far apart."""
    rng = np.random.default_rng(seed)
    meant = rng.beta(8, 2, rows)
    return {
        **traffic(ASKED, rows, seed),
        "quality": np.where(rng.random(rows) < 0.1, meant, np.nan),
        "judged": 0.4 + 0.5 * meant + rng.normal(0.0, 0.02, rows),
    }


def test_a_judge_is_taken_at_the_scale_that_was_best_before() -> None:
    """A judge that flattens what people say, by a half: nearly twice, and the interval of the next
    stream is narrower with it than with the scores as they are. With few ratings, once.
    """
    scale = judge_scale(flattened(6_000, 8))
    assert 1.5 < scale < 2.0
    asked, frame = experiment(goals=("judged_quality",)), flattened(4_000, 9)
    once, more = (
        analyse(asked, frame, Options(scale=each)).comparisons[0].effect for each in (1.0, scale)
    )
    assert once is not None and more is not None
    assert more.high - more.low < 0.85 * (once.high - once.low)
    assert judge_scale(part(flattened(6_000, 8), slice(0, 1_000))) == 1.0


def test_what_has_no_slope_is_left_out_and_told() -> None:
    asked = experiment(goals=("latency_mean", "quality"), covariate="tokens_in")
    before = foretold(LEAST_UNITS + 300, 6)
    assert list(slopes(asked, before)) == ["latency_mean"], "three in ten are rated"
    few = part(before, slice(0, LEAST_UNITS - 1))
    assert slopes(asked, few) == {}
    alike = {**before, "tokens_in": np.full(LEAST_UNITS + 300, 7.0)}
    assert slopes(asked, alike) == {}
    assert slopes(experiment(goals=("quality",)), before) == {}
    report = analyse(asked, foretold(500, 7), Options(theta=slopes(asked, before)))
    (told,) = [each for each in report.caveats if "adjusted" in each]
    assert told.startswith("quality: not adjusted by tokens_in") and "200 units" in told
    lacking = {name: column for name, column in before.items() if name != "tokens_in"}
    with pytest.raises(ExperimentError, match="before lacks tokens_in"):
        slopes(asked, lacking)
