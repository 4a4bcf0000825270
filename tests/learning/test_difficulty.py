"""The three scores: bounded, monotone in what makes a request hard, the same everywhere."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.difficulty import Demand, demand, with_chances
from learning.features import RequestShape, inspect

TEXT = st.text(max_size=400)


def of(text: str, **more: object) -> Demand:
    shape = RequestShape(text, max(1, len(text) // 4))
    return demand(inspect(replace(shape, **more)))  # type: ignore[arg-type]


@settings(derandomize=True, max_examples=60)
@given(TEXT)
def test_scores_lie_between_0_and_100_whatever_the_text(text: str) -> None:
    found = of(text)
    for score in (found.complexity, found.ambiguity, found.difficulty):
        assert 0.0 <= score < 100.0


@settings(derandomize=True, max_examples=30)
@given(TEXT, st.integers(1, 20), st.integers(0, 8))
def test_complexity_grows_with_turns_tools_and_structure(text: str, turns: int, tools: int) -> None:
    plain = of(text, turns=turns, tools=tools)
    assert of(text, turns=turns + 1, tools=tools).complexity > plain.complexity
    assert of(text, turns=turns, tools=tools + 1).complexity > plain.complexity
    assert of(text, turns=turns, tools=tools, json_mode=True).complexity > plain.complexity
    assert of(text, turns=turns, tools=tools, images=1).complexity > plain.complexity


def test_more_words_steps_bounds_and_demands_make_it_more_complex() -> None:
    base = "Describe the harbour of the old town"
    told = [base, base + " then compare the two markets", base + " then compare and evaluate the "
            "two markets", base + " then compare and evaluate the two markets, finally justify "
            "every choice in exactly four lines without adjectives"]  # fmt: skip
    scores = [of(text).complexity for text in told]
    assert scores == sorted(scores) and len(set(scores)) == len(scores)
    assert of(base + " and its ships" * 50).complexity > of(base).complexity


def test_vague_words_pointing_words_and_opposed_wishes_leave_more_open() -> None:
    clear = "Describe the harbour of Genoa in the year 1400"
    assert of("Fix this").ambiguity > of("Fix this invoice total").ambiguity
    assert of("make it better somehow").ambiguity > of("make the harbour map larger").ambiguity
    assert of(clear + ", something nice").ambiguity > of(clear).ambiguity
    opposed = "Give a short and comprehensive history of Genoa"
    assert of(opposed).ambiguity > of("Give a comprehensive history of Genoa").ambiguity
    # what came before in the conversation may be what a word points at
    assert of("Explain it", turns=3).ambiguity < of("Explain it").ambiguity


def test_difficulty_grows_with_both_and_with_the_chance_to_fall_short() -> None:
    hard, easy = of("Prove that every planar graph is four-colourable, step by step"), of("Hello!")
    assert hard.difficulty > easy.difficulty
    assert easy.ambiguity == 0.0 and easy.complexity < 5.0
    chances = [with_chances(hard, chance).difficulty for chance in (0.9, 0.5, 0.1)]
    assert chances == sorted(chances) and chances[0] >= 0.0 and chances[-1] <= 100.0
    assert with_chances(hard, 0.5).complexity == hard.complexity


@pytest.mark.parametrize("seed", ["0", "41"])
def test_the_scores_are_the_same_in_every_process(seed: str) -> None:
    text = "First compare the two stalls, then tell why one must close; only figures, no stuff."
    code = (
        "from learning.features import RequestShape, inspect\n"
        "from learning.difficulty import demand\n"
        f"print(demand(inspect(RequestShape({text!r}, 20))))"
    )
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.strip() == str(demand(inspect(RequestShape(text, 20))))
