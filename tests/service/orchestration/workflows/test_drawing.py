"""What is drawn of a workflow: each step below what it waits for; and its calls, counted."""

from __future__ import annotations

from service.orchestration.workflows.drawing import calls, drawn
from service.orchestration.workflows.format import read

TEXT = """
name: small
version: 1
purpose: To be counted.
inputs: {parts: {type: list of text, default: [a, b]}, ask: {type: boolean, default: true}}
outputs: {best: {type: text, value: chosen.value}, last: {type: text, value: again.text}}
limits: {max_loop: 3}
steps:
  - id: each
    kind: chat
    prompt: "{{ part }}"
    map: {over: inputs.parts, name: part, most: 5, least: 2}
  - {id: chosen, kind: select, of: each.text, by: {judge: {question: "Which?", rubric: Good.}}}
  - id: again
    kind: loop
    most: 3
    carry: {text: {type: text, start: chosen.value, next: "first(more.text, loop.text)"}}
    until: mark.score > 0.5
    steps:
      - id: more
        kind: chat
        when: inputs.ask
        prompt: "{{ loop.text }}"
        fallback: {step: {model: auto:default}}
      - {id: mark, kind: judge, of: "first(more.text, loop.text)", question: "So?", rubric: Good.}
"""


def test_calls_are_counted_from_the_fewest_to_the_most() -> None:
    least, most = calls(read(TEXT))
    assert least == 2 + 0 + (0 + 2)
    assert most == 5 + 2 * 4 + 3 * (2 + 2)


def test_a_loop_stands_below_its_own_steps() -> None:
    found = {each.id: each for each in drawn(read(TEXT))}
    assert found["chosen"].needs == ("each",) and found["again"].needs == ("mark",)
    assert found["more"].needs == ("chosen",) and found["mark"].needs == ("more",)
    assert found["more"].inside == "again" and found["more"].conditional and found["more"].optional
    assert found["each"].note == "chat, each of ≤ 5" and found["again"].note.endswith("3 times")
