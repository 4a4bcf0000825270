"""Unequal rates of response are found, equal ones are left in peace however often one looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln

from experiments.errors import CannotSay
from experiments.statistics import response_rate as rr
from experiments.statistics.response_rate import Cell, Verdict

pytestmark = pytest.mark.slow

NAMES = ("brook", "mill", "river")


def cells(counts: dict[str, tuple[int, int]], task: str = "code", day: str = "") -> list[Cell]:
    return [Cell(name, task, n, r, day=day) for name, (n, r) in counts.items()]


class Traffic:
    """Answers and ratings of some deployments, by task and day, with given shares and rates."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.seen: dict[tuple[str, str, str], list[int]] = {}

    def flow(self, count: int, day: str, shares: np.ndarray, rates: np.ndarray) -> None:
        """``shares`` [K] and ``rates`` [tasks, K]."""
        for task, of_task in enumerate(rates):
            answers = self.rng.multinomial(count, shares)
            rated = self.rng.binomial(answers, of_task)
            for name, n, r in zip(NAMES, answers, rated, strict=True):
                sums = self.seen.setdefault((name, f"task{task}", day), [0, 0])
                sums[0] += int(n)
                sums[1] += int(r)

    def cells(self) -> list[Cell]:
        return [Cell(d, t, n, r, day=day) for (d, t, day), (n, r) in self.seen.items()]


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_is_scipys(rated: int, more: int) -> None:
    answers = rated + more
    expected = stats.binomtest(rated, answers).proportion_ci(method="wilson")
    found = rr.wilson(rated, answers)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert rr.wilson(0, 0).high == 1.0


def test_large_counts_are_pearsons_chi_square() -> None:
    counts = {"a": (100, 41), "b": (120, 20), "c": (80, 25)}
    table = np.array([[r, n - r] for n, r in counts.values()])
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert rr.single_look(cells(counts), np.random.default_rng(0)) == pytest.approx(expected)


@pytest.mark.parametrize("rows", [((8, 6), (9, 1)), ((3, 3), (200, 20)), ((5, 2), (6, 2))])
def test_small_counts_are_fishers_exact_test(rows: tuple[tuple[int, int], ...]) -> None:
    counts = dict(zip("ab", rows, strict=True))
    table = [[r, n - r] for n, r in rows]
    found = rr.single_look(cells(counts), np.random.default_rng(0))
    exact = stats.fisher_exact(table).pvalue
    assert found == pytest.approx(exact, abs=0.02)


def test_a_mix_of_tasks_is_no_difference() -> None:
    """Code is rated by many and goes to one deployment; within a task the rates are the same."""
    mixed = [*cells({"a": (900, 540), "b": (100, 60)}, "code"),
             *cells({"a": (100, 10), "b": (900, 90)}, "chat")]  # fmt: skip
    assert rr.single_look(mixed, np.random.default_rng(0)) == pytest.approx(1.0)
    assert rr.log_evidence(mixed) < 0.0
    assert rr.judge(mixed).verdict is Verdict.CANNOT_SAY


def test_the_single_look_holds_its_level_at_small_counts() -> None:
    """1,000 seeded tables of three deployments with few ratings: at most 5 + 1.5 % below 5 %."""
    rng, alarms = np.random.default_rng(3), 0
    for _ in range(1_000):
        counts = {
            name: (n, int(rng.binomial(n, 0.15)))
            for name, n in zip("abc", (12, 9, 30), strict=True)
        }
        try:
            alarms += rr.single_look(cells(counts), rng) < 0.05
        except CannotSay:
            continue
    assert alarms / 1_000 < 0.065


def test_looking_all_day_gives_no_false_alarm() -> None:
    """200 seeded runs of 60 looks at equal rates that move from day to day while the shares move
    too: the e-process passes 20 in at most 5 % (its bound), the naive test in far more.
    """
    alarms = naive = 0
    for seed in range(200):
        traffic, passed, fooled = Traffic(seed), False, False
        for look in range(60):
            day = look // 20
            shares = np.array([(0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.3, 0.3, 0.4)][day])
            level = np.array((0.6, 0.2, 0.35))[[day, (day + 1) % 3]]
            traffic.flow(15, f"day{day}", shares, np.repeat(level[:, None], 3, 1))
            found = traffic.cells()
            passed |= rr.log_evidence(found) >= math.log(20)
            if seed < 60 and look % 6 == 5:
                fooled |= rr.single_look(found, traffic.rng) < 0.05
        alarms, naive = alarms + passed, naive + fooled
    assert alarms / 200 <= 0.05
    assert naive / 60 > 0.10


