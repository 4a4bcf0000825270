"""Requests for images, speech and embeddings: read once, bounded, sent on as they came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.domain.chat import parse
from service.domain.errors import InvalidRequest
from service.domain.modal_requests import MAX_SPOKEN, MOST_TEXTS, parse_modal
from service.domain.modalities import EMBEDDING, IMAGE, IMAGE_UNITS, SPEECH


def read(modality: str, **fields: Any) -> Any:
    return parse_modal(modality, json.dumps({"model": "auto"} | fields).encode())


def test_a_picture_counts_by_its_number() -> None:
    asked = read(IMAGE, prompt="a fox", n=3, size="1x1", metadata={"type": "x", "own": "y"})
    assert asked.units == 3 and asked.shape.tokens_in == 3 * IMAGE_UNITS
    assert asked.labels == {"type": "x"} and asked.modality == "image" and not asked.stream
    assert json.loads(asked.for_upstream("p")) == {
        "model": "p", "prompt": "a fox", "n": 3, "size": "1x1", "metadata": {"own": "y"},
    }  # fmt: skip


def test_a_text_to_be_spoken_counts_by_its_characters() -> None:
    asked = read(SPEECH, input="é" * 9, voice={"id": "v"}, speed=2, headgate={"tier": "x"})
    assert asked.units == 9 and asked.shape.tokens_in == 3 and asked.needs == {"mp3"}
    streamed = asked.streamed()
    assert streamed.stream and streamed.modality == "speech"
    sent = json.loads(streamed.for_upstream("p"))
    assert sent == {"model": "p", "input": "é" * 9, "voice": {"id": "v"}, "speed": 2}
    assert read(SPEECH, input="x", voice="v", response_format="wav").format == "wav"


@pytest.mark.parametrize(
    ("given", "units", "tokens"),
    [("abcde", 1, 2), (["ab", "cd"], 2, 1), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3)],
)
def test_texts_or_tokens(given: Any, units: int, tokens: int) -> None:
    asked = read(EMBEDDING, input=given)
    assert (asked.units, asked.shape.tokens_in) == (units, tokens)


@pytest.mark.parametrize(
    ("modality", "fields", "param"),
    [
        (IMAGE, {}, "prompt"), (IMAGE, {"prompt": " "}, "prompt"), (IMAGE, {"prompt": 3}, "prompt"),
        (IMAGE, {"prompt": "x", "n": 0}, "n"), (IMAGE, {"prompt": "x", "model": ""}, "model"),
        (SPEECH, {"input": "x" * (MAX_SPOKEN + 1), "voice": "v"}, "input"),
        (SPEECH, {"input": "x", "voice": "v", "stream_format": "sse"}, "stream_format"),
        (EMBEDDING, {"input": ["x"] * (MOST_TEXTS + 1)}, "input"),
        (EMBEDDING, {"input": [["x"]]}, "input"), (EMBEDDING, {"input": ["x", ""]}, "input"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(modality: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as found:
        read(modality, **fields)
    assert found.value.param == param


def test_the_same_words_in_another_modality_are_another_request() -> None:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]})
    said = [read(SPEECH, input="x", voice="v").said, read(EMBEDDING, input="x").said,
            read(IMAGE, prompt="x").said, parse(body.encode()).said]  # fmt: skip
    assert len(set(said)) == 4
