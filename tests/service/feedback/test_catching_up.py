"""What missed much catches up in a child and knows then what the log says, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config import child_environment
from service.domain.clock import SystemClock
from service.domain.experiments import How
from service.feedback.catching_up import CatchUp
from service.feedback.promoting import Drafted, Signature, VersionDesk
from service.feedback.versions import restored
from service.storage.history import Publisher
from tests.service.feedback.test_learner import Home, run

BY = Signature("ann", "it is to be tried")


def desk_of(home: Home, state: Path) -> tuple[VersionDesk, list[int]]:
    publisher, calls = Publisher(home.database, state), list[int]()

    def publish() -> None:
        calls.append(publisher.publish(home.log.last_seq).through_seq)

    catch_up = CatchUp(state, publish, child_environment())
    return VersionDesk(home.learner, home.database.cursor, SystemClock(), catch_up), calls


@pytest.mark.slow
def test_created_parked_and_followed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.feedback.promoting.NEAR", 5)
    (tmp_path / "catching-left").mkdir()
    home = Home(tmp_path)
    run(home, 40)
    desk, calls = desk_of(home, tmp_path)
    assert not (tmp_path / "catching-left").exists()
    made = desk.create(Drafted("thompson", {}), BY).result(30)
    assert len(calls) == 1  # in the child
    (first,) = home.versions.checkpoints_of(made.id)
    taught = restored(made, home.versions, home.database.cursor, first.update_seq)
    assert taught.replayed == 0 and taught.checkpoint_id == first.id
    for _ in range(20):
        home.round(0.2)
    home.settle()
    desk.follow(made.id).result(30)
    assert len(calls) == 2
    home.log.flush().result(5)
    beside = home.learner.others[made.id]
    known = home.versions.checkpoints_of(made.id)[0]
    again = restored(made, home.versions, home.database.cursor, beside.saved_seq, known.id)
    assert again.checkpoint_id == known.id and again.replayed >= 20
    assert again.policy.freeze() == home.versions.read(home.versions.checkpoints_of(made.id)[-1])
    desk.promote(made.id, How.PROMOTED, BY).result(30)
    assert len(calls) == 2 and home.live.current.mark.version_id == made.id  # it was followed
    home.leave()
    assert not list(tmp_path.glob("catching-*"))


def test_where_the_child_fails_the_learner_does_it_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.feedback.promoting.NEAR", 5)
    monkeypatch.setattr("service.feedback.catching_up.sys.executable", "/bin/false")
    home = Home(tmp_path)
    run(home, 20)
    desk, calls = desk_of(home, tmp_path)
    made = desk.create(Drafted("thompson", {}), BY).result(30)
    assert len(calls) == 1 and home.versions.checkpoints_of(made.id)
    with pytest.raises(ValueError, match="nonsense"):
        desk.create(Drafted("thompson", {"nonsense": 1}), BY).result(10)
    home.leave()
