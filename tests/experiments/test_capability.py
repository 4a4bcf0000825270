"""Places with ties, the front, and what each is best used for; an unknown cell is no zero."""

from __future__ import annotations

from experiments.capability import (
    UNKNOWN,
    Cell,
    Estimate,
    Place,
    finite,
    of_bounded,
    of_positive,
    of_share,
    on_front,
    places,
    uses,
)


def cell(name: str, quality: Estimate, usd: Estimate = UNKNOWN, task: str = "t") -> Cell:
    return Cell(name, task, quality=quality, cost_micro_usd=usd)


SURE = Estimate(500.0, 0.9, 0.85, 0.95)
LIKE = Estimate(50.0, 0.86, 0.7, 0.93)
WORSE = Estimate(500.0, 0.5, 0.45, 0.55)
DEAR, CHEAP = Estimate(99.0, 900.0, 850.0, 950.0), Estimate(99.0, 90.0, 85.0, 95.0)


def test_who_is_not_told_apart_is_tied_and_nobody_wins() -> None:
    found = places([cell("a", SURE), cell("b", LIKE), cell("c", WORSE), cell("d", UNKNOWN)],
                   lambda each: each.quality)  # fmt: skip
    assert found["a"] == Place(1, ("b",)) and found["b"] == Place(1, ("a",))
    assert found["c"] == Place(3) and found["d"] == Place(None)
    assert not any(place.winner for place in found.values())


def test_a_winner_is_surely_above_all_that_are_known() -> None:
    found = places([cell("a", SURE), cell("c", WORSE)], lambda each: each.quality)
    assert found["a"].winner and found["c"].rank == 2
    wide = Estimate(2.0, 0.99, 0.2, 1.0)  # a mere word wins against nobody, and nobody against it
    found = places([cell("a", SURE), cell("w", wide)], lambda each: each.quality)
    assert found["a"].tied == ("w",) and not found["w"].winner


def test_who_has_no_interval_yet_is_tied_with_all() -> None:
    found = places([cell("a", SURE), cell("b", Estimate(3.0, 0.1))], lambda each: each.quality)
    assert found["b"] == Place(1, ("a",))


def test_the_front_of_quality_and_cost() -> None:
    cells = [cell("good", SURE, DEAR), cell("thrifty", WORSE, CHEAP), cell("bad", WORSE, DEAR),
             cell("unknown", UNKNOWN, CHEAP)]  # fmt: skip
    assert on_front(cells) == {"good", "thrifty"}
    alike = [cell("a", SURE, CHEAP), cell("b", LIKE, CHEAP)]
    assert on_front(alike) == {"a", "b"}  # worse by its mean, but not surely


def test_quality_for_a_dollar_spans_the_ends_of_both() -> None:
    found = cell("a", SURE, DEAR).per_dollar
    assert found.mean == 0.9 * 1e6 / 900.0
    assert (found.low, found.high) == (0.85 * 1e6 / 950.0, 0.95 * 1e6 / 850.0)
    assert cell("a", SURE).per_dollar == UNKNOWN
    assert cell("a", SURE, Estimate(9.0, 0.0, 0.0, 0.0)).per_dollar == UNKNOWN
    assert cell("a", SURE, Estimate(9.0, 90.0)).per_dollar.low is None


def test_what_each_is_best_used_for() -> None:
    cells = [cell("a", SURE, DEAR, "code"), cell("b", WORSE, CHEAP, "code"),
             cell("a", SURE, DEAR, "chat"), cell("b", LIKE, CHEAP, "chat")]  # fmt: skip
    found = uses(cells)
    assert found["a"].best_quality == ("code",) and found["a"].tied_quality == ("chat",)
    assert found["b"].best_per_dollar == ("chat", "code") and not found["b"].best_quality
    assert found["b"].on_front == ("chat", "code") and found["a"].on_front == ("chat", "code")


def test_estimates_of_each_kind_and_as_json() -> None:
    assert of_bounded(0.0, 0.0, 0.0) == of_share(0.0, 0.5) == of_positive(0.0, 0.0, 0.0) == UNKNOWN
    share, money = of_share(100.0, 0.02), of_positive(5.0, 3.0, 1.0)
    assert share.low is not None and share.high is not None and share.low < 0.02 < share.high
    assert money.mean == 3.0 and money.low is None
    assert finite(UNKNOWN) == {"n": 0.0, "mean": None, "low": None, "high": None}
