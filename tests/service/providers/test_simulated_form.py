"""A simulated answer has the form that its schema asks for, and is the same each time."""

from __future__ import annotations

from typing import Any

from service.providers.simulated_form import described, made

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 12},
        "mark": {"type": "integer", "minimum": 1, "maximum": 5},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "sure": {"type": "boolean"},
        "label": {"enum": ["a", "b"]},
        "parts": {"type": "array", "minItems": 2, "maxItems": 4, "items": {"$ref": "#/$defs/part"}},
        "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "code": {"type": "string", "examples": ["return 1"]},
        "fixed": {"const": 7},
        "long": {"type": ["string", "null"], "minLength": 120},
    },
    "$defs": {"part": {"type": "object", "properties": {"of": {"type": "string"}}}},
}


def test_a_value_has_the_form() -> None:
    marks, labels = set(), set()
    for seed in range(60):
        value = made(SCHEMA, f"seed {seed}")
        assert len(value["title"]) <= 12 and 1 <= value["mark"] <= 5 and 0 <= value["share"] <= 1
        assert isinstance(value["mark"], int) and isinstance(value["sure"], bool)
        assert 2 <= len(value["parts"]) <= 4 and all(set(p) == {"of"} for p in value["parts"])
        assert value["either"] is None and value["code"] == "return 1" and value["fixed"] == 7
        assert len(value["long"]) >= 120
        marks.add(value["mark"])
        labels.add(value["label"])
    assert marks == {1, 2, 3, 4, 5} and labels == {"a", "b"}


def test_the_same_seed_says_the_same_and_another_another() -> None:
    assert made(SCHEMA, "one") == made(SCHEMA, "one") != made(SCHEMA, "two")


def test_what_has_no_form_is_nothing_and_what_turns_in_a_circle_ends() -> None:
    assert made("nonsense", "s") is None and isinstance(made({}, "s"), str)
    circle = {"$ref": "#/$defs/self", "$defs": {"self": {"$ref": "#/$defs/self"}}}
    assert made(circle, "s") is None


def test_a_form_in_words_is_understood() -> None:
    told = "Sort it.\nGive one JSON object and nothing else, with the members: label (text), sure "
    schema = described(told + "(number), parts (list of object), ok (boolean).\n")
    value = made(schema, "s")
    assert isinstance(value["label"], str) and isinstance(value["sure"], float)
    assert isinstance(value["parts"][0], dict) and isinstance(value["ok"], bool)
    assert described("Give an object with members.") is None and described(told) is None
