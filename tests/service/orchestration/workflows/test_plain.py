"""Steps without a call, and what is made of calls: checks, votes, passages, judges, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from service.orchestration.workflows.asks import Ask
from service.orchestration.workflows.passages import fitting
from tests.service.orchestration.workflows.scripted import Scripted, echo, ran, workflow


def saying(*texts: str) -> Scripted:
    """Says the texts in turn."""
    left = list(texts)
    return Scripted(lambda ask: {"text": left.pop(0), "finish": "stop"})


CHECK = """
  - {id: a, kind: chat, prompt: x, RETURNS}
  - id: c
    kind: check
    of: a.text
    structure: {max_words: 3}
    holds: {short: len(a.text) < 30}
    require: REQUIRE
"""


async def test_a_check_tells_what_does_not_hold_and_may_end_the_run() -> None:
    text = CHECK.replace(", RETURNS", "")
    out = "{p: {type: boolean, value: c.passed}, f: {type: list, value: c.faults}}"
    flow = workflow(text.replace("REQUIRE", "false"), out)
    ended, _ = await ran(flow, saying("one two three four"))
    assert ended.outputs == {"p": False, "f": ["max_words"]}
    flow = workflow(text.replace("REQUIRE", "true"), out)
    ended, _ = await ran(flow, saying("one two three four"))
    assert (ended.status, ended.code) == ("failed", "check_failed")
    ended, _ = await ran(flow, saying("one two"))
    assert ended.outputs == {"p": True, "f": []}


async def test_a_json_answer_is_of_its_type_or_fails_the_step() -> None:
    flow = workflow(
        "  - {id: a, kind: chat, prompt: x, returns: {fields: {n: integer, l: list of text}}}",
        "{n: {type: integer, value: a.value.n}, l: {type: list of text, value: a.value.l}}",
    )
    ended, _ = await ran(flow, saying('```json\n{"n": 3, "l": ["x"]}\n```'))
    assert ended.outputs == {"n": 3, "l": ["x"]}
    for bad in ("no json", '{"n": "3", "l": []}', '{"n": 1}'):
        ended, _ = await ran(flow, saying(bad))
        assert (ended.status, ended.code) == ("failed", "malformed")


SELECT = """
  - {id: a, kind: chat, prompt: "{{ index }}", map: {over: range(3), at_once: 1}}
  - {id: s, kind: select, of: a.text, by: BY}
"""


@pytest.mark.parametrize(
    ("by", "index"),
    [("{vote: true}", 1), ("{scores: '[1, 2, 3]'}", 2), ("{structure: {max_words: 1}}", 1)],
    ids=["vote", "scores", "structure"],
)
async def test_the_best_of_several_is_chosen(by: str, index: int) -> None:
    flow = workflow(SELECT.replace("BY", by), "{i: {type: integer, value: s.index}}")
    ended, _ = await ran(flow, saying("a b", "yes", " Yes."))
    assert ended.outputs["i"] == index, ended


def judging(letters: Mapping[str, str]) -> Scripted:
    """A judge that prefers by a table, and otherwise echoes."""

    def script(ask: Ask) -> Mapping[str, Any]:
        told = ask.body["messages"]
        if "the code" not in str(told[0]["content"]):
            return echo(ask)
        code = str(told[0]["content"]).split("the code ")[1].split(",")[0]
        material = str(told[-1]["content"])
        if '"answer_A"' not in material:
            falls = "A: complete" in str(told[0]["content"])
            return {"text": f"{code} {'A' if falls else 'E'}", "finish": "stop"}
        first = material.split('"answer_A":"')[1].split('"')[0]
        second = material.split('"answer_B":"')[1].split('"')[0]
        letter = "A" if letters[first] > letters[second] else "B"
        return {"text": f"{code} {letter}", "finish": "stop"}

    return Scripted(script)


async def test_a_judge_compares_both_ways_round_and_scores_both_ways() -> None:
    by = "{judge: {question: q, rubric: r}}"
    graded = '  - {id: j, kind: judge, of: s.value, question: q, rubric: "right"}'
    out = "{v: {value: s.value}, s: {type: number, value: j.score}}"
    flow = workflow(SELECT.replace("BY", by) + graded, out)
    calls = judging({"0": "1", "1": "3", "2": "2"})
    ended, _ = await ran(flow, calls)
    assert ended.outputs == {"v": "1", "s": 1.0}, ended
    judged = [each for each in calls.asked if each.path in ("s", "j")]
    assert len(judged) == 6 and all(each.exclude == ("brook",) for each in judged)


async def test_a_transform_calls_nobody() -> None:
    calls = Scripted(echo)
    flow = workflow('  - {id: a, kind: transform, text: "{{ inputs.topic | upper }}"}')
    ended, _ = await ran(flow, calls)
    assert ended.outputs == {"out": "RIVERS"} and not calls.asked


async def test_passages_are_found_by_their_words_and_told_with_their_ids() -> None:
    flow = workflow(
        '  - {id: r, kind: retrieve, query: "{{ inputs.topic }} bend", documents: inputs.items, '
        "top: 2}",
        "{t: {value: r.text}, i: {type: list of text, value: r.ids}}",
    )
    items = ["Hills rise.", "Rivers bend where banks give way; rivers turn.", "A bend in the road."]
    ended, _ = await ran(flow, Scripted(echo), items=items)
    assert ended.outputs["i"] == ["2", "3"] and ended.outputs["t"].startswith("[2] Rivers")
    long = fitting("word", [{"id": "d", "text": "word " * 50}], 9, 20)
    assert [each["id"] for each in long] == ["d.1", "d.2", "d.3"]
    assert fitting("none", ["other"], 3, 50) == [] and fitting("x", [], 3, 50) == []
