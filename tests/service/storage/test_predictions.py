"""What was foreseen comes back from the log: rows to fit, checks with verdicts, uses, foresight."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.difficulty import difficulty_of
from service.domain.clock import new_id
from service.domain.judging import JudgeCheck, Judging
from service.domain.prediction import CheckDrawn, Predicted
from service.domain.records import Act, Attempt, Decision, Role, Update, Usage, Version
from service.storage.database import Database
from service.storage.predictions import (
    Judged,
    borne_out,
    check_cost_usd,
    checks_of,
    read_prediction,
    rows_to_fit,
    used_since,
)
from service.storage.tables import TABLES
from tests.service.storage.test_tables import NOW, attempt, decision, feedback, outcome

JUDGED = Judged("rating", ("judge",), 0.7)
FEATURES = ("a", "b", "c", "d", "constant")


class Log:
    """Records into a file in memory."""

    def __init__(self) -> None:
        self.database, self.seq = Database(None), 0

    def add(self, *records: Any) -> None:
        for record in records:
            table = TABLES[type(record)]
            self.seq += 1
            self.database.write({table.name: table.batch([table.row(record)], self.seq)})

    @property
    def cursor(self) -> Any:
        return self.database.cursor()


def foreseen(of: Decision, **more: Any) -> Predicted:
    made = Predicted(of.id, NOW, "m-1", "fitted", 40.0, 10.0, 55.0, ("x", "y"), (0.4, 0.95))
    return replace(made, **more)


def test_a_prediction_comes_back_as_it_was() -> None:
    log, of = Log(), decision()
    told = foreseen(of, act="narrowed", probability=0.95, taken_out=("x",))
    log.add(of, told)
    assert read_prediction(log.cursor, of.id) == told
    assert read_prediction(log.cursor, new_id()) is None


def test_rows_to_fit_have_the_scores_of_their_texts_where_these_are_known() -> None:
    log = Log()
    parameters = json.dumps({"features": FEATURES})
    version = Version("v", 0, "default", "linear", parameters, None, "me", "")
    for at in range(3):
        x = np.array([at, 0, 0, 0, 1], np.float32)
        of = decision(features=x)
        log.add(of, Update(at + 1, NOW, of.id, NOW, "y", "rating", 0.2 * at, None, None, None,
                           None, None, None, "v"))  # fmt: skip
        if at:
            log.add(foreseen(of, complexity=30.0 * at))
    rows = rows_to_fit(log.cursor, ("x", "y"), [version], 1e6)
    assert rows.features == (*FEATURES[:-1], "complexity", "ambiguity", "difficulty", "constant")
    assert rows.x[:, 4] == pytest.approx([-0.05, -0.2, 0.1])  # not known: the middle
    assert rows.x[1, 6] == pytest.approx(difficulty_of(30.0, 10.0) / 100.0 - 0.5)
    assert rows.x[:, -1].tolist() == [1.0] * 3 and rows.quality.tolist() == [0.0, 0.2, 0.4]


def test_verdicts_come_in_the_order_in_which_they_came_and_only_of_the_judge() -> None:
    log = Log()
    drawn = [decision() for _ in range(5)]
    for at, of in enumerate(drawn):
        checked = at != 3
        log.add(of, CheckDrawn(of.id, NOW, "y", 0.95, checked, 0.05, 2))
    other = decision()
    log.add(other, CheckDrawn(other.id, NOW, "y", 0.95, True, 1.0, 1))
    judge = {"kind": "judge", "author": "j"}
    log.add(feedback(drawn[2], quality=0.1, **judge), feedback(drawn[0], quality=0.9, **judge))
    log.add(feedback(drawn[1], quality=0.1), feedback(drawn[2], quality=0.3, **judge))
    log.add(feedback(other, quality=0.0, **judge))
    found = checks_of(log.cursor, 2, JUDGED)
    assert found.bad.tolist() == [1.0, 0.0]
    assert (found.checked, found.skipped, found.waiting) == (4, 1, 2)


def test_what_a_check_costs_is_measured() -> None:
    log = Log()
    assert check_cost_usd(log.cursor, 0) is None
    one, two = decision(), decision()
    calls: list[Attempt] = [attempt(one, role=Role.JUDGE), attempt(one, role=Role.JUDGE, number=2),
                            attempt(two, role=Role.JUDGE), attempt(two)]  # fmt: skip
    log.add(one, two, *(replace(each, usage=Usage(1, 1, 0, 300)) for each in calls))
    assert check_cost_usd(log.cursor, 0) == pytest.approx(450e-6)


def test_uses_are_counted_with_what_was_rated_of_them() -> None:
    log = Log()
    for at, act in enumerate(["narrowed", "held_out", "escalated", ""]):
        of = decision()
        log.add(of, foreseen(of, act=act), outcome(of))
        if at != 2:
            log.add(feedback(of, quality=0.1 * at))
    for checked, probability in ((False, 0.05), (True, 0.05), (True, 1.0)):
        log.add(CheckDrawn(new_id(), NOW, "y", 0.95, checked, probability, 1))
    log.add(Act(new_id(), NOW, "headgate", "prediction.fitted", "m", "", '{"seconds": 2.5}'))
    found = used_since(log.cursor, 0, "rating")
    assert (found.predictions, found.skipped, found.audited, found.acted) == (4, 1, 1, 2)
    order = np.argsort(found.quality)
    assert found.treated[order].tolist() == [True, False]
    assert found.quality[order] == pytest.approx([0.0, 0.1]) and found.refit_s == 2.5
    assert found.cost_usd == pytest.approx([3e-6, 3e-6])


def test_foresight_is_held_against_what_was_rated_of_who_answered() -> None:
    log = Log()
    for quality in (0.9, 0.2):
        of = decision()
        log.add(of, foreseen(of), outcome(of), feedback(of, quality=quality))
    of = decision()
    log.add(of, foreseen(of, model_id="m-2"), outcome(of), feedback(of, quality=1.0))
    found = borne_out(log.cursor, "m-1", {"x": 0.6, "y": 0.5}, JUDGED)
    assert found.chance.tolist() == [0.4, 0.4] and found.constant.tolist() == [0.6, 0.6]
    assert found.good.tolist() == [True, False]


def test_what_a_proven_judge_said_is_a_verdict_whether_or_not_it_became_a_rating() -> None:
    log = Log()
    drawn = [decision() for _ in range(4)]
    for of in drawn:
        log.add(of, CheckDrawn(of.id, NOW, "y", 0.95, True, 0.05, 1))

    def said(
        of: Decision, value: float | None, consistent: bool = True, taught: bool = False
    ) -> Judging:
        return Judging(
            new_id(), NOW, "score", "sample", "", of.id, of.task, "y", "j", "r@1", "d", value,
            value, value, consistent, 0.05, 10, 0, 300, taught,
        )  # fmt: skip

    log.add(said(drawn[0], 0.9), said(drawn[1], 0.2), said(drawn[2], 0.1, consistent=False))
    log.add(said(drawn[3], 0.8, taught=True))
    log.add(feedback(drawn[3], quality=0.8, kind="judge", author="judge:j"))
    assert checks_of(log.cursor, 1, JUDGED).bad.tolist() == [0.0], "nobody knows this judge"
    check = JudgeCheck(new_id(), NOW, "j", "d", 81, 0.2, 0.0, 0.4, 0.0, "failed", 0, "me", "{}")
    log.add(check)
    assert checks_of(log.cursor, 1, JUDGED).bad.tolist() == [0.0], "it has failed"
    log.add(replace(check, id=new_id(), state="proven"))
    found = checks_of(log.cursor, 1, JUDGED)
    assert found.bad.tolist() == [0.0, 1.0, 0.0] and found.waiting == 1
    assert not len(checks_of(log.cursor, 1, replace(JUDGED, kinds=("user",))).bad)
