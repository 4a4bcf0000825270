"""Prompt files: what is wrong is named by line and field, and ours is good."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from service.benchmarking.prompts import PromptsInvalid, packaged, parse, read, sample
from service.benchmarking.scoring import faults
from tests.conftest import ROOT

GOOD = {"id": "a-1", "task": "a", "prompt": "How many?", "scorer": "numeric", "reference": 3}
TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"}]


def lines(*rows: Any) -> bytes:
    return "\n".join(each if isinstance(each, str) else json.dumps(each) for each in rows).encode()


@pytest.mark.parametrize(("change", "told"), [
    ({"id": ""}, "id: is ''"), ({"id": "a b"}, "id: is 'a b'"),
    ({"task": None}, "task: is missing"),
    ({"colour": 1}, "colour: is no field"), ({"prompt": " "}, "prompt: must be a text"),
    ({"messages": TALK}, "prompt: give either"), ({"prompt": None}, "prompt: give either"),
    ({"prompt": None, "messages": [{"role": "x", "content": "x"}]}, "messages.0: is no message"),
    ({"prompt": None, "messages": TALK[:1]}, "messages: must end with"),
    ({"scorer": "guess"}, "scorer: 'guess' is none"), ({"reference": "x"}, "reference: numeric"),
    ({"options": 3}, "options: must be an object"), ({"max_tokens": 0}, "max_tokens: is 0"),
    ({"difficulty": 2}, "difficulty: is 2"), ({"right": 3}, "right: must be a text"),
])  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(change: dict[str, Any], told: str) -> None:
    row = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(PromptsInvalid) as caught:
        parse(lines(GOOD | {"id": "z"}, "", row), "p.jsonl")
    assert f"line 3: {told}" in str(caught.value) and "p.jsonl" in str(caught.value)


def test_every_problem_is_told_at_once_but_not_without_end() -> None:
    with pytest.raises(PromptsInvalid) as caught:
        parse(lines("{", "[1]", GOOD, GOOD), "p")
    assert [(p.line, p.key) for p in caught.value.problems] == [(1, "line"), (2, "line"), (4, "id")]
    with pytest.raises(PromptsInvalid, match="and 30 more"):
        parse(lines(*["{"] * 50), "p")


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe"])
def test_a_file_without_prompts_is_refused(data: bytes) -> None:
    with pytest.raises(PromptsInvalid):
        parse(data, "p")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptsInvalid, match="cannot be read"):
        read(tmp_path / "none.jsonl")


def test_messages_are_taken_as_they_are() -> None:
    row = {k: v for k, v in GOOD.items() if k != "prompt"} | {"messages": TALK, "max_tokens": 9}
    item = parse(lines(row), "p").items[0]
    assert list(item.messages) == TALK and item.max_tokens == 9 and item.words == 4


def test_a_sample_is_even_over_tasks_and_fixed_by_its_seed() -> None:
    rows = [
        GOOD | {"id": f"{t}-{i}", "task": t} for t, n in (("a", 40), ("b", 6)) for i in range(n)
    ]
    items = parse(lines(*rows), "p").items
    taken = sample(items, 20, 3)
    assert [sum(i.task == t for i in taken) for t in "ab"] == [14, 6]
    assert taken == sample(items[::-1], 20, 3) and taken != sample(items, 20, 4)
    assert len(sample(items, 500, 3)) == 46


def test_our_prompts_are_the_packages_and_told_in_the_readme() -> None:
    data = (ROOT / "data" / "benchmark_prompts.jsonl").read_bytes()
    ours = packaged()
    assert ours.data == data and len(ours.items) == 102
    told = (ROOT / "data" / "README.md").read_text("utf-8")
    assert hashlib.sha256(data).hexdigest() in told and f"{len(data):,}" in told
    assert ours.tasks == ("code", "extraction", "instructions", "knowledge", "maths", "writing")


@pytest.mark.slow
async def test_our_examples_score_as_they_say() -> None:
    assert await faults(packaged().items) == []


async def test_an_example_that_scores_otherwise_is_found() -> None:
    row = GOOD | {"right": "four", "wrong": "3"}
    found = await faults(parse(lines(row), "p").items)
    assert found == [("a-1", "right", 0.0), ("a-1", "wrong", 1.0)]
