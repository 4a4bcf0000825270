"""A design is the same after its text, and a text that says anything else is refused by name."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from experiments.design import Action, DesignError, Experiment, Guardrail, Unit, Variant
from experiments.design_json import from_json, to_json
from experiments.metrics import Direction
from experiments.switchback import Blocks
from tests.experiments.traffic import TWO, experiment

WHOLE = experiment(
    (Variant("before", 0.25, (("version", "7"), ("dial", "ä"))), Variant("now", 0.75)),
    ("quality", "cost_per_request"),
    (
        Guardrail("error_rate", tolerance=0.1, action=Action.HOLD, least=50, dry_run=True),
        Guardrail("rating_rate", Direction.UP, action=Action.WARN),
    ),
    unit=Unit.TENANT, alpha=0.1, smallest_effect=0.02, winsorise=0.99, version=3, reverse=True,
    covariate="tokens_in",
)  # fmt: skip
BLOCKED = experiment(unit=Unit.BLOCK, blocks=Blocks("trial/1", 5, 600, 60))


@pytest.mark.parametrize("design", [WHOLE, BLOCKED, experiment()], ids=["whole", "blocks", "least"])
def test_there_and_back(design: Experiment) -> None:
    text = to_json(design)
    assert from_json(text) == design
    assert set(json.loads(text)) == {each.name for each in fields(Experiment)}


def test_what_is_left_out_has_its_default() -> None:
    least = {
        "slug": "trial", "hypothesis": "it should help", "goals": ["cost_per_request"],
        "variants": [{"name": each.name, "share": each.share, "settings": dict(each.settings)}
                     for each in TWO],
    }  # fmt: skip
    assert from_json(json.dumps(least)) == experiment()


def _changed(**changes: Any) -> str:
    return json.dumps({**json.loads(to_json(WHOLE)), **changes})


def _within(name: str, value: Any) -> str:
    """The first guardrail with that field changed."""
    design = json.loads(to_json(WHOLE))
    design["guardrails"][0][name] = value
    return json.dumps(design)


REFUSED = [
    ("{", "design", "mend it"),
    ("[]", "design", "give slug"),
    ("{}", "slug", "give it"),
    ('{"slug": "a", "slug": "b"}', "slug", "keep one"),
    ('{"alpha": NaN}', "design", "finite"),
    (_changed(golas=["quality"]), "golas", "did you mean goals?"),
    (_changed(zzz=1), "zzz", "use slug"),
    (_changed(slug=7), "slug", "in quotes"),
    (_changed(alpha="0.05"), "alpha", "without quotes"),
    (_changed(alpha=True), "alpha", "without quotes"),
    (_changed(alpha=0.9), "alpha", "such as 0.05"),
    (_changed(version=1.5), "version", "such as 30"),
    (_changed(reverse="yes"), "reverse", "true or false"),
    (_changed(unit="day"), "unit", "session, user, tenant"),
    (_changed(unit=[]), "unit", "session, user, tenant"),
    (_changed(goals="quality"), "goals", "a list"),
    (_changed(variants=[{"share": 0.5}]), "variants.name", "give it"),
    (_changed(variants=["a"]), "variants", "give name"),
    (_changed(variants=[{"name": "a", "share": 0.5, "weight": 1}]), "variants.weight", "use name"),
    (_changed(variants=[{"name": "a", "share": 0.5, "settings": []}]), "variants.settings",
     '"name"'),
    (_changed(variants=[{"name": "a", "share": 0.5, "settings": {"x": 1}}]),
     "variants.settings.x", "in quotes"),
    (_within("action", "shout"), "guardrails.action", "hold, roll back, warn"),
    (_within("levels", 1), "guardrails.levels", "use metric"),
    (_within("least", 0), "guardrails.error_rate.least", "1 or more"),
    (_changed(blocks={"salt": "a"}), "blocks.start_us", "give it"),
    (_changed(blocks={"salt": "", "start_us": 1}), "blocks", "name the experiment"),
    (_changed(blocks={"salt": "a", "start_us": 10**30}), "blocks", "microseconds since 1970"),
    (_changed(blocks={"salt": "a", "start_us": 1, "length_s": 10**15}), "blocks", "the seconds"),
    (_within("least", 10**400), "guardrails.least", "smaller"),
    (_changed(hypothesis="half of a \ud800"), "hypothesis", "Unicode"),
    (_changed(blocks={"salt": "a", "start_us": 1, "length": 1}), "blocks.length", "length_s"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "field", "mend"), REFUSED)
def test_what_is_no_design_is_refused_by_name(text: str, field: str, mend: str) -> None:
    with pytest.raises(DesignError) as told:
        from_json(text)
    assert told.value.field == field and mend in told.value.mend
