"""Whole answers: read with tolerance where nothing vital is odd, refused where they are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.records import ErrorKind
from service.providers.answers import other_model, read_answer
from service.providers.base import Names, ProviderFailure, Tokens

NAMES = Names("chatcmpl-ours", "deployment-a")
GOOD: dict[str, Any] = {
    "id": "up-1", "model": "m",
    "choices": [{"index": 0, "message": {"content": "words"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20},
}  # fmt: skip


def read(**more: Any) -> tuple[dict[str, Any], Tokens | None]:
    answer, _ = read_answer(json.dumps(GOOD | more).encode(), NAMES)
    return json.loads(answer.body), answer.tokens


@pytest.mark.parametrize(
    "more", [{"id": 7}, {"model": {"name": "m"}}, {"usage": "none"}, {"usage": [1]}, {"id": None}]
)
def test_what_is_not_vital_may_be_odd(more: dict[str, Any]) -> None:
    found, tokens = read(**more)
    assert (found["id"], found["model"]) == ("chatcmpl-ours", "deployment-a")
    assert found["choices"] == GOOD["choices"]
    assert tokens is None or more == {"id": None}


@pytest.mark.parametrize("choices", [7, {}, [7], [{"message": "text"}], [{"finish_reason": 3}]])
def test_choices_that_are_none_are_malformed(choices: Any) -> None:
    with pytest.raises(ProviderFailure) as caught:
        read(choices=choices)
    assert caught.value.kind is ErrorKind.MALFORMED and caught.value.begun


def test_an_empty_answer_keeps_the_tokens_that_it_told() -> None:
    with pytest.raises(ProviderFailure) as caught:
        read(choices=[{"index": 0, "message": {"content": ""}, "finish_reason": "stop"}])
    assert caught.value.tokens == Tokens(12, 8)


def test_one_empty_choice_of_several_does_not_spoil_the_others() -> None:
    empty = {"index": 1, "message": {"content": ""}, "finish_reason": "stop"}
    assert len(read(choices=[*GOOD["choices"], empty])[0]["choices"]) == 2


@pytest.mark.parametrize(
    ("asked", "named", "other"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", False),
        ("gpt-4o-2024-08-06", "gpt-4o", False),
        ("openai/gpt-4o", "gpt-4o", False),
        ("models/Gemini-2", "gemini-2-001", False),
        ("gpt-4o", "llama-3", True),
        ("gpt-4o", None, False),
        ("gpt-4o", "", False),
    ],
)
def test_another_model_is_told_from_another_form_of_its_name(
    asked: str, named: str | None, other: bool
) -> None:
    assert other_model(asked, named) is other


WHOLE = json.dumps(GOOD).encode()


@settings(derandomize=True, max_examples=400)
@given(st.integers(0, len(WHOLE)), st.integers(0, 20), st.binary(max_size=6))
def test_any_damage_gives_an_answer_or_a_failure(at: int, gone: int, put: bytes) -> None:
    data = WHOLE[:at] + put + WHOLE[at + gone :]
    try:
        answer, _ = read_answer(data, NAMES)
    except ProviderFailure:
        return
    found = json.loads(answer.body)
    assert (found["id"], found["model"]) == ("chatcmpl-ours", "deployment-a")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, Tokens(12, 8)),
        ({"completion_tokens_details": {"reasoning_tokens": 5}}, Tokens(12, 8, reasoning=5)),
        ({"completion_tokens_details": {"reasoning_tokens": 9}}, Tokens(12, 8, 0, True)),
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 8}},
         Tokens(12, 8, 4, False, 8)),
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 9}},
         Tokens(12, 8, 4, True)),
        ({"completion_tokens_details": None, "prompt_tokens_details": {}}, Tokens(12, 8)),
    ],
)  # fmt: skip
def test_parts_of_the_tokens_are_read_where_they_can_be(
    more: dict[str, object], expected: Tokens
) -> None:
    body = GOOD | {"usage": {"prompt_tokens": 12, "completion_tokens": 8} | more}
    answer, _ = read_answer(json.dumps(body).encode(), NAMES)
    assert answer.tokens == expected


def test_images_that_were_made_are_counted() -> None:
    message = {"role": "assistant", "content": "", "images": [{"type": "image_url"}] * 3}
    body = GOOD | {"choices": [{"message": message, "finish_reason": "stop"}]}
    answer, _ = read_answer(json.dumps(body).encode(), NAMES)
    assert answer.images == 3
