"""Rules: each only where the intervals carry it."""

from __future__ import annotations

from experiments.benchmarking.reality import Declared, beside
from experiments.benchmarking.revising import Revision, revisions, served_by
from experiments.benchmarking.trials import tables
from experiments.benchmarking.verdicts import by_task, overall
from tests.experiments.benchmarking.rig import trials

ARMS = ("small", "middle", "large")


def rules(
    quality: dict[str, float], prompts: int = 100, worth: float | None = None
) -> tuple[Revision, ...]:
    found = by_task(tables(trials({"a": quality}, prompts), tuple(quality)), 7)
    return revisions(found, (), worth)


def test_the_cheap_one_is_used_where_it_is_shown_to_be_no_worse() -> None:
    found = rules({"small": 0.97, "middle": 0.6, "large": 0.55}, 150)
    assert [(r.kind, r.arms) for r in found] == [("use", ("small",))]
    assert "cheaper than every other" in found[0].reason


def test_the_best_is_used_where_it_is_worth_what_it_costs_more() -> None:
    quality = {"small": 0.2, "middle": 0.4, "large": 0.97}
    assert rules(quality, worth=1.0)[0].arms == ("large",)
    assert "better than every other" in rules(quality)[0].reason
    assert [r.kind for r in rules(quality, worth=0.01)] == []


def test_the_worse_and_dearer_is_left_out() -> None:
    found = rules({"small": 0.8, "middle": 0.85, "large": 0.3})
    assert [(r.kind, r.arms) for r in found] == [("exclude", ("large",))]
    assert "worse than" in found[0].reason and "costs more" in found[0].reason


def test_where_nothing_separates_there_is_no_rule() -> None:
    assert rules({"small": 0.7, "middle": 0.7, "large": 0.7}, 25) == ()


def test_priors_that_are_off_are_set() -> None:
    found = overall(tables(trials({"a": {"small": 0.3, "large": 0.9}}, 80), ("small", "large")), 7)
    told = beside(found, {"small": Declared(0.7, 1.0), "large": Declared(0.9, 1.0)})
    made = [r for r in revisions((), told) if r.kind == "prior_quality"]
    assert [r.arms for r in made] == [("small",)] and made[0].value is not None
    assert 0.15 < made[0].value < 0.45


def test_shares_under_the_rules() -> None:
    found = by_task(tables(trials({"a": dict.fromkeys(ARMS, 0.5)}, 5), ARMS), 7)
    assert served_by(found, (), ARMS)["a"] == dict.fromkeys(ARMS, 1 / 3)
    use = (Revision("use", ("small",), "a", ""),)
    assert served_by(found, use, ARMS)["a"] == {"small": 1.0}
    out = (Revision("exclude", ("large",), "a", ""),)
    assert served_by(found, out, ARMS)["a"] == {"small": 0.5, "middle": 0.5}
