"""An experiment's frame: a row per decision with what came of it, NaN where nothing has yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.analysis import analyse
from experiments.design import Experiment, Unit, Variant
from experiments.design_json import to_json
from experiments.states import State
from service.domain.clock import new_id
from service.domain.experiments import Assigned, ExperimentRecord, ExperimentStep
from service.domain.records import Mode, Version
from service.experimentation.whole import options_for
from service.storage.cases import read_case
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.experiments import Conducted, ExperimentStore, made
from service.storage.frames import DAY_US, earlier_frame, experiment_frame
from tests.experiments.statistics.looks import allowed
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
    log.append(feedback(bare, quality=0.3, kind="judge", id=new_id()))
    log.flush().result(5)
    frame = experiment_frame(database.cursor(), "one@1", NOW - 10, "rating")
    assert frame["unit"].tolist() == ["unit-8", "unit-7"]
    assert frame["variant"].tolist() == ["a", "b"] and frame["share"].tolist() == [0.75, 0.25]
    assert frame["quality"].tolist()[1] == 0.8 and np.isnan(frame["quality"][0])
    assert frame["judged"].tolist()[0] == 0.3 and np.isnan(frame["judged"][1])
    assert "predicted_quality" not in frame
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
    strange = replace(record, id="two@1", slug="two", design='{"colour": "red"}')
    for each in (record, strange, *steps, replace(steps[0], id="3", experiment="two@1")):
        log.append(each)
    log.flush().result(5)
    (found,) = ExperimentStore(database).known.values()
    assert found.record == record and found.steps == tuple(steps) and found.design == design
    assert (found.standing.state, found.standing.percent) == (State.RUNNING, 5)
    assert found.started_us == NOW + 1 and found.holds_buckets
    log.stop()
    database.close()


def test_people_and_a_judge_are_told_apart_and_the_reward_takes_both() -> None:
    """As the view `rounds` pays it: the mean of all ratings, whoever gave them."""
    database = Database(None)
    log = EventLog(database)
    log.start()
    log.append(Version("v", NOW, "default", "linear", SCALE, None, "me", "why"))
    one = decision(assigned=(Assigned("one@1", "a", 0.5, "u"),))
    log.append(one)
    log.append(outcome(one))
    for kind, author, value in (
        ("user", "k", 0.8), ("outcome", "k", 0.6), ("implicit", "k", 1.0), ("judge", "k", 0.1),
        ("judge", "l", 0.5),
    ):  # fmt: skip
        log.append(feedback(one, quality=value, kind=kind, author=author, id=new_id()))
    log.flush().result(5)
    frame = experiment_frame(database.cursor(), "one@1", NOW - 10, "rating")
    assert frame["quality"][0] == pytest.approx(0.8) and frame["judged"][0] == pytest.approx(0.3)
    assert frame["reward"][0] == pytest.approx(0.6 - 3e-6 / 0.1 - 1.5 / 10.0)
    log.stop()
    database.close()


DESIGN = Experiment(
    "one", "h", (Variant("control", 0.5), Variant("treated", 0.5, (("deployment", "y"),))),
    ("latency_mean", "quality"), unit=Unit.REQUEST, covariate="tokens_in",
)  # fmt: skip
START = NOW - 7 * DAY_US


def begun(design: Experiment = DESIGN) -> Conducted:
    """An experiment that was started at ``START``."""
    record = ExperimentRecord("one@1", START, "one", 1, "main", 0, 10, to_json(design), "m", "w")
    step = ExperimentStep("1", "one@1", START, "start", "draft", "running", 1, None, "m", "r", "{}")
    return Conducted(record, design, made(record).standing).after(step)


def told(number: int, at_us: int, rng: np.random.Generator, **more: object) -> list[object]:
    """Decisions whose latency is foretold by the tokens of the prompt, with their outcomes, every
    other one rated.
    """
    found: list[object] = []
    for n in range(number):
        tokens = int(rng.integers(10, 4_000))
        made_at = at_us + n * 1_000
        one = decision(at_us=made_at, tokens_in=tokens, features=np.zeros(2, np.float32), **more)
        latency = 0.002 * tokens + float(rng.exponential(1.0))
        found += [one, replace(outcome(one), at_us=made_at + 1, latency_s=latency)]
        if n % 2:
            rated = feedback(one, at_us=made_at + 2, quality=float(rng.random()), id=new_id())
            found.append(rated)
    return found


def test_a_strong_covariate_narrows_an_experiment_through_storage() -> None:
    """300 requests before the start and 400 in the experiment, read back from the log: the slope
    is that of before, the interval less than half as wide; the same requests with their variants
    drawn again, 40 times at 8 looks, alarm in at most 5 % + 3 deviations.
    """
    database, rng = Database(None), np.random.default_rng(1)
    log = EventLog(database)
    log.start()
    for record in told(300, START - DAY_US, rng):
        log.append(record)
    for n in range(400):
        name = "treated" if rng.random() < 0.5 else "control"
        mine = (Assigned("one@1", name, 0.5, f"u{n}"),)
        for record in told(1, START + n * 1_000, rng, assigned=mine):
            log.append(record)
    log.flush().result(20)
    frame = experiment_frame(database.cursor(), "one@1", START, "rating")
    asked = options_for(begun(), lambda each: earlier_frame(database.cursor(), each, "rating"))
    assert asked.theta["latency_mean"] == pytest.approx(0.002, rel=0.1)
    assert list(asked.theta) == ["latency_mean"], "of quality there are 150 units"
    assert asked.scale == 1.0, "nobody was judged"
    report = analyse(DESIGN, frame, asked)
    plain = analyse(replace(DESIGN, covariate=None), frame, replace(asked, theta={}))
    narrow, wide = (each.comparisons[0].effect for each in (report, plain))
    assert narrow is not None and wide is not None
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)
    assert any("quality: not adjusted by tokens_in" in each for each in report.caveats)
    wrong = 0
    for _ in range(40):
        drawn = rng.choice(np.array(["control", "treated"], dtype=object), 400)
        again = {**frame, "variant": drawn}
        seen = ({name: column[:stop] for name, column in again.items()}
                for stop in range(225, 401, 25))  # fmt: skip
        p_values = [analyse(DESIGN, each, asked).comparisons[0].p_value for each in seen]
        wrong += any(p is not None and p <= 0.05 for p in p_values)
    assert wrong / 40 <= allowed(0.05, 40)
    log.stop()
    database.close()


def test_what_was_before_is_of_drawn_decisions_and_never_changes() -> None:
    """Not the experiment's own, no pins, nothing older than two weeks; an outcome or a rating that
    came after the start is not known; units are those of the design.
    """
    database = Database(None)
    log = EventLog(database)
    log.start()
    drawn = decision(at_us=START - 100)
    held = decision(at_us=START - 90, mode=Mode.STICKY)
    for each in (
        drawn, held, decision(at_us=START - 80, mode=Mode.PINNED), decision(at_us=START + 1),
        decision(at_us=START - 15 * DAY_US),
        decision(at_us=START - 70, assigned=(Assigned("one@1", "control", 0.5, "u"),)),
    ):  # fmt: skip
        log.append(each)
    log.append(replace(outcome(drawn), at_us=START - 50))
    log.append(replace(outcome(held), at_us=START + 50))
    log.append(feedback(drawn, at_us=START - 40, quality=0.4, id=new_id()))
    log.append(feedback(drawn, at_us=START + 40, quality=0.9, id=new_id()))
    log.flush().result(5)
    units = {
        Unit.SESSION: drawn.caller.session, Unit.USER: drawn.caller.unit,
        Unit.TENANT: f"{drawn.caller.key_id}/{drawn.caller.tenant}", Unit.REQUEST: drawn.id,
    }  # fmt: skip
    for unit, name in units.items():
        found = earlier_frame(database.cursor(), begun(replace(DESIGN, unit=unit)), "rating")
        assert found["unit"][0] == name
        assert found["ts_us"].tolist() == [START - 100, START - 90]
        assert found["quality"][0] == 0.4 and np.isnan(found["quality"][1])
        assert found["status"][0] == 200.0 and np.isnan(found["status"][1])
    draft = replace(begun(), steps=())
    with pytest.raises(ValueError, match="one@1 has not been started"):
        earlier_frame(database.cursor(), draft, "rating")
    log.stop()
    database.close()
