"""Rubrics are told apart by all that a judge is told; families by the names of models."""

from __future__ import annotations

import pytest

from service.domain.catalog import family_of
from service.domain.judging import Rubric, digest_of, rubrics
from service.orchestration.rubrics import SHIPPED


def test_a_rubric_is_found_by_task_by_name_or_fixed() -> None:
    known = rubrics(SHIPPED, ())
    assert known.of("code").name == "code" and known.of("unheard-of").name == "general"
    assert known.of("code", "maths").name == "maths"
    with pytest.raises(KeyError):
        known.of("code", "none")
    own = Rubric("ours", 3, "Does it say what our handbook says, in our words?", ("code",))
    mixed = rubrics(SHIPPED, [own])
    assert mixed.of("code") is own and mixed.of("maths").name == "maths"
    assert rubrics(SHIPPED, [own], "ours").of("maths") is own
    assert len({known.digest, mixed.digest, rubrics(SHIPPED, [own], "ours").digest}) == 3


def test_digests_are_of_every_part() -> None:
    assert digest_of("a", "bc") != digest_of("ab", "c")
    one = Rubric("a", 1, "text")
    assert one.digest != Rubric("a", 2, "text").digest != Rubric("a", 2, "texts").digest
    assert one.label == "a@1"


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-mini", "gpt"), ("o3-mini", "gpt"), ("ft:gpt-4o:org", "gpt"), ("gpt-4.1", "gpt"),
        ("claude-3.5-sonnet", "claude"), ("anthropic.claude-v2", "claude"),
        ("meta-llama/Llama-3-70b", "llama"), ("codellama-34b", "llama"),
        ("mixtral-8x7b", "mistral"), ("qwen2.5-coder", "qwen"), ("gemma-2", "gemini"),
        ("river", "river"), ("42", "north"),
    ],
)  # fmt: skip
def test_families(model: str, family: str) -> None:
    assert family_of("North", model) == family
