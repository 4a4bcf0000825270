"""Labels to the classifier: due, fitted in a child, accepted or refused, resumed, rolled back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.snapshot import Frozen
from service.config import child_environment
from service.domain.clock import SystemClock, new_id
from service.domain.errors import Conflict
from service.domain.reviews import ClassifiedFeatures, Kind, ReviewItem, ReviewTurn, Turn
from service.people.relearning import FOLDER, Relearner, RelearnParts, Wished
from service.storage.cases import rows_of
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.labels import labels_of, new_labels
from tests.conftest import ROOT
from tests.service.people.label_fitter import WIDTH, known
from tests.service.storage.test_tables import NOW

pytestmark = pytest.mark.slow
TASKS = ("code", "maths", "other")
TOLD = {"tasks": list(TASKS), "blur": 1.5}


@dataclass
class Home:
    """A log of labels, and who learns from it."""

    state: Path
    told: dict[str, Any] = field(default_factory=lambda: dict(TOLD))
    digest: str = "d1"
    fitter: str = "tests.service.people.label_fitter"
    given: int = 0

    def __post_init__(self) -> None:
        self.database = Database(self.state / FILE)
        self.log = EventLog(self.database)
        self.log.start()
        self.adopted: list[Frozen | None] = []
        self.counted: list[str] = []
        environment = child_environment() | {"PYTHONPATH": str(ROOT)}
        self.relearner = Relearner(
            RelearnParts(
                self.log, self.database.cursor, SystemClock(), self.state, environment, self.fitter,
                lambda: Wished(self.told, TASKS, "small-1", self.digest), self._adopt, lambda: 80,
                self.counted.append,
            )
        )  # fmt: skip

    def _adopt(self, frozen: Frozen | None) -> bool:
        self.adopted.append(frozen)
        return True

    def label(self, count: int, sound: bool = True, layout: str = "small-1") -> None:
        """People said what requests are; ``sound``: as their features say."""
        rng = np.random.default_rng(self.given)
        for at in range(count):
            self.given += 1
            truth = at % 3
            x = (np.eye(3, WIDTH)[truth] + rng.normal(0.0, 0.3, WIDTH)).astype(np.float32)
            said = TASKS[truth if sound else int(rng.integers(3))]
            probability = 1.0 if at % 2 else 0.1
            item = ReviewItem(
                new_id(), NOW, Kind.CLASSIFICATION, "s", "unsure", new_id(), "k", "", "", "code",
                "x", 0.4, probability, NOW, "{}",
            )  # fmt: skip
            turn = ReviewTurn(item.id, NOW, Turn.DECIDED, "k", "ann", None, said)
            self.log.append(item)
            self.log.append(ClassifiedFeatures(item.id, NOW, layout, x))
            self.log.append(turn)
        self.log.flush().result(10)

    def turn(self) -> list[dict[str, Any]]:
        asyncio.run(self.relearner.turn())
        found = rows_of(
            self.database.cursor(),
            "SELECT act, subject, reason, detail FROM acts ORDER BY log_seq",
        )
        return [{**each, "detail": json.loads(each["detail"])} for each in found]

    def leave(self) -> None:
        self.log.stop()
        self.database.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path)
    yield found
    found.leave()


def test_labels_are_read_with_their_features_in_order(home: Home) -> None:
    home.label(6)
    home.label(2, layout="other-1")
    cursor = home.database.cursor()
    assert new_labels(cursor, 0, "small-1")[0] == 6
    found = labels_of(cursor, TASKS, "small-1")
    assert found.y.tolist() == [0, 1, 2, 0, 1, 2] and found.x.shape == (6, WIDTH)
    assert found.weight.tolist() == [10.0, 1.0] * 3
    assert len(labels_of(cursor, TASKS, "small-1", newest=4)) == 4
    assert len(labels_of(cursor, ("code",), "small-1")) == 2
    assert len(labels_of(cursor, TASKS, "nothing")) == 0


def test_from_labels_to_a_better_classifier_and_back(home: Home, tmp_path: Path) -> None:
    home.relearner.resume()
    home.label(40)
    assert home.turn() == []  # too few
    home.label(110)
    (act,) = home.turn()
    assert act["act"] == "classifier.relearned" and act["detail"]["labels"] == 150
    compared = act["detail"]["compared"]
    assert compared["held_out"] == 30 and compared["loss"] < compared["before"]
    first = act["subject"]
    assert home.relearner.current == first and home.counted == ["accepted"]
    frozen = home.adopted[-1]
    assert frozen is not None
    small = known(frozen)
    assert small.of_features(np.eye(3, WIDTH)[1].astype(np.float32)).argmax() == 1
    assert small.version == first
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [f"{first}.hgsn"]
    assert len(home.turn()) == 1  # nothing new since
    # A start goes on with it, one under another plan does not.
    again = Home.__new__(Home)
    again.__dict__ |= home.__dict__
    again.adopted = []
    again.relearner = Relearner(replace(home.relearner._parts, adopt=again._adopt))
    again.relearner.resume()
    assert again.relearner.current == first and len(again.adopted) == 1
    home.digest = "d2"
    other = Relearner(replace(home.relearner._parts, adopt=again._adopt))
    other.resume()
    assert other.current == "" and len(again.adopted) == 1
    home.relearner.retake()
    assert home.relearner.current == ""
    # Nor does what people said get lost with it: they teach the next one as they taught the last.
    (_, act) = home.turn()
    assert act["act"] == "classifier.relearned" and act["detail"]["digest"] == "d2"
    assert act["detail"]["labels"] == 150 and act["detail"]["parent"] == ""
    # Back to the plan before, and what was learned for that is in force again.
    home.digest = "d1"
    home.relearner.retake()
    assert home.relearner.current == first
    assert home.adopted[-1] is not None and known(home.adopted[-1]).version == first
    again.relearner.resume()
    assert again.relearner.current == first
    # Back to the one without labels, which is an act, and holds after a start too.
    found = asyncio.run(again.relearner.rollback("it takes code for maths", "ann", None))
    assert found == {"current": "", "from": first} and again.adopted[-1] is None
    with pytest.raises(Conflict, match="nothing to go"):
        asyncio.run(again.relearner.rollback("once more, why not", "ann", None))
    last = Relearner(home.relearner._parts)
    last.resume()
    assert last.current == ""
    acts = last.standing()["acts"]
    assert [each["act"] for each in acts] == ["classifier.rolled_back"] + [
        "classifier.relearned"
    ] * 2
    assert acts[0]["reason"] == "it takes code for maths"


def test_a_plan_that_changes_during_a_refit_does_not_get_what_was_fitted_for_another(
    home: Home,
) -> None:
    home.label(150)

    async def both() -> None:
        refit = asyncio.create_task(home.relearner.turn())
        while not list((home.state / FOLDER).glob("fitting-*")):
            await asyncio.sleep(0.01)
        home.digest = "d2"
        home.relearner.retake()
        await refit

    asyncio.run(both())
    assert home.relearner.current == "" and home.adopted == []
    home.digest = "d1"
    home.relearner.retake()
    assert home.relearner.current and len(home.adopted) == 1


def test_a_rollback_waits_for_no_refit_and_the_refit_gives_way(home: Home) -> None:
    home.label(150)
    (first,) = home.turn()
    home.label(90)

    async def both() -> None:
        refit = asyncio.create_task(home.relearner.turn())
        while not list((home.state / FOLDER).glob("fitting-*")):
            await asyncio.sleep(0.01)
        found = await home.relearner.rollback("it takes code for maths", "ann", None)
        assert found == {"current": "", "from": first["subject"]} and not refit.done()
        await refit

    asyncio.run(both())
    assert home.relearner.current == "" and home.counted == ["accepted", "rolled_back", "failed"]
    assert "rolled back meanwhile" in home.turn()[-1]["reason"]


def test_labels_that_make_it_worse_are_refused_and_a_fit_that_breaks_is_told(home: Home) -> None:
    home.told["blur"] = 0.2  # what is known without people is good already
    home.label(100, sound=False)
    home.label(25)
    (act,) = home.turn()
    assert act["act"] == "classifier.relearning_refused" and "log loss" in act["reason"]
    assert home.relearner.current == "" and home.adopted == []
    home.told["tasks"] = []
    home.label(120)
    failed = home.turn()[-1]
    assert failed["act"] == "classifier.relearning_failed" and "ended with code" in failed["reason"]
    assert home.counted == ["refused", "failed"]
    assert list((home.state / FOLDER).iterdir()) == []
