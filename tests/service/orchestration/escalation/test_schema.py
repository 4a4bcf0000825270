"""JSON schemas: what conforms, what does not, and what is not looked at."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.orchestration.escalation.schema import conforms

PERSON = {
    "type": "object",
    "required": ["name", "age"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
}


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        ({"name": "Ada", "age": 36}, True),
        ({"name": "Ada", "age": 36, "next": {"name": "Bo", "age": 1}, "tags": ["a"]}, True),
        ({"name": "Ada"}, False),
        ({"name": "", "age": 1}, False),
        ({"name": "Ada", "age": True}, False),
        ({"name": "Ada", "age": 151}, False),
        ({"name": "Ada", "age": 1, "more": 1}, False),
        ({"name": "Ada", "age": 1, "tags": ["c"]}, False),
        ({"name": "Ada", "age": 1, "next": {"name": 3, "age": 1}}, False),
        ([], False),
    ],
    ids=range(10),
)
def test_a_person(value: Any, holds: bool) -> None:
    assert conforms(value, PERSON) is holds


leaves = st.none() | st.booleans() | st.integers(-3, 200) | st.text("ab", max_size=2)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "age", "tags", "next"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(derandomize=True, max_examples=60)
@given(values)
def test_it_says_what_a_whole_validator_says(value: Any) -> None:
    assert conforms(value, PERSON) is jsonschema.Draft202012Validator(PERSON).is_valid(value)


def test_what_is_not_known_holds_and_depth_is_bounded() -> None:
    assert conforms("x", {"pattern": "^y$"}) and conforms(3, {"$ref": "http://elsewhere"})
    assert conforms(json.loads("[" * 200 + "]" * 200), {"type": "array", "items": {"$ref": "#"}})
    assert not conforms(1, False) and conforms(1, {"oneOf": [{"type": "integer"}, {"minimum": 5}]})
