"""References and options of scorers are checked before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest

from service.orchestration.references import SCORERS, problem
from service.orchestration.scorers import Check


@pytest.mark.parametrize(("scorer", "reference", "options", "field", "told"), [
    ("guess", 1, {}, "scorer", "give one of choice, code, exact"),
    ("exact", 3, {}, "reference", "a text"), ("exact", [], {}, "reference", "a list of texts"),
    ("exact", "x", {"fuzzy": 1}, "options", "there are: case"),
    ("numeric", "3", {}, "reference", "finite number"),
    ("numeric", float("nan"), {}, "reference", "finite"), ("numeric", True, {}, "reference", ""),
    ("numeric", 3, {"tolerance": -1}, "options", "at least 0"),
    ("choice", "E", {}, "reference", "one of ABCD"), ("choice", "AB", {}, "reference", "letter"),
    ("choice", "A", {"letters": "abc"}, "options", "capitals"),
    ("structure", {}, {}, "reference", "an object of checks"),
    ("structure", {"colour": 1}, {}, "reference", "is no check"),
    ("structure", {"max_words": "3"}, {}, "reference", "whole number"),
    ("structure", {"keys": "a"}, {}, "reference", "list of texts"),
    ("structure", {"starts": ""}, {}, "reference", "takes a text"),
    ("structure", {"json": 1}, {}, "reference", "true or false"),
    ("structure", {"values": []}, {}, "reference", "an object"),
    ("code", "assert x", {}, "reference", "list of tests"),
    ("code", ["assert ("], {}, "reference", "test 1 is no Python"),
    ("code", ["assert 1"], {"time": 3}, "options", "there are: none"),
    ("rubric", 7, {}, "reference", "a rubric"),
])  # fmt: skip
def test_what_is_wrong_is_named(
    scorer: str, reference: Any, options: dict[str, Any], field: str, told: str
) -> None:
    found = problem(Check(scorer, reference, options))
    assert found is not None and found[0] == field and told in found[1]


def test_what_is_right_passes() -> None:
    for scorer, reference in (
        ("exact", "x"), ("exact", ["x", "y"]), ("numeric", 3.5), ("choice", "B"),
        ("structure", {"json": True, "max_words": 10}), ("code", ["assert f() == 1"]),
        ("rubric", None), ("rubric", "be kind"),
    ):  # fmt: skip
        assert problem(Check(scorer, reference)) is None
    assert set(SCORERS) == {"exact", "numeric", "choice", "structure", "code", "rubric"}
