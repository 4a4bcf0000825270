"""What a step asks for is what it is checked by: values made to a kind's schema are of the kind."""

from __future__ import annotations

import pytest

from service.orchestration.workflows.kinds import Kind, fault, list_of, object_of, read
from service.orchestration.workflows.schemas import response_format, schema_of
from service.providers.simulated_form import made

INNER = object_of({"name": read("text"), "marks": read("list of number")})
KINDS = (
    read("text"), read("integer"), read("boolean"), read("list of list of text"), read("image"),
    INNER, list_of(INNER), object_of({"inner": INNER, "sure": read("number")}),
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=range(len(KINDS)))
def test_a_value_of_the_schema_is_of_the_kind(kind: Kind) -> None:
    for seed in range(20):
        assert fault(made(schema_of(kind), str(seed)), kind) == ""


def test_anything_and_any_object_are_not_bounded() -> None:
    assert schema_of(read("any")) == {} and schema_of(read("object")) == {"type": "object"}
    asked = response_format(INNER, "look")
    assert asked["json_schema"]["name"] == "look"
    assert asked["json_schema"]["schema"]["required"] == ["name", "marks"]
