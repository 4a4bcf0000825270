"""The structure of answers, check by check."""

from __future__ import annotations

from typing import Any

import pytest

from service.orchestration.scorers import PLAIN, Check
from service.orchestration.structure import bare, code_in, held


@pytest.mark.parametrize(("name", "want", "good", "bad"), [
    ("json", True, '{"a": 1}', "{a: 1}"), ("json", True, '```json\n[1]\n```', "```\nno\n```"),
    ("keys", ["a", "b"], '{"a": 1, "b": 2}', '{"a": 1}'), ("keys", ["a"], '{"a": null}', "[1]"),
    ("values", {"a": "Lyon"}, '{"a": "lyon "}', '{"a": "Turin"}'),
    ("values", {"a": True}, '{"a": true}', '{"a": 1}'),
    ("values", {"a": 3}, '{"a": 3.0}', '{"a": "3"}'),
    ("contains", ["Sun", "moon"], "the sun and the Moon", "the sun"),
    ("absent", ["sea"], "a hill", "the SEA"),
    ("starts", "Dear", "  Dear Ann", "My dear"), ("ends", ".", "Yes.\n", "Yes"),
    ("min_words", 3, "one two three", "one two"), ("max_words", 2, "one two", "one two three"),
    ("max_words", 2, "one", ""), ("lines", 2, "a\n\nb\n", "a"), ("max_lines", 1, "a", "a\nb"),
    ("items", 2, "- a\n* b", "- a\n-\nb"), ("items", 3, "1. a\n2) b\n\u2022 c", "1 a\n2 b\n3 c"),
])  # fmt: skip
def test_each_check(name: str, want: Any, good: str, bad: str) -> None:
    assert held({name: want}, good) == {name: True}
    assert held({name: want}, bad) == {name: False}


def test_a_part_counts_as_a_part_unless_all_is_asked() -> None:
    checks = {"max_words": 3, "ends": "!"}
    assert PLAIN["structure"](Check("structure", checks), "well done").value == 0.5
    found = PLAIN["structure"](Check("structure", checks, {"all": True}), "well done")
    assert found.value == 0.0 and found.note == "not ends"


def test_half_a_character_is_no_json() -> None:
    assert held({"json": True}, '{"a": "\\ud83d"}') == {"json": False}
    assert held({"json": True}, '{"a": "\\ud83d\\ude00 \\\\ud83d"}') == {"json": True}


def test_deep_json_is_none() -> None:
    assert held({"json": True}, "[" * 100_000) == {"json": False}


def test_code_is_taken_out_of_its_fences() -> None:
    assert code_in("x = 1") == "x = 1"
    assert code_in("```python\na\n```\nand\n```\nb\n```") == "a\n\nb\n"
    assert code_in("```x = 1```") == "x = 1"


def test_bare_texts() -> None:
    assert bare(" **Yes.** ") == "yes" and bare("Yes.", strict=True) == "Yes."
