"""Scorers: each rule, at its edges, and whatever an answer holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.orchestration.scorers import PLAIN, Check, chosen, final_number, score


@dataclass(frozen=True)
class Said:
    value: float | None
    consistent: bool
    cost_micro_usd: int
    judge: str = "mill"


class Fixed:
    """A judge with one opinion, which keeps what it was asked."""

    def __init__(self, said: Said) -> None:
        self.said = said
        self.asked: list[tuple[Sequence[Mapping[str, Any]], str, str]] = []

    async def score(
        self, conversation: Sequence[Mapping[str, Any]], answer: str, rubric: str
    ) -> Said:
        self.asked.append((conversation, answer, rubric))
        return self.said


async def value(check: Check, answer: str) -> float | None:
    return (await score(check, answer)).value


@pytest.mark.parametrize(("reference", "options", "answer", "want"), [
    ("Paris", {}, " paris. ", 1.0), ("Paris", {}, "It is Paris", 0.0),
    (["yes", "y"], {}, "Y", 1.0), ("Paris", {"case": True}, "paris", 0.0),
    ("a b", {}, "a\n  b", 1.0), ("na\u00efve", {}, "nai\u0308ve", 1.0),
])  # fmt: skip
async def test_exact(reference: Any, options: dict[str, Any], answer: str, want: float) -> None:
    assert await value(Check("exact", reference, options), answer) == want


@pytest.mark.parametrize(("text", "want"), [
    ("The answer is 42.", 42.0), ("1,234.5", 1234.5), ("3/4", 0.75), ("so 1 / 8", 0.125),
    ("-7", -7.0), ("\u22127", -7.0), ("2 or 3", 3.0), ("1e3", 1000.0), (".5", 0.5),
    ("none", None), ("", None), ("x2", None), ("1,2", 2.0), ("5%", 5.0), ("10 - 3 = 7", 7.0),
    ("1/0", 0.0), ("it is **12**", 12.0),
])  # fmt: skip
def test_the_final_number(text: str, want: float | None) -> None:
    assert final_number(text) == want


async def test_numbers_are_near_by_tolerance() -> None:
    near = Check("numeric", 100, {"tolerance": 0.5})
    assert await value(near, "100.4") == 1.0 and await value(near, "101") == 0.0
    assert await value(Check("numeric", 100, {"relative": 0.02}), "about 98.5") == 1.0
    assert await value(Check("numeric", 0.25), "a quarter") == 0.0


@pytest.mark.parametrize(("text", "want"), [
    ("B", "B"), ("b)", "B"), ("(C)", "C"), ("The answer is D.", "D"), ("**A**", "A"),
    ("B) Mercury", "B"), ("A planet near the sun is B) Mercury", "B"), ("Answer: A", "A"),
    ("either A) or B)", None), ("none of them", None), ("", None), ("E", None),
    ("First I thought A) but the answer is C", "C"),
])  # fmt: skip
def test_the_chosen_letter(text: str, want: str | None) -> None:
    assert chosen(text, "ABCD") == want


async def test_code_is_run_and_its_tests_counted() -> None:
    check = Check("code", ["assert f(2) == 4", "assert f(3) == 9", "assert f(0) == 1"])
    found = await score(check, "Here:\n```python\ndef f(x):\n    return x * x\n```\nThere.")
    assert found.value == pytest.approx(2 / 3) and "test 3: AssertionError" in found.note
    assert (await score(check, "I cannot do that")).value == 0.0


async def test_the_judge_is_given_the_conversation_the_answer_and_the_rubric() -> None:
    judge = Fixed(Said(0.7, True, 12))
    talk = ({"role": "user", "content": "hi"},)
    found = await score(Check("rubric", "be kind"), "hello", talk, judge)
    assert (found.value, found.cost_micro_usd) == (0.7, 12)
    assert judge.asked == [(talk, "hello", "be kind")]
    unsure = await score(Check("rubric"), "hello", talk, Fixed(Said(None, False, 3)))
    assert unsure.value is None and unsure.cost_micro_usd == 3
    torn = await score(Check("rubric"), "hello", talk, Fixed(Said(0.5, False, 3)))
    assert torn.value == 0.5 and "did not hold" in torn.note
    assert (await score(Check("rubric"), "hello")).value is None


@settings(derandomize=True, max_examples=80)
@given(st.text(max_size=300))
def test_no_answer_breaks_a_scorer(answer: str) -> None:
    for check in (
        Check("exact", "x"), Check("numeric", 1.0), Check("choice", "A"),
        Check("structure", {"json": True, "keys": ["a"], "values": {"a": 1}, "max_words": 3,
                            "items": 2, "lines": 1, "starts": "a", "ends": "b"}),
    ):  # fmt: skip
        found = PLAIN[check.scorer](check, answer)
        assert found.value is not None and 0.0 <= found.value <= 1.0
