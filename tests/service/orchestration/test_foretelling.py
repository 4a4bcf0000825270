"""Prediction as a whole, on a real log: fitted in a child, believed or set aside, its worth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.acceptance import Foresight
from learning.features import RequestShape, inspect
from service.config import child_environment
from service.domain.clock import SystemClock
from service.domain.prediction import CheckDrawn
from service.feedback.acceptance_refit import (
    AcceptanceParts,
    AcceptanceRefitter,
    AcceptanceRules,
)
from service.feedback.skipping import Skipping, SkipRules
from service.feedback.worth import Prices
from service.orchestration.foretelling import Foretelling, ForetellingParts, ForetellingRules
from service.routing.foreseeing import (
    ASIDE,
    COLD,
    FITTED,
    OFF,
    Foreseer,
    PredictionRules,
    Published,
)
from service.storage.cases import rows_of
from service.storage.models import AcceptanceModels
from service.storage.predictions import Judged, checks_of
from tests.service.feedback.test_learner import Home
from tests.service.storage.test_predictions import foreseen
from tests.service.storage.test_tables import feedback

pytestmark = pytest.mark.slow

JUDGED = Judged("rating", ("judge",), 0.7)
ARMS = {"x": 0.7, "y": 0.7}


def foretelling(home: Home, after: int = 10_000, acts: bool = True) -> Foretelling:
    foreseer = Foreseer(
        tuple(ARMS), PredictionRules(margin=0.2 if acts else None), Published(Foresight(ARMS, 0.7))
    )
    cursor = home.database.cursor
    parts = AcceptanceParts(home.log, cursor, AcceptanceModels(home.versions.models.root.parent),
                            home.learner, SystemClock(), child_environment())  # fmt: skip
    refitter = AcceptanceRefitter(AcceptanceRules(0.7, least_ratings=200), parts)
    skipping = Skipping(SkipRules(), lambda e: checks_of(cursor(), e, JUDGED), home.log.append,
                        SystemClock())  # fmt: skip
    made = Foretelling(
        ForetellingRules(JUDGED, Prices(0.05, 0.1, None, after), 0.002, ARMS),
        ForetellingParts(foreseer, refitter, skipping, home.log, cursor, SystemClock()),
    )
    made.resume()
    return made


def teach(home: Home, count: int, sense: float = 1.0, seed: int = 3) -> list[Any]:
    """Rated answers that ``slope`` tells apart, in opposite senses for the two arms."""
    rng, cases = np.random.default_rng(seed), []
    for _ in range(count):
        case = home.round(None)
        side = sense if case.decision.deployment == "x" else -sense
        chance = 1.0 / (1.0 + np.exp(-3.0 * side * float(case.decision.features[0])))
        rating = feedback(case.decision, quality=float(rng.random() < chance))
        case.feedback = {("rating", "user", "key"): rating}
        home.log.append(rating)
        home.learner.rated(case, rating)
        cases.append(case)
    home.settle()
    home.log.flush().result(5)
    return cases


def acts(home: Home) -> list[dict[str, Any]]:
    home.log.flush().result(5)
    sql = "SELECT act, subject, reason, detail FROM acts WHERE act LIKE 'prediction.%' ORDER BY ts"
    return rows_of(home.database.cursor(), sql)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Foretelling]]:
    home = Home(tmp_path_factory.mktemp("state"))
    home.learner.start()
    made = foretelling(home)
    assert made.foreseer.published.state == COLD
    teach(home, 500)
    asyncio.run(made.refit())
    yield home, made
    home.leave()


def test_a_fit_that_beats_its_baselines_predicts_at_once(taught: tuple[Home, Foretelling]) -> None:
    home, made = taught
    published = made.foreseer.published
    assert published.state == FITTED and published.model_id
    (act,) = acts(home)
    detail = json.loads(act["detail"])
    assert act["act"] == "prediction.fitted" and act["subject"] == published.model_id
    assert detail["standing"]["over_constant_high"] < 0.0 and detail["seconds"] > 0.0
    signals = inspect(RequestShape("Tell me of kites", 4))
    x = np.array([2.0, 0.0, 0.0, 0.0, 1.0], np.float32)
    ahead = made.foreseer.ahead(signals, x)
    assert ahead is not None and ahead.chances[0] > 0.8 > 0.3 > ahead.chances[1]
    shown = made.shown()
    assert shown["state"] == "fitted" and shown["fit"]["brier"] < shown["fit"]["constant_brier"]
    asyncio.run(made.refit())
    assert len(acts(home)) == 1  # nothing new since


def test_after_a_restart_it_predicts_the_same(taught: tuple[Home, Foretelling]) -> None:
    home, made = taught
    again = foretelling(home)
    one, two = made.foreseer.published, again.foreseer.published
    assert (two.state, two.model_id) == (one.state, one.model_id)
    signals, x = inspect(RequestShape("Tell me of kites", 4)), np.ones(5, np.float32)
    here, there = made.foreseer.ahead(signals, x), again.foreseer.ahead(signals, x)
    assert here is not None and there is not None
    assert here.chances == there.chances


def test_the_gate_is_open_only_while_a_fit_is_believed(taught: tuple[Home, Foretelling]) -> None:
    home, made = taught
    case = home.round(None)
    told = foreseen(case.decision, chances=(0.4, 0.95))
    decision = replace(case.decision, predicted=told)
    drawn = made.gate(decision, "y")
    assert drawn is not None and drawn.check and drawn.probability == 1.0
    home.log.flush().result(5)
    asyncio.run(made.turn())
    assert made.skipping is not None and made.skipping.seen.checked == 1
    assert made.skipping.seen.waiting == 1 and made.shown()["skipping"]["state"] == "proving"
    assert made.worth is not None and made.worth.predictions == 0
    off = made.switch(False, "a look at what it does", "ann", None)
    home.log.append_durable(off).result(5)
    made.take(off)
    assert made.foreseer.published.state == OFF and made.gate(decision, "y") is None
    assert foretelling(home).foreseer.published.state == OFF
    on = made.switch(True, "it is well understood now", "ann", None)
    home.log.append_durable(on).result(5)
    made.take(on)
    assert made.foreseer.published.state == FITTED


def test_what_it_foresaw_since_may_set_it_aside(taught: tuple[Home, Foretelling]) -> None:
    """The world turns round: what was good is bad. Its own foresight says so before a refit."""
    home, made = taught
    model_id = made.foreseer.published.model_id
    for case in teach(home, 250, sense=-1.0, seed=8):
        ahead = made.foreseer.ahead(inspect(RequestShape("a", 1)), case.decision.features)
        assert ahead is not None
        home.log.append(foreseen(case.decision, model_id=model_id, chances=ahead.chances))
    home.log.flush().result(5)
    asyncio.run(made.turn())
    assert made.borne is not None and made.borne.worse and made.borne.rated == 250
    assert made.foreseer.published.state == ASIDE
    assert "worse than the arms' shares" in made.warnings()[0]
    assert acts(home)[-1]["act"] == "prediction.worse"
    asyncio.run(made.refit())  # half of the ratings say one thing, half the other
    assert made.foreseer.published.state == ASIDE
    reason = acts(home)[-1]["reason"]
    assert acts(home)[-1]["act"] == "prediction.aside" and "not surely" in reason
    assert foretelling(home).foreseer.published.state == ASIDE


def test_a_loss_switches_it_off_and_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = foretelling(home, after=100, acts=False)
    made.foreseer.timed, made.foreseer.cpu_s = 1, 30e-6
    for case in teach(home, 120):
        home.log.append(foreseen(case.decision, state="cold", model_id=""))
    home.log.flush().result(5)
    asyncio.run(made.turn())
    assert (
        made.foreseer.published.state == OFF
        and "cost more than it brought" in acts(home)[-1]["reason"]
    )
    assert made.shown()["worth"]["loses"] and made.warnings()
    on = made.switch(True, "its cost is accepted", "ann", None)
    home.log.append_durable(on).result(5)
    made.take(on)
    asyncio.run(made.turn())
    assert made.foreseer.published.state == COLD  # what was lost before is forgiven
    home.leave()


def test_skips_are_worth_their_checks(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.learner.start()
    made = foretelling(home, after=10, acts=False)
    for at, case in enumerate(teach(home, 40)):
        home.log.append(foreseen(case.decision))
        home.log.append(
            CheckDrawn(case.decision.id, case.decision.at_us, "y", 0.95, at < 2, 0.05, 1)
        )
    home.log.flush().result(5)
    asyncio.run(made.turn())
    assert made.worth is not None
    assert made.worth.net.estimate == pytest.approx(38 * 0.002, abs=1e-4) and not made.worth.loses
    home.leave()
