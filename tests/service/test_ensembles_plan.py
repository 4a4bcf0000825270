"""A plan's ensembles: what cannot be is refused, with the place and the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.check import load_checked
from service.domain.errors import PlanInvalid
from service.plan.ensembles import EnsemblePlan
from tests.conftest import plan_text

WRONG = {
    "score": {"by": "scorer"},
    "fuser": {"by": "vote", "fuser": "fall"},
    "at most 4": {"by": "judge", "outputs": 5},
    "within outputs": {"first": 4},
    "rule for votes": {"by": "judge", "stop": {}},
    "needs all outputs": {"by": "fusion", "fuser": "fall", "at_once": 1},
    "below 1": {"share": 0.5, "routed": 0.5},
    "Extra": {"voters": 3},
}
SECTION = """
ensembles:
  - {name: a, tasks: [maths], members: [nobody]}
  - {name: a, tasks: [maths, painting]}
  - {name: b, by: judge, against: ghost}
"""


@pytest.mark.parametrize("why", WRONG)
def test_what_does_not_go_together_is_refused(why: str) -> None:
    fields: dict[str, Any] = {"name": "e", **WRONG[why]}
    with pytest.raises(ValidationError, match=why):
        EnsemblePlan(**fields)


def test_check_tells_every_problem_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(plan_text("http://127.0.0.1:9") + SECTION, "utf-8")
    with pytest.raises(PlanInvalid) as caught:
        load_checked(path, secrets=False)
    told = "\n".join(str(each) for each in caught.value.problems)
    for words in (
        "no deployment 'nobody'", "a is given twice", "the task maths has an ensemble already: a",
        "no task 'painting'", "no deployment 'ghost'", "there is no judge",
    ):  # fmt: skip
        assert words in told
    assert all(each.line for each in caught.value.problems)
