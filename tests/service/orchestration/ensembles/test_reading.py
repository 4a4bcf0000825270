"""Answers as votes: what means the same is the same vote."""

from __future__ import annotations

import pytest

from service.orchestration.ensembles.reading import lettered, vote


@pytest.mark.parametrize(
    ("kind", "same", "other"),
    [
        ("number", ["so 1,200", "**1200.0**", "1.2e3", "first 3, then 1200"], "1201"),
        ("choice", ["B", "The answer is (B).", "Answer: B"], "C"),
        ("json", ['{"a": 1, "b": [2.0]}', '```json\n{"b": [2], "a": 1}\n```'], '{"a": 1}'),
        ("text", ["Paris.", " paris ", "**Paris**"], "Lyon"),
    ],
)
def test_equal_answers_are_equal_votes(kind: str, same: list[str], other: str) -> None:
    votes = [vote(kind, each, "ABCD") for each in [*same, other]]
    assert len(set(votes[:-1])) == 1 and votes[-1] not in (*votes[:-1], None)
    assert set(lettered(votes)) == {"A", "B"} and lettered([None, "x"]) == ("", "A")


@pytest.mark.parametrize("kind", ["number", "choice", "json", "text"])
def test_what_cannot_be_read_is_no_vote(kind: str) -> None:
    assert vote(kind, "   ", "ABCD") is None
    deep = "[" * 100_000
    assert kind == "text" or vote(kind, deep, "ABCD") is None
