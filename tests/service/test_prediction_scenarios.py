"""The ten scenarios of the docs, each run as its table says it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.prediction_world import rated
from learning.acceptance_check import Aside, Held, refit
from service.domain.chat import parse
from service.domain.clock import new_id
from service.domain.prediction import EARLY, UNLIKELY
from service.domain.records import Decision, Key
from service.feedback.acceptance_refit import Believed
from service.orchestration.foretelling import Foretelling
from service.runtime import Runtime
from service.storage.predictions import Checks
from tests.conftest import ROOT, make_runtime, plan_text

pytestmark = pytest.mark.slow

KEY = Key("key-1", 0, "k", "caller", "", "", "d")
CLAUSE = (
    " The supplier shall deliver the goods within 30 days unless the parties agree otherwise in "
    "writing, and liability is limited to the amount paid."
)
EXTRA = """
prediction:
  held_out: 0.0
  route: {margin: 0.2}
  escalate: {below: 0.5, gain: 0.1}
  skip: {above: 0.9, audit: 0.05, most_bad: 0.1}
"""
LADDER = """
fallbacks:
  - task: maths
    tiers:
      - {use: [brook], timeout_s: 9}
      - {use: [mill, river], timeout_s: 9}
      - {use: [fall], timeout_s: 9}
"""


@dataclass(frozen=True)
class Row:
    scenario: str
    request: str
    ranges: tuple[tuple[float, float], ...]
    happens: str


def _table() -> dict[str, Row]:
    text = (ROOT / "docs" / "quality-prediction.md").read_text("utf-8")
    found = {}
    for line in text.partition("## Ten scenarios")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 6 and "`" in cells[1]:
            pairs = [re.fullmatch(r"(\d+) to (\d+)", cell) for cell in cells[2:5]]
            ranges = tuple((float(p[1]), float(p[2])) for p in pairs if p)
            found[cells[0]] = Row(cells[0], cells[1], ranges, cells[5])
    return found


TABLE = _table()


def asked(row: Row) -> Any:
    prompt = re.findall("`([^`]+)`", row.request)[0]
    body: dict[str, Any] = {"model": "auto"}
    if "60 clauses" in row.request:
        prompt += 60 * CLAUSE
    if "JSON mode" in row.request:
        body["response_format"] = {"type": "json_object"}
    if row.scenario.startswith("hard"):
        body["headgate"] = {"deployments": ["brook"]}
    body["messages"] = [{"role": "user", "content": prompt}]
    return parse(json.dumps(body).encode())


@dataclass
class Ground:
    runtime: Runtime
    model: Believed
    aside: Believed

    @property
    def made(self) -> Foretelling:
        assert self.runtime.prediction is not None
        return self.runtime.prediction

    def decide(self, row: Row, believed: Believed | None) -> Decision:
        self.made.refitter.believed = believed
        self.made.publish()
        return self.runtime.router.decide(asked(row), KEY)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    text = plan_text("http://127.0.0.1:1") + EXTRA + LADDER
    text = text.replace("capabilities: [tools, json]", "capabilities: [tools]", 1)  # brook
    runtime = make_runtime(tmp_path_factory.mktemp("state"), text)
    names = tuple(each.name for each in runtime.catalog)
    held = refit(rated(names, runtime.plan.task_names), 0.7)
    noise = refit(rated(names, runtime.plan.task_names, noise=True), 0.7)
    assert isinstance(held, Held) and isinstance(noise, Aside)
    yield Ground(
        runtime,
        Believed(held.model, "m-1", "", held.model.tally, None, 0),
        Believed(None, "", noise.reason, noise.tally, None, 0),
    )
    asyncio.run(runtime.stop())


def left(decision: Decision) -> set[str]:
    return {each.deployment for each in decision.disqualified if each.reason == UNLIKELY}


def nobody_leaves(ground: Ground, row: Row) -> Decision:
    made = ground.decide(row, ground.model)
    assert left(made) == set() and len(made.candidates.names) == 4
    return made


def brook_leaves(ground: Ground, row: Row) -> Decision:
    made = ground.decide(row, ground.model)
    assert "brook" in left(made) and "fall" in made.candidates.names
    assert made.deployment != "brook" and sum(made.candidates.propensities) == pytest.approx(1.0)
    assert made.predicted is not None and made.predicted.act == "narrowed"
    return made


def second_tier(ground: Ground, row: Row) -> Decision:
    made = ground.decide(row, ground.model)
    assert made.task == "maths" and made.reason == EARLY and "brook" in left(made)
    assert made.deployment == "river"  # of the second tier; mill lies too far below it
    assert made.predicted is not None and made.predicted.act == "escalated"
    return made


def lacks_json(ground: Ground, row: Row) -> Decision:
    made = ground.decide(row, ground.model)
    reasons = {each.deployment: each.reason for each in made.disqualified}
    assert reasons["brook"] == "lacks json" and "brook" not in left(made)
    return made


def cold(ground: Ground, row: Row) -> Decision:
    made = ground.decide(row, None)
    assert made.predicted is not None and made.predicted.state == "cold"
    assert made.predicted.chances == pytest.approx((0.5,) * 4) and left(made) == set()
    assert ground.made.gate(made, made.deployment) is None
    return made


def set_aside(ground: Ground, row: Row) -> Decision:
    made = ground.decide(row, ground.aside)
    assert made.predicted is not None and made.predicted.state == "aside" and left(made) == set()
    assert made.deployment == "brook" and made.reason != EARLY  # the first tier, as without it
    (said,) = [w for w in ground.made.warnings() if w.startswith("prediction is aside")]
    assert "is not surely below that of the arms' shares" in said
    return made


def skipping_stops(ground: Ground, row: Row) -> Decision:
    made, rule = ground.decide(row, ground.model), ground.made.skipping
    assert rule is not None and made.predicted is not None
    rule.share = lambda: 1.0  # without the rule every answer would be checked
    best = max(made.predicted.deployments, key=lambda name: made.predicted.chance(name) or 0.0)  # type: ignore[union-attr]
    found = ground.made.gate(made, best)
    assert found is not None and (found.check, found.probability) == (True, 1.0)  # to be proven

    def verdicts(bad: np.ndarray[Any, Any]) -> Callable[[int], Checks]:
        return lambda episode: Checks(bad, len(bad), 500, 0)

    rng = np.random.default_rng(4)
    good = (rng.random(600) < 0.02).astype(float)
    rule._checks = verdicts(good)
    rule.weigh(rule.measured())
    assert rule.skips
    skipped = [ground.made.gate(replace(made, id=new_id()), best) for _ in range(300)]
    assert {each.probability for each in skipped if each} == {0.05}
    rule._checks = verdicts(np.concatenate([good, (rng.random(60) < 0.5).astype(float)]))
    rule.weigh(rule.measured())
    assert not rule.skips and rule.episode == 2
    assert any("checks are not skipped (proving)" in said for said in ground.made.warnings())
    again = ground.made.gate(made, best)
    assert again is not None and again.probability == 1.0
    return made


def brook_answers(ground: Ground, row: Row) -> Decision:
    made = ground.decide(row, ground.model)
    assert made.deployment == "brook" and made.propensity == 1.0 and left(made) == set()
    assert made.predicted is not None and (made.predicted.chance("brook") or 1.0) < 0.5
    return made


HAPPENS: dict[str, Callable[[Ground, Row], Decision]] = {
    "nobody leaves": nobody_leaves,
    "brook leaves": brook_leaves,
    "begins at the second tier": second_tier,
    "who lacks json leaves for that": lacks_json,
    "priors are told, nothing is done": cold,
    "it is set aside and says why": set_aside,
    "skipping stops and says why": skipping_stops,
    "brook answers": brook_answers,
}


def test_there_are_ten_and_each_says_what_happens() -> None:
    assert len(TABLE) == 10 and all(len(row.ranges) == 3 for row in TABLE.values())
    assert {row.happens for row in TABLE.values()} == set(HAPPENS)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_scenario_of_the_docs(ground: Ground, name: str) -> None:
    row = TABLE[name]
    made = HAPPENS[row.happens](ground, row)
    assert made.predicted is not None
    told = made.predicted.complexity, made.predicted.ambiguity, made.predicted.difficulty
    for score, (low, high) in zip(told, row.ranges, strict=True):
        assert low <= score <= high, (name, told)


def test_the_plan_of_the_docs_is_one_that_loads(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "quality-prediction.md").read_text("utf-8")
    shown = text.partition("```yaml\n")[2].partition("```")[0]
    runtime = make_runtime(tmp_path, plan_text("http://127.0.0.1:1") + "\n" + shown)
    wanted = runtime.plan.prediction
    assert wanted is not None and wanted.skip is not None and wanted.skip.check_usd == 0.002
    assert runtime.prediction is not None and runtime.prediction.skipping is not None
    asyncio.run(runtime.stop())
