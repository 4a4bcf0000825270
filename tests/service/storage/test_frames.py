"""An experiment's frame: a row per decision with what came of it, NaN where nothing has yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.design import Experiment, Variant
from experiments.design_json import to_json
from experiments.states import State
from service.domain.clock import new_id
from service.domain.experiments import Assigned, ExperimentRecord, ExperimentStep
from service.domain.records import Mode, Version
from service.storage.cases import read_case
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.experiments import ExperimentStore
from service.storage.frames import experiment_frame
from tests.service.storage.test_tables import NOW, decision, feedback, outcome

SCALE = '{"scale": {"worth_usd": 0.1, "patience_s": 10.0}}'


def test_rows_in_order_with_the_latest_rating() -> None:
    database = Database(None)
    log = EventLog(database)
    log.start()
    mine = Assigned("one@1", "b", 0.25, "unit-7")
    both = decision(assigned=(Assigned("side@2", "a", 0.5, "u"), mine), at_us=NOW + 5)
    bare = decision(assigned=(Assigned("one@1", "a", 0.75, "unit-8"),), at_us=NOW + 1)
    other = decision(assigned=(Assigned("two@1", "a", 0.5, "u"),))
    none = decision()
    log.append(Version("v", NOW, "default", "linear", SCALE, None, "me", "why"))
    for each in (both, bare, other, none):
        log.append(each)
    log.append(replace(outcome(both), mode=Mode.FALLBACK))
    for value, metric in ((0.2, "rating"), (0.8, "rating"), (0.1, "stars")):
        log.append(feedback(both, quality=value, metric=metric, id=new_id()))
    log.flush().result(5)
    frame = experiment_frame(database.cursor(), "one@1", NOW - 10, "rating")
    assert frame["unit"].tolist() == ["unit-8", "unit-7"]
    assert frame["variant"].tolist() == ["a", "b"] and frame["share"].tolist() == [0.75, 0.25]
    assert frame["quality"].tolist()[1] == 0.8 and np.isnan(frame["quality"][0])
    assert frame["served_mode"].tolist() == [None, "fallback"]
    assert frame["status"][1] == 200.0 and np.isnan(frame["status"][0])
    assert frame["reward"][1] == 0.8 - 3e-6 / 0.1 - 1.5 / 10.0
    assert frame["ts_us"].dtype == np.int64 and frame["tokens_in"].tolist() == [10.0, 10.0]
    assert len(experiment_frame(database.cursor(), "none@1", NOW, "rating")["unit"]) == 0
    found = read_case(database.cursor(), both.id)
    assert found is not None and found.decision.assigned == both.assigned
    row = database.cursor().execute(
        "SELECT experiment, variant, variant_probability FROM decisions WHERE id = ?", [both.id]
    ).fetchone()  # fmt: skip
    assert row == ("side@2", "a", 0.5)  # the first of each
    log.stop()
    database.close()


def test_experiments_and_their_steps_come_back() -> None:
    database = Database(None)
    log = EventLog(database)
    log.start()
    design = Experiment("one", "h", (Variant("a", 0.5), Variant("b", 0.5)), ("quality",))
    record = ExperimentRecord("one@1", NOW, "one", 1, "main", 0, 10, to_json(design), "me", "why")
    moves = (("1", "start", "draft", 1), ("2", "ramp", "running", 5))
    steps = [
        ExperimentStep(id_, "one@1", NOW + n, step, was, "running", at, None, "me", "r", "{}")
        for n, (id_, step, was, at) in enumerate(moves, start=1)
    ]
    for each in (record, *steps):
        log.append(each)
    log.flush().result(5)
    (found,) = ExperimentStore(database).known.values()
    assert found.record == record and found.steps == tuple(steps) and found.design == design
    assert (found.standing.state, found.standing.percent) == (State.RUNNING, 5)
    assert found.started_us == NOW + 1 and found.holds_buckets
    log.stop()
    database.close()
