"""What the matrix says of the cold is a logged update: told once, found again, replayed exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from learning.capability import AMONG, APART, Belief, Beliefs, Measured
from service.feedback.apply import CAPABILITY
from service.feedback.priors import PriorGiver, PriorParts
from service.feedback.versions import restored
from service.storage.cases import rows_of
from tests.service.feedback.test_learner import Home

CODE = {"deep": Measured(100.0, 0.2, 0.1)}  # of no task that the features know: only the level

WEIGHT = 1.0 / (0.1 / 100.0 + APART)
LEVEL = (0.7 / AMONG + 0.2 * WEIGHT) / (1.0 / AMONG + WEIGHT)


class Matrix:
    """What it says, as a test sets it."""

    def __init__(self) -> None:
        self.says = Beliefs({"y": Belief(0.7, {}, CODE)})
        self.asked: list[Mapping[str, float]] = []

    def __call__(self, arms: Mapping[str, float]) -> Beliefs:
        self.asked.append(arms)
        return self.says


def giver(home: Home, matrix: Matrix) -> PriorGiver:
    clock = home.learner.parts.clock
    made = PriorGiver(PriorParts(matrix, home.database.cursor, home.learner, clock))
    made.resume()
    return made


def told(home: Home) -> list[str]:
    home.settle()
    home.log.flush().result(10)
    sql = "SELECT model_id FROM updates WHERE kind = 'capability' ORDER BY seq"
    return [row["model_id"] for row in rows_of(home.database.cursor(), sql)]


def turn(made: PriorGiver) -> None:
    asyncio.run(made.turn())


def level(home: Home, arm: int) -> float:
    return float(home.learner.policy.state().arrays["centre"][arm, -1])


def test_it_is_told_once_and_again_where_it_says_something_else(tmp_path: Path) -> None:
    home, matrix = Home(tmp_path), Matrix()
    home.learner.start()
    made = giver(home, matrix)
    turn(made)
    turn(made)
    assert len(told(home)) == 1
    assert matrix.asked[0] == {"x": 0.7, "y": 0.7}
    assert level(home, 1) == pytest.approx(LEVEL) and level(home, 0) == 0.7
    matrix.says = Beliefs({"y": Belief(0.7, {}, {"deep": Measured(99.0, 0.201, 0.1)})})
    turn(made)
    assert len(told(home)) == 1  # no news
    matrix.says = Beliefs({})
    turn(made)  # it has answers of its own now: nothing is taken back
    matrix.says = Beliefs({"y": Belief(0.7, {}, {"deep": Measured(99.0, 0.5, 0.1)})})
    turn(made)
    assert len(told(home)) == 2 and level(home, 1) > 0.49
    assert made.given == 2
    home.leave()


def test_after_a_kill_the_state_is_the_same_bit_for_bit_and_nothing_is_told_twice(
    tmp_path: Path,
) -> None:
    home, matrix = Home(tmp_path), Matrix()
    home.learner.start()
    for _ in range(20):
        home.round()
    turn(giver(home, matrix))
    told(home)
    for _ in range(20):
        home.round(0.3)
    told(home)
    before = home.learner.policy.freeze()
    again = restored(home.resumed.version, home.versions, home.database.cursor)
    assert again.policy.freeze() == before and again.passed_over == 0
    home.leave()
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()  # as if it had been killed before it wrote any
    later = Home(tmp_path)
    assert later.resumed.replayed > 40 and later.resumed.passed_over == 0
    later.learner.start()
    turn(giver(later, matrix))
    assert len(told(later)) == 1
    assert level(later, 1) == pytest.approx(LEVEL)
    later.leave()


def test_a_quality_model_taken_since_has_it_told_anew(tmp_path: Path) -> None:
    home, matrix = Home(tmp_path), Matrix()
    home.learner.start()
    turn(giver(home, matrix))
    [first] = told(home)
    home.learner.adopt(first)  # a prior of the other kind: whatever it says, it came later
    home.settle()
    home.log.flush().result(10)
    made = giver(home, matrix)
    turn(made)
    assert len(told(home)) == 2
    home.leave()


def test_a_file_that_is_gone_is_passed_over_and_told_anew(tmp_path: Path) -> None:
    home, matrix = Home(tmp_path), Matrix()
    home.learner.start()
    turn(giver(home, matrix))
    [first] = told(home)
    home.versions.models.path(first).unlink()
    turn(giver(home, matrix))
    assert len(told(home)) == 2
    home.leave()
    assert CAPABILITY == "capability"
