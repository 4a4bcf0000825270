"""Refits: accepted, refused or failed, each logged; the swap is exact after a restart."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.snapshot import freeze
from service.config import child_environment
from service.domain.clock import SystemClock
from service.feedback.refit import RefitParts, RefitRules, Refitter
from service.feedback.versions import restored
from service.storage.cases import rows_of
from tests.service.feedback.test_learner import WANTED, Home
from tests.service.storage.test_tables import feedback

pytestmark = pytest.mark.slow

RULES = RefitRules(least_ratings=50)


def refitter(home: Home, rules: RefitRules = RULES) -> Refitter:
    parts = RefitParts(home.log, home.database.cursor, home.versions, home.learner, SystemClock(),
                       child_environment())  # fmt: skip
    made = Refitter(rules, parts)
    made.resume(home.resumed.is_new)
    return made


def teach(home: Home, count: int, sound: bool = True) -> None:
    """Rated answers: ``slope`` says how good, in opposite senses for the two arms."""
    rng = np.random.default_rng(3)
    for _ in range(count):
        case = home.round(None)
        sense = 1.0 if case.decision.deployment == "x" else -1.0
        good = 0.5 + 0.4 * np.tanh(sense * float(case.decision.features[0]))
        quality = float(np.clip(good, 0.0, 1.0)) if sound else float(rng.random())
        rating = feedback(case.decision, quality=quality)
        case.feedback = {("rating", "user", "key"): rating}
        home.log.append(rating)
        home.learner.rated(case, rating)
    home.settle()
    home.log.flush().result(5)


def acts(home: Home) -> list[dict[str, Any]]:
    sql = "SELECT act, subject, reason, detail FROM acts ORDER BY log_seq"
    return rows_of(home.database.cursor(), sql)


def turn(made: Refitter) -> None:
    asyncio.run(made.turn())


def test_an_accepted_refit_is_the_prior_from_a_logged_update_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = refitter(home)
    teach(home, 40)
    turn(made)
    assert acts(home) == [] and made.standing().online is None  # too few new ratings
    teach(home, 220)
    turn(made)
    home.settle()
    (act,) = acts(home)
    detail = json.loads(act["detail"])
    assert act["act"] == "quality.accepted" and detail["figures"]["rows"] == 260
    assert detail["figures"]["error"] < 0.5 * detail["figures"]["means_error"]
    standing = made.standing()
    assert standing.model_id == act["subject"] and standing.setback is None
    home.log.flush().result(5)
    found = rows_of(home.database.cursor(), "SELECT * FROM updates WHERE kind = 'prior'")
    assert [row["model_id"] for row in found] == [act["subject"]]
    model = home.versions.models.read(act["subject"])
    centre = home.learner.policy.state().arrays["centre"]
    assert centre == pytest.approx(model.prior().theta)
    assert [path.suffix for path in home.versions.models.root.iterdir()] == [".hgsn"]
    turn(made)
    assert len(acts(home)) == 1  # nothing new since
    home.leave()


def test_the_state_after_a_kill_is_the_state_before_with_a_prior_among_the_updates(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = refitter(home)
    teach(home, 230)
    turn(made)
    home.settle()
    teach(home, 30)
    before, prediction = home.learner.policy.freeze(), home.learner.prediction
    assert prediction is not None and prediction.online.ratings == 30
    again = restored(home.resumed.version, home.versions, home.database.cursor)
    assert again.policy.freeze() == before and again.passed_over == 0
    home.leave()
    last = home.learner.policy.freeze()
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()  # as if it had been killed before it wrote any
    later = Home(tmp_path)
    assert later.resumed.checkpoint_id == "" and later.resumed.policy.freeze() == last
    refitter(later)
    found = later.learner.prediction
    assert found is not None and found.model_id == prediction.model_id
    assert (found.online.ratings, found.online.errors) == (30, prediction.online.errors)
    later.abandon()


def test_a_model_whose_file_is_gone_is_passed_over_and_counted(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = refitter(home)
    teach(home, 230)
    turn(made)
    home.settle()
    home.log.flush().result(5)
    home.leave()
    for path in (*(tmp_path / "checkpoints").iterdir(), *(tmp_path / "quality").iterdir()):
        path.unlink()
    later = Home(tmp_path)
    assert later.resumed.passed_over == later.learner.passed_over == 1
    refitter(later)
    assert later.learner.prediction is None
    later.learner.start()
    later.learner.adopt(made.standing().model_id)
    later.learner.adopt("no id")
    teach(later, 3)
    assert later.learner.passed_over == 3 and later.learner.alive
    later.leave()


def test_a_refused_refit_is_logged_with_its_figures_and_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = refitter(home)
    teach(home, 250, sound=False)
    turn(made)
    (act,) = acts(home)
    assert act["act"] == "quality.refused" and "not surely below" in act["reason"]
    assert json.loads(act["detail"])["figures"]["held_out"] == 50
    setback = made.standing().setback
    assert setback is not None and setback.reason == act["reason"]
    assert home.learner.prediction is None
    turn(made)
    assert len(acts(home)) == 1  # not again on the same ratings
    home.leave()
    later = Home(tmp_path)
    again = refitter(later)
    assert again.standing().setback == setback
    turn(again)
    assert len(acts(later)) == 1
    later.abandon()


@pytest.mark.parametrize(
    ("code", "limit_s", "said"),
    [
        ("import time; time.sleep(60)", 1, "not done after 1 seconds and was ended"),
        ("import os; os.abort()", 60, "ended with code -6"),
        ("raise SystemExit(3)", 60, "ended with code 3"),
        ("pass", 60, "the refit's files: FileNotFoundError"),
        ("open('out', 'wb').write(b'rubbish')", 60, "the refit's files: SnapshotCorrupt"),
    ],
)
def test_a_child_that_hangs_or_breaks_is_a_failure_and_no_more(
    tmp_path: Path, code: str, limit_s: int, said: str
) -> None:
    home = Home(tmp_path)
    home.learner.start()
    rules = RefitRules(least_ratings=5, limit_s=limit_s, child=(sys.executable, "-c", code))
    made = refitter(home, rules)
    teach(home, 10)
    began = time.monotonic()
    turn(made)
    assert time.monotonic() - began < 50.0
    (act,) = acts(home)
    assert act["act"] == "quality.failed" and said in act["reason"]
    assert list(home.versions.models.root.iterdir()) == []
    home.leave()


def test_a_stop_ends_the_child_and_leaves_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    code = "import os, time; open('../pid', 'w').write(str(os.getpid())); time.sleep(60)"
    rules = RefitRules(least_ratings=5, child=(sys.executable, "-c", code))
    made = refitter(home, rules)
    teach(home, 10)
    told = home.versions.models.root / "pid"

    async def stopped() -> None:
        task = asyncio.create_task(made.turn())
        while not told.exists() or not told.read_text():
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(stopped())
    assert not Path("/proc", told.read_text()).exists() or not Path("/proc").exists()
    assert list(home.versions.models.root.iterdir()) == [told] and acts(home) == []
    home.leave()


def test_what_was_accepted_and_not_taken_is_taken_at_the_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = refitter(home)
    teach(home, 230)
    home.learner.adopt = lambda model_id: None  # type: ignore[method-assign]  # killed here
    turn(made)
    home.leave()
    later = Home(tmp_path)
    refitter(later)
    later.learner.start()
    later.round(0.5)
    later.settle()
    assert later.learner.prediction is not None
    later.leave()
    setup = replace(WANTED.setup, arms=WANTED.setup.arms[:1])
    renewed = Home(tmp_path, replace(WANTED, kind="linucb", parameters={}, setup=setup))
    assert renewed.resumed.is_new
    refitter(renewed)
    renewed.learner.start()
    while renewed.learner.waiting:
        time.sleep(0.01)
    assert renewed.learner.prediction is not None  # a new version is told of the model in use
    renewed.leave()


def test_only_the_child_carries_scikit_learn() -> None:
    code = "import sys, service.app, service.bootstrap.build; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=child_environment()).returncode == 0


def test_the_child_is_the_same_fit(tmp_path: Path) -> None:
    """What comes back through the files is what the fit gives here, byte for byte."""
    home = Home(tmp_path)
    home.learner.start()
    made = refitter(home, replace(RULES, least_ratings=200))
    teach(home, 230)
    rows = made._due()
    assert rows is not None
    found = [asyncio.run(made._fitted(rows)) for _ in range(2)]
    states = [freeze(each.state()) for each in found]  # type: ignore[union-attr]
    assert states[0] == states[1]
    home.leave()
