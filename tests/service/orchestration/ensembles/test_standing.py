"""An ensemble beside the single: believed, proven, switched off, resumed, kept over a restart."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from experiments.statistics.moments import Moments
from service.domain.records import Act
from service.orchestration.ensembles.rules import Comparing, EnsembleRules
from service.orchestration.ensembles.standing import OFF, PROVEN, TRYING, Standings, shown
from service.storage.ensembles import ArmSeen
from tests.conftest import HandClock

RULES = EnsembleRules("votes", ("maths",), comparing=Comparing(after=400, gain=0.1))


def arm(chance: np.random.Generator, n: int, quality: float, usd: float) -> ArmSeen:
    rated = chance.binomial(1, quality, n).astype(float)
    return ArmSeen(n, usd, 0.5, 0.9, Moments.of(rated), Moments.of(rated - usd))


def made(acts: list[Act] | None = None) -> Standings:
    log: list[Act] = [] if acts is None else acts
    standings = Standings(log.append, HandClock())
    standings.take_rules([RULES])
    return standings


def look(standings: Standings, n: int, ours: float, single: float, usd: float = 0.01) -> None:
    chance = np.random.default_rng(7)
    arms = {
        "ensemble": arm(chance, 9 * n, ours, 3 * usd), "single": arm(chance, n, single, usd)
    }  # fmt: skip
    standings.look({("votes", "maths", RULES.digest, standings.of(RULES, "maths").episode): arms})


def test_one_that_wins_is_proven_and_the_measured_gain_takes_the_place_of_belief() -> None:
    standings = made()
    standing = standings.of(RULES, "maths")
    assert (standing.state, standing.gain()) == (TRYING, 0.1)
    look(standings, 10, 0.95, 0.5)
    assert standing.state == TRYING and standing.beside is not None
    assert standing.beside.net.low < 0.0 < standing.beside.net.high
    look(standings, 400, 0.95, 0.5)
    assert standing.state == PROVEN and standing.why.startswith("it wins")
    assert standing.gain() == pytest.approx(0.41, abs=0.06)
    assert standing.beside.multiplier == pytest.approx(3.0)
    told = shown(standing)
    assert told["state"] == PROVEN and told["net"]["low"] > 0.0 and told["rated"] == 4000
    json.dumps(told)


@pytest.mark.parametrize(
    ("ours", "single", "usd", "why"),
    [(0.7, 0.7, 0.0, "did not win"), (0.5, 0.9, 0.0, "it loses"), (0.72, 0.7, 0.1, "it ")],
    ids=["no better", "worse", "dearer"],
)
def test_one_that_does_not_win_is_switched_off(
    ours: float, single: float, usd: float, why: str
) -> None:
    acts: list[Act] = []
    standings = made(acts)
    look(standings, 400, ours, single, usd)
    standing = standings.of(RULES, "maths")
    assert standing.state == OFF and why in standing.why
    assert [(a.act, a.subject) for a in acts] == [("ensemble.off", "votes/maths")]
    assert standings.warnings() == [f"the ensemble votes is off for maths: {standing.why}"]
    look(standings, 400, 0.99, 0.3)
    assert standing.state == OFF, "it does not come back by itself"


def rows(acts: list[Act]) -> list[dict[str, Any]]:
    return [asdict(each) for each in acts]


def test_it_stays_so_over_a_restart_and_a_reload_until_somebody_resumes_it() -> None:
    acts: list[Act] = []
    standings = made(acts)
    look(standings, 400, 0.5, 0.9)
    standings.take_rules([RULES])
    assert standings.of(RULES, "maths").state == OFF
    again = Standings(acts.append, HandClock())
    again.resume(rows(acts))
    again.take_rules([RULES])
    standing = again.of(RULES, "maths")
    assert (standing.state, standing.episode) == (OFF, 1) and "it loses" in standing.why
    act = again.switch(standing, True, ("a new member came", "ann"), None)
    again.take(act)
    assert (standing.state, standing.episode, standing.beside) == (TRYING, 2, None)
    chance = np.random.default_rng(1)
    stale = {"ensemble": arm(chance, 900, 0.2, 0.0), "single": arm(chance, 400, 0.9, 0.0)}
    again.look({("votes", "maths", RULES.digest, 1): stale})
    assert standing.state == TRYING, "the evidence of before does not count"
    third = Standings(acts.append, HandClock())
    third.resume(rows([*acts, act]))
    third.take_rules([RULES])
    assert third.of(RULES, "maths").episode == 2


def test_other_rules_are_another_ensemble() -> None:
    acts: list[Act] = []
    standings = made(acts)
    look(standings, 400, 0.5, 0.9)
    other = EnsembleRules("votes", ("maths",), members=("river",))
    assert other.digest != RULES.digest
    fresh = Standings(acts.append, HandClock())
    fresh.resume(rows(acts))
    fresh.take_rules([other])
    assert fresh.of(other, "maths").state == TRYING
    same = EnsembleRules("votes", ("maths", "code"), comparing=Comparing(share=0.2))
    assert same.digest == RULES.digest, "for whom and how it is compared does not matter"
