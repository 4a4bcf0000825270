"""What is said beforehand."""

from __future__ import annotations

import pytest

from experiments.benchmarking.stating import more_needed, stated
from experiments.errors import ExperimentError


def test_a_hundred_prompts_show_a_mean_within_ten_points() -> None:
    """At even chances: 1.96 x 0.5 / 10."""
    whole = stated({"code": 100}, 2)[0]
    assert whole.one_mean == pytest.approx(0.098, abs=0.0001)
    assert whole.unrelated == pytest.approx(0.198, abs=0.001)  # 2.80 x 0.7071 / 10
    assert whole.alike == pytest.approx(0.140, abs=0.001)
    assert whole.needed is None


def test_more_comparisons_show_less_and_what_is_asked_for_is_sized() -> None:
    two, six = stated({"a": 50}, 2, 0.05)[0], stated({"a": 50}, 4, 0.05)[0]
    assert six.level == pytest.approx(0.05 / 6) and two.level == 0.05
    assert two.needed is not None and six.needed is not None
    assert six.needed > two.needed and two.needed == (1570, 785)
    told = stated({"a": 50, "b": 50}, 4)
    assert [each.task for each in told] == [None, "a", "b"]
    assert told[1].level == pytest.approx(0.05 / 12)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ExperimentError, match="needs two"):
        stated({"a": 10}, 1)
    with pytest.raises(ExperimentError, match="detect"):
        stated({"a": 10}, 2, 1.5)
    assert stated({"a": 1}, 2)[1].alike is None


def test_afterwards_the_spread_seen_sizes_the_next() -> None:
    assert more_needed(0.3, 0.05, 0.05) == 283