def test_a_real_difference_is_found() -> None:
    """41 % against 18 % of two deployments' answers: found in at least 95 % of 100 runs, within
    600 answers of each.
    """
    found = 0
    for seed in range(100):
        traffic = Traffic(seed)
        for day in ("1", "2"):
            traffic.flow(900, day, np.ones(3) / 3, np.array([[0.18, 0.41, 0.41]]))
        told = rr.judge(traffic.cells())
        found += told.verdict is Verdict.UNEVEN
        assert told.task == "task0" and len(told.in_task) == 3
    assert found >= 95


def test_equal_rates_are_called_even_once_there_is_enough() -> None:
    traffic, verdicts = Traffic(1), []
    for _ in range(40):
        traffic.flow(600, "", np.ones(3) / 3, np.full((1, 3), 0.3))
        verdicts.append(rr.judge(traffic.cells()).verdict)
    assert verdicts[0] is Verdict.CANNOT_SAY and verdicts[-1] is Verdict.EVEN
    assert Verdict.UNEVEN not in verdicts


def test_little_traffic_says_nothing() -> None:
    for counts in ({}, {"a": (50, 20)}, {"a": (50, 50), "b": (3, 0)}):
        told = rr.judge(cells(counts))
        assert told.verdict is Verdict.CANNOT_SAY and "20 answers" in told.reason
    for counts in ({"a": (5, 2)}, {"a": (5, 0), "b": (6, 0)}, {"a": (5, 5), "b": (6, 6)}):
        with pytest.raises(CannotSay):
            rr.single_look(cells(counts), np.random.default_rng(0))


def test_the_evidence_is_the_ratio_that_it_says() -> None:
    expected = betaln(7.5, 13.5) - betaln(0.5, 0.5) + betaln(1.5, 9.5) - betaln(0.5, 0.5)
    expected -= 8 * math.log(8 / 30) + 22 * math.log(22 / 30)
    assert rr.log_evidence(cells({"a": (20, 7), "b": (10, 1)})) == pytest.approx(expected)


def test_a_rates_sequence_covers_at_all_looks() -> None:
    """300 seeded runs of 200 looks at 10 %: the true rate leaves the sequence in at most 10 %."""
    rng, missed = np.random.default_rng(5), 0
    for _ in range(300):
        rated = np.cumsum(rng.random(200) < 0.3)
        spans = [rr.rate_sequence(int(rated[t - 1]), t, 0.1) for t in range(5, 201, 5)]
        missed += any(not span.low <= 0.3 <= span.high for span in spans)
    assert missed / 300 <= 0.10
    assert (rr.rate_sequence(0, 9, 0.1).low, rr.rate_sequence(9, 9, 0.1).high) == (0.0, 1.0)
    assert rr.rate_sequence(0, 0, 0.1).high == 1.0


def test_the_bounds_hold_the_truth_and_weighting_finds_it_where_the_task_explains() -> None:
    """Nine of ten code answers are rated, one of ten chat answers; code is good, chat is not."""
    rng = np.random.default_rng(2)
    found, truth = [], 0.0
    for task, rate, quality in (("code", 0.9, 0.9), ("chat", 0.1, 0.3)):
        ratings = rng.random(20_000) < quality
        rated = rng.random(20_000) < rate
        found.append(Cell("a", task, 20_000, int(rated.sum()), float(ratings[rated].mean())))
        truth += float(ratings.mean()) / 2
    (told,) = rr.qualities(found)
    assert told.bounds.estimate > truth + 0.2, "the naive mean speaks for those who rate"
    assert told.bounds.low <= truth <= told.bounds.high
    assert told.weighted == pytest.approx(truth, abs=0.015)  # three deviations


def test_a_task_that_nobody_rates_cannot_be_weighted() -> None:
    silent = [Cell("a", "code", 10, 5, 0.8), Cell("a", "chat", 10, 0)]
    (told,) = rr.qualities(silent)
    assert told.weighted is None and told.bounds.low == pytest.approx(0.2)
    assert told.bounds.high == pytest.approx(0.95)
    with pytest.raises(CannotSay, match="not known everywhere"):
        rr.qualities([Cell("a", "code", 10, 5)])


@pytest.mark.parametrize("wrong", [(3, 4, None), (3, -1, None), (3, 1, 1.5)])
def test_counts_that_cannot_be_are_refused(wrong: tuple[int, int, float | None]) -> None:
    with pytest.raises(ValueError, match=r"cannot be|lies in"):
        Cell("a", "code", *wrong)
