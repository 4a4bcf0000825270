"""Simulated judges read the real question and are off by what their character says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from service.domain.judging import Rubric
from service.orchestration.golden import SECOND, golden
from service.orchestration.scoring import compare_question, score_question
from service.orchestration.simulated import BETTER, WORSE, answered, asked
from service.providers.simulated_judge import JudgeCharacter, Shown, level, preference, seen

RUBRIC = Rubric("general", 1, "Does it help?")
SAID = [{"role": "user", "text": "a question"}]


def mean(who: JudgeCharacter, n: int = 4_000, size: int = 600, own: bool = False) -> float:
    told = [
        level(who, Shown(0.5, f"{at} ".ljust(size, "x"), own), 5, ascending, "seed") / 4
        for at in range(n // 2)
        for ascending in (True,)
    ]
    turned = [
        1 - level(who, Shown(0.5, f"{at} ".ljust(size, "x"), own), 5, False, "seed") / 4
        for at in range(n // 2)
    ]
    return float(np.mean(told + turned))


def test_each_bias_moves_the_mean_by_its_size() -> None:
    noise = 0.2  # spreads over the levels, so that a small bias shows
    fair = mean(JudgeCharacter(noise=noise))
    assert fair == pytest.approx(0.5, abs=0.01)
    kind = mean(JudgeCharacter(noise=noise, kind=0.1))
    assert kind - fair == pytest.approx(0.1, abs=0.02)
    long = mean(JudgeCharacter(noise=noise, length=0.1), size=1_500)
    short = mean(JudgeCharacter(noise=noise, length=0.1), size=20)
    assert long - short == pytest.approx(0.2, abs=0.03)
    own = mean(JudgeCharacter(noise=noise, own=0.1), own=True)
    assert own - fair == pytest.approx(0.1, abs=0.02)
    placed = mean(JudgeCharacter(noise=noise, position=0.1))
    assert placed == pytest.approx(fair, abs=0.02), "both ways round take it off"


def test_position_turns_near_pairs_alone() -> None:
    who = JudgeCharacter(position=0.1)
    near, far = (Shown(0.5, "a"), Shown(0.55, "b")), (Shown(0.2, "a"), Shown(0.9, "b"))
    assert preference(who, *near, 0.0, "s") == preference(who, *near[::-1], 0.0, "s") == 0.0
    assert preference(who, *far, 0.0, "s") == 1.0 and preference(who, *far[::-1], 0.0, "s") == 0.0


def test_style_counts_where_it_is_shown() -> None:
    who = JudgeCharacter(style=0.2)
    fancy = "# A\n- **b**\n- **c**\n- d"
    assert seen(who, Shown(0.5, fancy), "s") > seen(who, Shown(0.5, "A b c d"), "s") + 0.15


def test_the_question_is_known_and_golden_answers_have_the_worth_that_people_gave() -> None:
    item = next(each for each in golden() if each.better == SECOND)
    request = compare_question(item.conversation, item.first, item.second, RUBRIC, "ABC123")
    question = asked(json.loads(bytes(request.fields["messages"])))
    assert question is not None and question.code == "ABC123"
    nothing = lambda prompt, text: (0.0, ())  # noqa: E731
    assert answered(question, "x", nothing, {}) == "ABC123 B"
    for ascending in (True, False):
        request = score_question(item.conversation, item.second, RUBRIC, ascending, "ABC123")
        question = asked(json.loads(bytes(request.fields["messages"])))
        assert question is not None
        assert answered(question, "x", nothing, {}) == f"ABC123 {'E' if ascending else 'A'}"
    assert BETTER > WORSE


def test_any_other_request_is_none() -> None:
    assert asked([{"role": "user", "content": "hello"}]) is None
    assert asked([{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]) is None
