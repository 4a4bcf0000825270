"""Workflow files: what is wrong is told with its line and its mend; what ships can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.orchestration.workflows import graph
from service.orchestration.workflows.format import WorkflowInvalid, against, library, load, read

GOOD = """name: small
version: 1
purpose: For a test.
inputs:
  topic: {type: text}
  count: {type: integer, default: 2, min: 1, max: 9}
outputs:
  text: {value: b.text}
limits: {max_steps: 5, max_loop: 3, max_time_s: 60}
steps:
  - id: a
    kind: chat
    prompt: "{{ inputs.topic }}"
  - id: b
    kind: chat
    prompt: "{{ a.text }}"
"""
EXTRA = "  - {id: c, kind: chat, prompt: x}\n"
FAULTS = (
    ("a.text", "a.txt", 16, "did you mean text?"),
    ("kind: chat\n    prompt: \"{{ inputs.topic }}\"", "kind: talk", 12, "give one of chat"),
    ("version: 1", "version: 0", 2, "greater than or equal to 1"),
    ("  topic: {type: text}", "  topic: {type: txt}", 5, "is no type"),
    ("default: 2", "default: two", 6, "must be a whole number"),
    ("min: 1, max: 9", "min: 9, max: 1", 6, "turn them round"),
    ("value: b.text", "value: b.cost_usd", 8, "the output is text"),
    ("inputs.topic", "b.text", 11, "goes in a circle"),
    ("    prompt: \"{{ a.text }}\"", "    prompt: \"{{ a.text }}\"\n    promt: x", 17,
     "did you mean prompt?"),
    ("    prompt: \"{{ a.text }}\"\n", "    prompt: \"{{ a.text }}\"\n" + EXTRA, 17,
     "nothing uses c"),
    ("id: b", "id: words", 14, "is a word of the language"),
    ("id: b", "id: a", 14, "given twice"),
    ("max_steps: 5", "max_steps: 1", 9, "raise it to 2"),
    ("    prompt: \"{{ a.text }}\"", "    prompt: \"{{ a.text }}\"\n    when: a.text", 17,
     "boolean is wanted"),
    ("    prompt: \"{{ a.text }}\"", "    prompt: \"{{ a.text }}\"\n    timeout_s: 61", 17,
     "is more than the run's"),
    ("    prompt: \"{{ a.text }}\"", "    prompt: \"{{ a.text }}\"\n    needs: [z]", 17,
     "there is no step 'z'"),
    ("    prompt: \"{{ a.text }}\"",
     "    prompt: \"{{ a.text }}\"\n    fallback: {values: {txt: a.text}}", 17, "gives: text"),
    ("    prompt: \"{{ a.text }}\"",
     "    prompt: \"{{ a.text }}\"\n    fallback: {step: {max_tokens: none}}", 17, "max_tokens"),
    ("limits:", "chat_input: count\nchat_output: text\nlimits:", 9, "not a text"),
    ("limits:", "example: {inputs: {topik: x}}\nlimits:", 9, "no input 'topik'"),
    ("name: small", "name: runs", 1, "is a word of the API"),
    ("version: 1", "version: 1\nversion: 2", 3, "given twice"),
    ("version: 1", "version: &x 1\nother: *x", None, "alias"),
    ("version: 1", "version: [", None, "mend the YAML"),
    ("version: 1\n", "", 1, "is missing (add it)"),
)  # fmt: skip


@pytest.mark.parametrize("at", range(len(FAULTS)))
def test_a_fault_is_told_with_its_line_and_its_mend(at: int) -> None:
    old, new, line, told = FAULTS[at]
    with pytest.raises(WorkflowInvalid) as found:
        read(GOOD.replace(old, new, 1))
    fitting = [each for each in found.value.problems if told in str(each)]
    assert fitting, found.value.message
    assert line is None or fitting[0].line == line


LOOPS = """
  - id: l
    kind: loop
    most: MOST
    carry: {t: {start: a.text, next: INNER}}
    until: words(loop.t) > 3
    steps:
      - {id: inner, kind: chat, prompt: "{{ loop.t }}"}
"""


@pytest.mark.parametrize(
    ("most", "inner", "told"),
    [("4", "inner.text", "limits.max_loop"), ("21", "inner.text", "less than or equal to 20"),
     ("2", "inner.score", "no field 'score'"), ("2", "loop.turn", "text is wanted")],
    ids=["limit", "most", "field", "kind"],
)  # fmt: skip
def test_loops_are_bounded_and_what_they_carry_is_typed(most: str, inner: str, told: str) -> None:
    text = LOOPS.replace("MOST", most).replace("INNER", inner)
    with pytest.raises(WorkflowInvalid, match=told):
        read(GOOD.replace("b.text}", "'first(l.t, b.text)'}") + text)
    assert read(GOOD.replace("b.text}", "'first(l.t, b.text)'}")
                + LOOPS.replace("MOST", "2").replace("INNER", "inner.text"))  # fmt: skip


def test_what_is_within_a_loop_is_not_read_from_outside() -> None:
    text = GOOD.replace("b.text}", "'first(l.t, inner.text, b.text)'}")
    with pytest.raises(WorkflowInvalid, match="no name 'inner'"):
        read(text + LOOPS.replace("MOST", "2").replace("INNER", "inner.text"))


def test_the_library_can_be_read_and_names_no_deployment() -> None:
    shipped = library()
    assert "draft-refine-check" in shipped
    for each in shipped.values():
        assert against(each, ["auto"], ["other"]) == [], each.name
        assert each.form.example is not None


def test_what_a_plan_has_not_is_told() -> None:
    flow = read(GOOD.replace("kind: chat", "kind: chat\n    model: brok", 1))
    (problem,) = against(flow, ["auto", "brook"], ["other"])
    assert problem.line == 13 and "known: auto, brook" in problem.mend


def test_a_file_has_the_name_of_its_workflow(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(GOOD, "utf-8")
    with pytest.raises(WorkflowInvalid, match="rename one"):
        load(tmp_path / "other.yaml")
    with pytest.raises(WorkflowInvalid, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_an_order_leaves_out_what_is_on_a_circle() -> None:
    needs = {"a": [], "b": ["a", "d"], "c": ["b"], "d": ["c"], "e": ["a"]}
    assert graph.ordered(needs) == ["a", "e"]
    assert graph.circle(needs) in (["b", "d", "c", "b"], ["d", "c", "b", "d"])
    assert graph.names_of('{{ a.b + "}}" }} and {{ c[d] }}') == {"a", "c", "d"}
