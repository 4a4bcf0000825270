"""The scenarios of docs/ensembles.md: what they say is said, and what they promise comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.bootstrap.ensembles import ensemble_rules
from service.plan.ensembles import EnsemblePlan
from tests.service.orchestration.ensembles.scene import Stage
from tests.service.orchestration.rig import end

PAGE = (Path(__file__).parents[4] / "docs" / "ensembles.md").read_text("utf-8")
BLOCKS = [yaml.safe_load(each.split("```")[0]) for each in PAGE.split("```yaml\n")[1:]]
SCENARIOS = {each["scenario"]: each for each in BLOCKS if "scenario" in each}


class _Of:
    """The part of a plan that rules are made from."""

    def __init__(self, **fields: Any) -> None:
        fields |= {
            "name": "doc",
            "tasks": ["other", "code"],
            "gain": 1.0,
            "share": 0.01,
            "routed": 0.0,
        }
        self.ensembles = [EnsemblePlan(**({"within": 1.0} | fields))]


def test_there_are_five_and_the_example_is_a_plan() -> None:
    assert len(SCENARIOS) == 5
    (example,) = (each["ensembles"] for each in BLOCKS if "ensembles" in each)
    assert [EnsemblePlan(**each).by for each in example] == ["vote"]


@pytest.mark.parametrize("name", ["samples", "weighted", "scorer", "judge", "fusion"])
async def test_a_scenario_comes_out_as_it_is_told(name: str) -> None:
    told = SCENARIOS[name]
    (rules,) = ensemble_rules(_Of(**told["ensemble"]))  # type: ignore[arg-type]
    judges = (told["judge"],) if "judge" in told else ()
    stage = Stage(rules, told["deployments"], judges)
    try:
        lines = [(who, says) for each in told["outputs"] for who, says in each.items()]
        worth = {
            says: each["worth"] for each in told["outputs"] if "worth" in each
            for who, says in each.items() if who != "worth"
        }  # fmt: skip
        stage.talker.worth = lambda prompt, text: (worth.get(text, 0.5), ())
        stage.say(*[(who, says) for who, says in lines if who != "worth"])
        if "fused" in told:
            stage.say((rules.fuser, told["fused"]))
        decision, request = stage.decided(told["asked"])
        while stage.way.course(decision, request).arm != "ensemble":  # type: ignore[union-attr]
            decision, request = stage.decided(told["asked"])
        answer, row = await stage.answered_by_ensemble(decision, request)
        assert answer == told["answer"]
        assert row.why.startswith(told["why"] + ";"), row.why
        assert row.stopped == told["stopped"] and row.aggregator == told["ensemble"]["by"]
        assert len(stage.talker.calls) == told["calls"]
        for each in told["outputs"]:
            says = next(says for who, says in each.items() if who != "worth")
            assert says not in row.why, "a rationale has no word of an answer"
        if name == "fusion":
            (seen,) = stage.talker.fused
            said = [says for who, says in lines]
            assert seen["candidates"] == said and set(seen) == {"conversation", "candidates"}
        if name == "judge":
            assert {who for who, _ in stage.talker.questions} == {"oak"}
            assert row.beside_micro_usd > 0 and len(stage.talker.questions) == 6
    finally:
        await end(stage)
