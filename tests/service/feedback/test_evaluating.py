"""Evaluations of the published history: exact where the version served, and honest about rows."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning.errors import UnknownParameter
from learning.reward import RewardScale
from service.domain.clock import SystemClock
from service.domain.experiments import Assigned, How
from service.domain.records import Candidates, Decision, Mode, Version
from service.feedback.evaluating import (
    BY_EXPERIMENT,
    NO_DRAW,
    NO_OUTCOME,
    Job,
    drawn_of,
    evaluate,
    main,
    replayed,
)
from service.feedback.promoting import Drafted, Signature, VersionDesk
from service.storage.errors import StorageError
from service.storage.history import Publisher
from service.storage.logged import Ended, LoggedHistory
from tests.service.feedback.test_learner import Home, run
from tests.service.storage.test_tables import decision

pytestmark = pytest.mark.slow

SCALE = RewardScale(0.1, 60.0)
HOUR_US = 3_600_000_000


def now_us() -> int:
    return int(time.time() * 1e6)


Life = tuple[Path, Version, list[Decision]]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A learner's life, published: where, its version, and the decisions as they were made."""
    tmp_path = tmp_path_factory.mktemp("life")
    home = Home(tmp_path)
    made = run(home, 140)
    home.learner._save()
    made += [home.round(0.9).decision for _ in range(20)]
    home.settle()
    made.append(home.round(0.5).decision)
    home.settle()
    home.log.flush().result(5)
    Publisher(home.database, tmp_path).publish(home.log.last_seq)
    version = home.resumed.version
    home.leave()
    return tmp_path, version, made


def test_the_version_that_served_is_replayed_bit_for_bit_from_the_published_history(
    life: Life,
) -> None:
    tmp_path, version, made = life
    report = evaluate(LoggedHistory(tmp_path), Job(version, now_us() - HOUR_US, now_us()))
    assert report["used"] == report["decisions"] == len(made) and report["left_out"] == {}
    assert report["passed"] and report["updates"] >= len(made) and report["views"] >= 4
    success = report["metrics"]["success_rate"]
    assert success["ess"] == len(made)
    assert success["difference"] == {"estimate": 0.0, "low": 0.0, "high": 0.0}
    # and from the checkpoint nearest before the last decisions
    since_us = made[-1].at_us
    late = evaluate(LoggedHistory(tmp_path), Job(version, since_us, now_us()))
    first = evaluate(LoggedHistory(tmp_path), Job(version, made[0].at_us, now_us()))
    assert late["used"] == 1 and not late["passed"]
    assert late["begun_with"]["update_seq"] > first["begun_with"]["update_seq"] == 0
    assert late["footing"]["ess"] == 1.0 and late["updates"] < first["updates"]
    newest = evaluate(LoggedHistory(tmp_path), Job(version, 0, now_us(), most=30))
    assert newest["used"] == 30 and newest["newest_only"]
    assert newest["since"] >= first["since"]


def test_a_version_that_was_promoted_and_rolled_back_is_what_it_was(tmp_path: Path) -> None:
    """After a rollback a version stands at the same update twice, in two states."""
    home = Home(tmp_path)
    made = run(home, 40)
    desk, by = VersionDesk(home.learner, home.database.cursor, SystemClock()), Signature("me", "it")
    other = desk.create(Drafted(None, {"floor": 0.2}), by).result(10)
    for step in (
        lambda: desk.promote(other.id, How.PROMOTED, by), lambda: desk.roll_back(by),
        lambda: desk.promote(other.id, How.PROMOTED, by),
    ):  # fmt: skip
        step().result(10)
        for number in range(25):
            made.append(home.round((number % 5) / 4).decision)
            time.sleep(0.01)
        home.settle()
    home.log.flush().result(5)
    Publisher(home.database, tmp_path).publish(home.log.last_seq)
    history = LoggedHistory(tmp_path)
    live = history.live()
    assert live is not None and live.id == other.id
    for version in (home.resumed.version, other):
        own = np.array([each.policy.version_id == version.id for each in made])
        span = history.span(0, now_us(), 1_000)
        assert span is not None
        found, _ = replayed(history, version, span)
        same = [found.target[at].tobytes() == found.propensities[at].tobytes() for at in found.row]
        assert len(found) == len(made) and 45 < own.sum() < 70
        assert np.array(same)[own].all() and not np.array(same)[~own].all()
    home.leave()


