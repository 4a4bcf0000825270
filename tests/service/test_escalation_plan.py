"""The plan's word on escalation: what is wrong with it is said with the line and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.bootstrap.escalation import climbing
from service.check import load_checked
from service.domain.errors import PlanInvalid
from tests.conftest import HandClock, plan_text

GOOD = "escalation: {rungs: [brook, river, fall], verify: brook, tasks: [code]}\n"


def problems(tmp_path: Path, section: str) -> list[str]:
    path = tmp_path / "plan.yaml"
    path.write_text(plan_text("http://127.0.0.1:1") + section, "utf-8")
    try:
        load_checked(path)
    except PlanInvalid as error:
        assert all(each.line for each in error.problems)
        return [str(each) for each in error.problems]
    return []


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("escalation: {rungs: [brook, lake]}\n", "no deployment 'lake'"),
        ("escalation: {rungs: [brook]}\n", "two rungs or more"),
        ("escalation: {rungs: [brook, river, brook]}\n", "given twice"),
        ("escalation: {rungs: [fall, brook]}\n", "fall costs more than brook"),
        ("escalation: {tasks: [poems]}\n", "no task 'poems'"),
        ("escalation: {by_task: {code: [brook, lake]}}\n", "no deployment 'lake'"),
        ("escalation: {verify: lake}\n", "no deployment 'lake'"),
        ("escalation: {explode: 1}\n", "explode"),
        (f"{GOOD}ensembles: [{{name: both, tasks: [code]}}]\n", "answered by the ensemble both"),
    ],
    ids=["unknown", "short", "twice", "order", "task", "own", "verify", "key", "both"],
)
def test_what_is_wrong_is_said(tmp_path: Path, section: str, said: str) -> None:
    found = problems(tmp_path, section)
    assert len(found) >= 1 and any(said in each for each in found)


def test_a_good_one_is_taken_and_auto_goes_by_price(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []
    path = tmp_path / "plan.yaml"
    path.write_text(plan_text("http://127.0.0.1:1") + "escalation: {}\n", "utf-8")
    plan = load_checked(path)
    made = climbing(plan, plan.catalog({}), HandClock(), b"secret")
    assert made is not None and made.rules.of("maths") == ("brook", "mill", "river", "fall")


def test_without_the_section_there_is_none(tmp_path: Path) -> None:
    assert problems(tmp_path, "") == []
    plan = load_checked(tmp_path / "plan.yaml")
    assert climbing(plan, plan.catalog({}), HandClock(), b"secret") is None
