"""Judges and raters: disagreement found, agreement silent, counts that are too few left out."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.reviewing import rating
from experiments.reviewing.finding import Table, discovered
from experiments.statistics.moments import Interval


def judged(off: int, number: int = 400) -> Table:
    return Table({
        "judge": np.array(["river"]), "judgements": np.array([number]),
        "inconsistent": np.array([off]), "unread": np.array([2]), "cost_usd": np.array([3.0]),
    })  # fmt: skip


def pairs(gap: float, number: int = 400) -> Table:
    return Table({
        "author": np.array(["judge-key"]), "metric": np.array(["stars"]),
        "pairs": np.array([number]), "difference": np.array([gap * number]),
        "squares": np.array([(gap**2 + 0.04) * number]), "both_good": np.array([number * 0.6]),
        "both_bad": np.array([number * 0.2]), "judge_good": np.array([number * 0.7]),
        "people_good": np.array([number * 0.7]),
    })  # fmt: skip


def rates(odd: float, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    rows = [(f"2026-11-{16 + day}", arm, int(rng.binomial(400, odd if arm == "sage" else 0.2)))
            for day in range(7) for arm in ("brook", "sage")]  # fmt: skip
    return Table({
        "day": np.array([each[0] for each in rows]), "deployment": np.array([e[1] for e in rows]),
        "task": np.array(["write"] * len(rows)), "answers": np.full(len(rows), 400),
        "rated": np.array([each[2] for each in rows]),
    })  # fmt: skip


def test_a_judge_that_hangs_on_the_order_is_found() -> None:
    (found,) = discovered(rating.judgements(judged(200)))
    assert isinstance(found.money, Interval) and found.money.estimate == pytest.approx(1.5)
    assert discovered(rating.judgements(judged(80))) == ()
    assert rating.judgements(judged(10, 20)) == []


def test_a_judge_away_from_people_is_found_with_its_side() -> None:
    (found,) = discovered(rating.judges_and_people(pairs(0.2)))
    assert "kinder" in found.words and "0.52" in found.words  # (0.8 - 0.58) / (1 - 0.58)
    assert "harsher" in discovered(rating.judges_and_people(pairs(-0.2)))[0].words
    assert discovered(rating.judges_and_people(pairs(0.04))) == ()
    assert rating.judges_and_people(pairs(0.2, 20)) == []


def test_agreement_where_all_is_chance_is_none() -> None:
    row = {"both_good": 10, "both_bad": 0, "judge_good": 10, "people_good": 10}
    assert rating.kappa(row, 10.0) is None


def test_uneven_response_is_found_and_even_is_silent() -> None:
    found, report = rating.responses(rates(0.4))
    assert report is not None and len(discovered(found)) == 1 and "sage" in found[0].words
    assert discovered(rating.responses(rates(0.2))[0]) == ()
    nothing, none = rating.responses(rates(0.2).where(np.zeros(14, bool)))
    assert nothing == [] and none is None