def test_a_lost_checkpoint_means_an_earlier_one(life: Life, tmp_path: Path) -> None:
    original, version, made = life
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    history = LoggedHistory(tmp_path)
    for checkpoint in history.checkpoints(version.id)[1:]:
        (tmp_path / "checkpoints" / f"{checkpoint.id}.hgsn").write_bytes(b"damaged")
    report = evaluate(history, Job(version, made[-1].at_us, now_us()))
    assert report["begun_with"]["update_seq"] == 0 and report["footing"]["ess"] == 1.0
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    report = evaluate(history, Job(version, made[-1].at_us, now_us()))
    assert report["begun_with"]["checkpoint_id"] is None
    assert report["footing"]["ess"] == 1.0  # untaught, and told every update since the start


def test_a_version_that_never_served_and_spans_without_decisions(life: Life) -> None:
    state, version, made = life
    described = json.loads(version.parameters)
    other = replace(
        version, id="new", kind="fixed",
        parameters=json.dumps(described | {"parameters": {"arm": "x", "floor": 0.2}}),
    )  # fmt: skip
    said: list[tuple[int, int]] = []
    history = LoggedHistory(state)
    report = evaluate(history, Job(other, 0, now_us()), lambda *done: said.append(done))
    assert said[0] == (0, len(made)) and said[-1] == (len(made), len(made))
    assert report["used"] == len(made) and report["begun_with"]["checkpoint_id"] is None
    nothing = evaluate(history, Job(version, 0, 1_000_000))
    assert not nothing["passed"] and "no decision was logged" in nothing["reason"]
    bad = replace(other, parameters=json.dumps(described | {"parameters": {"arms": "x"}}))
    with pytest.raises(UnknownParameter):
        evaluate(history, Job(bad, 0, now_us()))
    with pytest.raises(StorageError, match="no published history"):
        LoggedHistory(state / "elsewhere")


def test_the_child_writes_its_report_or_why_there_is_none(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, version, _ = life
    monkeypatch.setattr("service.feedback.evaluating.os.nice", lambda by: 0)
    monkeypatch.setattr("service.feedback.evaluating.signal.alarm", lambda seconds: 0)
    job, out = tmp_path / "job", tmp_path / "out"
    for folder, told in ((state, "reason"), (tmp_path / "none", "failed")):
        text = Job(version, 0, now_us()).text()
        job.write_text(json.dumps({"state_dir": str(folder), "job": text}), "utf-8")
        main(str(job), str(out), "60")
        assert told in json.loads(out.read_text("utf-8"))


def left_out(made: Decision, status: int | None = 200) -> str:
    return drawn_of(Ended(made, status, None, 1.0, 10), SCALE).left_out


def test_only_what_was_drawn_is_used() -> None:
    assert left_out(decision()) == ""
    assert left_out(decision(), None) == NO_OUTCOME
    assert left_out(decision(mode=Mode.STICKY)) == "held by a session"
    assert left_out(decision(mode=Mode.PINNED)) == "named by the caller"
    assert left_out(decision(mode=Mode.OVERRIDE)) == "settled by an operator"
    sure = Candidates(("x", "y"), (0.0, 1.0))
    assert left_out(decision(candidates=sure)) == ""  # a policy's own certainty stays
    pinned = (Assigned("slug@1", "treatment", 0.5, "u"),)
    assert left_out(decision(candidates=sure, assigned=pinned)) == BY_EXPERIMENT
    assert left_out(decision(assigned=pinned)) == ""
    alone = Candidates(("y",), (1.0,))
    assert left_out(decision(candidates=alone, assigned=pinned)) == ""
    assert left_out(decision(candidates=Candidates(("x", "y"), (1.0, 0.0)))) == NO_DRAW
    assert left_out(decision(candidates=Candidates(("x", "y"), (0.5, 0.6)))) == NO_DRAW


def test_what_is_not_known_is_no_number() -> None:
    shown = drawn_of(Ended(decision(), 200, None, 3.0, 10_000), SCALE).shown
    assert (shown.status, shown.cost_micro_usd) == (200.0, 10_000.0)
    assert np.isnan(shown.quality) and np.isnan(shown.reward)
    rated = drawn_of(Ended(decision(), 200, 0.8, 3.0, 10_000), SCALE).shown
    assert rated.reward == pytest.approx(0.8 - 0.01 / 0.1 - 3.0 / 60.0)
    under_way = drawn_of(Ended(decision(), None, 0.8, None, None), SCALE).shown
    assert np.isnan(under_way.status) and np.isnan(under_way.reward)
