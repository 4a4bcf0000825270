"""Answers that were rated elsewhere are learned once: over kills, restarts and repetitions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning.evidence import Answers
from service.domain.acting import Person, Told, act_of
from service.domain.errors import Conflict, StorageUnavailable, Unprocessable
from service.domain.records import Act
from service.feedback.apply import EVIDENCE
from service.feedback.evaluating import _as_told
from service.feedback.teaching import Lesson, Teacher, TeacherParts
from service.feedback.versions import restored
from service.storage.cases import rows_of
from service.storage.errors import WriteFailed
from service.storage.updates import logged_updates
from tests.service.feedback.test_learner import WANTED, Home

WHY = Told("", "", "rated in an evaluation", "ann")


def lesson(content: str = "one", prompts: int = 40, tokens: float = 120.0) -> Lesson:
    """The same prompts answered by both, ``y`` far better."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((prompts, 5))
    x[:, -1] = 1.0
    arm = np.repeat([0, 1], prompts)
    answers = Answers(
        ("x", "y"), WANTED.setup.features, arm, np.vstack([x, x]), np.where(arm == 1, 0.9, 0.2),
        np.full(2 * prompts, 30.0), np.full(2 * prompts, tokens),
    )  # fmt: skip
    return Lesson("eval", answers, ("writing",) * (2 * prompts), prompts, content)


def teacher(home: Home) -> Teacher:
    clock = home.learner.parts.clock
    made = Teacher(TeacherParts(home.log, home.database.cursor, home.learner, clock))
    made.resume()
    return made


def signed(told: Told) -> Act:
    return act_of(Person("ops", "k", "operator"), 1_000_000, told)


def full(batches: object) -> None:
    raise WriteFailed("No space left on device")


def take(made: Teacher, given: Lesson) -> str:
    return asyncio.run(made.take(given, signed, WHY))


def updates(home: Home) -> list[str]:
    home.settle()
    home.log.flush().result(10)
    sql = f"SELECT model_id FROM updates WHERE kind = '{EVIDENCE}' ORDER BY seq"
    return [row["model_id"] for row in rows_of(home.database.cursor(), sql)]


def counts(home: Home) -> list[float]:
    arrays = home.learner.policy.state().arrays
    return [float(each) for each in arrays["count"]]


def test_it_is_learned_at_once_and_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = teacher(home)
    evidence_id = take(made, lesson())
    assert updates(home) == [evidence_id]
    assert counts(home) == pytest.approx([40.0, 40.0], rel=1e-3)
    shares = [home.round(None).decision.candidates.propensities for _ in range(20)]
    assert np.mean(shares, axis=0)[1] > 0.9
    [taken] = made.taken()
    assert (taken.id, taken.author, taken.reason) == (evidence_id, "ann", WHY.reason)
    assert taken.detail["deployments"] == {
        "x": {"answers": 40, "quality": pytest.approx(0.2)},
        "y": {"answers": 40, "quality": pytest.approx(0.9)},
    }
    with pytest.raises(Conflict, match=f"taken before, as {evidence_id} at 1970-01-01T00:00:01Z"):
        take(made, lesson())
    assert updates(home) == [evidence_id]
    take(made, lesson("another"))
    assert len(updates(home)) == 2
    assert counts(home) == pytest.approx([80.0, 80.0], rel=1e-3)
    home.leave()


def test_after_a_kill_the_state_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    for _ in range(10):
        home.round()
    home.settle()
    take(teacher(home), lesson())
    for _ in range(10):
        home.round(0.3)
    updates(home)
    before = home.learner.policy.freeze()
    again = restored(home.resumed.version, home.versions, home.database.cursor)
    assert again.policy.freeze() == before and again.passed_over == 0
    home.leave()
    with_checkpoint = Home(tmp_path)
    teacher(with_checkpoint)
    assert with_checkpoint.learner.waiting == 0, "nothing is learned again"
    with_checkpoint.abandon()
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()  # as if it had been killed before it wrote any
    later = Home(tmp_path)
    assert later.resumed.checkpoint_id == "" and later.resumed.passed_over == 0
    assert later.resumed.policy.freeze() == home.learner.policy.freeze()
    teacher(later)
    later.learner.start()
    assert len(updates(later)) == 1
    later.leave()


@pytest.mark.parametrize("rounds", [0, 12])
def test_a_kill_between_the_act_and_the_update_loses_nothing(tmp_path: Path, rounds: int) -> None:
    home = Home(tmp_path)  # its learner never runs: what is queued is lost with it
    if rounds:
        home.learner.start()
        for _ in range(rounds):
            home.round()
        home.settle()
        home.learner.stop()
    evidence_id = take(teacher(home), lesson())
    home.abandon()
    later = Home(tmp_path)
    made = teacher(later)
    assert later.learner.waiting == 1
    later.learner.start()
    assert updates(later) == [evidence_id]
    with pytest.raises(Conflict, match="taken before"):
        take(made, lesson())
    later.leave()
    last = Home(tmp_path)
    teacher(last)
    assert last.learner.waiting == 0
    last.abandon()


def test_a_new_version_has_the_sums_and_is_not_told_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    take(teacher(home), lesson())
    assert len(updates(home)) == 1
    wanted = replace(WANTED, parameters={"budget_usd": 0.002})
    home.learner.change(wanted, home.live).result(30)
    assert home.learner.version.id != home.resumed.version.id
    assert len(updates(home)) == 1
    assert counts(home) == pytest.approx([40.0, 40.0], rel=1e-3)
    home.leave()


def test_the_same_twice_at_the_same_moment_is_taken_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = teacher(home)

    async def both() -> list[object]:
        asked = [made.take(lesson(), signed, WHY) for _ in range(2)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(both())
    assert sorted(type(each) is Conflict for each in found) == [False, True]
    assert len(updates(home)) == 1
    home.leave()


def test_an_evaluation_on_the_log_is_told_it_too(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    take(teacher(home), lesson())
    updates(home)
    [(update, none)] = [
        each for each in logged_updates(home.database.cursor(), 0, None) if each[0].kind == EVIDENCE
    ]
    told = _as_told(update, none, home.versions.models)
    assert told.prior is not None and told.prior.evidence is not None
    assert told.prior.evidence.count.tolist() == [40.0, 40.0]
    home.versions.models.path(update.model_id or "").unlink()
    assert _as_told(update, none, home.versions.models).prior is None
    home.leave()


def test_a_policy_without_a_use_for_it_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path, replace(WANTED, kind="uniform", parameters={}))
    with pytest.raises(Unprocessable, match="of the kind uniform, which has no use"):
        take(teacher(home), lesson())
    assert not list(home.versions.models.root.iterdir())
    home.abandon()


def test_what_cannot_be_logged_is_not_learned(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = teacher(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home.database, "write", full)
        with pytest.raises(StorageUnavailable, match="was not taken"):
            take(made, lesson())
        with pytest.raises(StorageUnavailable, match="learning is frozen"):
            take(made, lesson())
    assert home.learner.waiting == 0 and made.taken() == []
    assert not list(home.versions.models.root.iterdir())
    home.abandon()


def test_the_act_tells_sums_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    take(teacher(home), lesson())
    [row] = rows_of(home.database.cursor(), "SELECT detail FROM acts WHERE act = 'evidence.taken'")
    assert sorted(json.loads(row["detail"])) == [
        "answers", "content", "deployments", "prompts", "source",
    ]  # fmt: skip
    home.leave()
