"""The engine: random graphs in an order that respects needs, limits never passed, nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.errors import HeadgateError
from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import Ask, Memory
from service.orchestration.workflows.engine import Ended, Engine
from service.orchestration.workflows.format import WorkflowInvalid
from service.orchestration.workflows.steps import Workflow
from tests.service.orchestration.workflows.scripted import (
    COST,
    WORST,
    Scripted,
    down,
    echo,
    ran,
    workflow,
)

SETTINGS = settings(derandomize=True, max_examples=25, deadline=None)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Needs of up to ten steps, each of earlier ones; so without a circle."""
    count = draw(st.integers(1, 10))
    names = [f"s{n}" for n in range(count)]
    return {
        name: sorted(draw(st.sets(st.sampled_from(names[:at]), max_size=3))) if at else []
        for at, name in enumerate(names)
    }


def flow_of(needs: Mapping[str, list[str]], kinds: Mapping[str, str], **limits: Any) -> Workflow:
    """A workflow of that graph, its steps in turned order, all read by the output."""
    steps = []
    for name, of in reversed(needs.items()):
        reads = " ".join(f"{{{{ {each}.text }}}}" for each in of)
        extra = ", map: {over: inputs.items}" if kinds.get(name) == "map" else ""
        steps.append(f'  - {{id: {name}, kind: chat, prompt: "{name} {reads}"{extra}}}')
    ends = ", ".join(f"{each}.text" for each in needs)
    outputs = f"{{out: {{type: list, value: '[{ends}]'}}}}"
    return workflow("\n".join(steps), outputs, **{"max_steps": 200, "max_cost_usd": 1, **limits})


@pytest.mark.slow
@SETTINGS
@given(graphs(), st.sets(st.integers(0, 9)), st.integers(0, 3))
def test_every_step_runs_once_after_what_it_needs(
    needs: dict[str, list[str]], mapped: set[int], items: int
) -> None:
    kinds = {f"s{n}": "map" for n in mapped}
    calls = Scripted(echo)
    flow = flow_of(needs, kinds)
    ended, journal = asyncio.run(ran(flow, calls, items=[str(n) for n in range(items)]))
    assert ended.status == "done"
    paths = [each.path for each in ended.entries]
    assert len(paths) == len(set(paths))
    wanted = {
        path
        for name in needs
        for path in ([f"{name}@{n}" for n in range(items)] if name in kinds else [name])
    }
    assert set(paths) == wanted
    began = [path for event, path, _ in journal.events if event == "step.started"]
    done = {path: at for at, (event, path, _) in enumerate(journal.events) if event == "step.done"}
    started = {path: at for at, (e, path, _) in enumerate(journal.events) if e == "step.started"}
    for path in began:
        for need in needs[path.split("@")[0]]:
            before = [done[each] for each in done if each.split("@")[0] == need]
            assert all(at < started[path] for at in before)
    again, _ = asyncio.run(ran(flow, Scripted(down), Memory(journal.entries),
                               items=[str(n) for n in range(items)]))  # fmt: skip
    assert again.outputs == ended.outputs and {e.path for e in again.entries} == wanted


@pytest.mark.slow
@SETTINGS
@given(graphs(), st.data())
def test_a_circle_is_refused_and_named(needs: dict[str, list[str]], data: st.DataObject) -> None:
    first = data.draw(st.sampled_from(sorted(needs)))
    behind = {first}
    for name, of in needs.items():
        if behind & set(of):
            behind.add(name)
    needs[first] = [*needs[first], data.draw(st.sampled_from(sorted(behind)))]
    with pytest.raises(WorkflowInvalid, match="goes in a circle"):
        flow_of(needs, {})


@pytest.mark.slow
@SETTINGS
@given(graphs(), st.integers(0, 8), st.integers(1, 12), st.booleans())
def test_no_limit_is_ever_passed(
    needs: dict[str, list[str]], calls_paid: int, most_steps: int, fails: bool
) -> None:
    """Money and executions, whatever fails on the way: steps that fail have cost as well."""
    sure = len(needs)
    cap = max(calls_paid * WORST, 1)
    flow = flow_of(needs, {}, max_steps=max(most_steps, sure), max_cost_usd=cap / 1e6)

    def script(ask: Ask) -> Mapping[str, Any] | HeadgateError:
        return down(ask) if fails and ask.path == "s3" else echo(ask)

    calls = Scripted(script)
    ended, allowance = asyncio.run(_within(flow, calls))
    assert calls.paid <= cap and allowance.greatest <= cap
    assert ended.cost_micro_usd == calls.paid == allowance.spent and allowance.reserved == 0
    assert calls.under_way == 0
    if ended.status == "limit":
        assert cap - calls.paid < WORST
    if ended.status == "done":
        assert len(calls.asked) == sure


async def _within(flow: Workflow, calls: Scripted) -> tuple[Ended, Allowance]:
    allowance = Allowance(flow.form.limits, asyncio.get_running_loop().time)
    inputs = {"topic": "t", "items": []}
    return await Engine(flow, inputs, calls, Memory(), allowance).run(), allowance


@pytest.mark.slow
@SETTINGS
@given(graphs(), st.sets(st.integers(0, 9)))
def test_a_run_that_is_called_off_leaves_nothing_under_way(
    needs: dict[str, list[str]], mapped: set[int]
) -> None:
    flow = flow_of(needs, {f"s{n}": "map" for n in mapped})

    async def cut() -> tuple[Scripted, Ended, int]:
        calls = Scripted(echo, hangs=True)
        allowance = Allowance(flow.form.limits, asyncio.get_running_loop().time)
        inputs = {"topic": "t", "items": ["a", "b", "c", "d", "e", "f"]}
        engine = Engine(flow, inputs, calls, Memory(), allowance)
        task = asyncio.create_task(engine.run())
        while not calls.under_way:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return calls, engine.cancelled(), len(asyncio.all_tasks())

    calls, ended, tasks = asyncio.run(cut())
    assert calls.under_way == 0 and tasks == 1 and ended.status == "cancelled"
    assert calls.most <= len(needs) * 4  # of a map no more than at_once


async def test_executions_are_bounded_whatever_a_map_holds() -> None:
    flow = workflow(
        '  - {id: a, kind: chat, prompt: "{{ item }}", map: {over: inputs.items, most: 50}}',
        max_steps=7,
    )
    calls = Scripted(echo)
    ended, _ = await ran(flow, calls, items=["x"] * 30)
    assert (ended.status, ended.code) == ("limit", "max_steps") and len(calls.asked) <= 7


async def test_time_ends_a_run_with_what_it_has() -> None:
    flow = workflow(
        '  - {id: a, kind: chat, prompt: a}\n  - {id: b, kind: chat, prompt: "{{ a.text }}"}',
        "{a: {value: a.text}, b: {value: b.text}}", max_time_s=0.05,
    )  # fmt: skip
    calls = Scripted(echo)

    def script(ask: Ask) -> Mapping[str, Any]:
        calls.hangs = True
        return echo(ask)

    calls.script = script
    ended, _ = await ran(flow, calls)
    assert (ended.status, ended.code) == ("limit", "max_time_s")
    assert ended.outputs == {"a": "a", "b": None} and calls.under_way == 0


FALLS = """
  - id: a
    kind: chat
    prompt: a
    fallback: {step: {prompt: "b", max_tokens: 5}}
  - id: c
    kind: chat
    prompt: "c"
    fallback: {values: {text: '"none"'}}
"""


async def test_a_step_that_fails_falls_back_to_another_or_to_values() -> None:
    def script(ask: Ask) -> Mapping[str, Any] | HeadgateError:
        return echo(ask) if ask.body["messages"][-1]["content"] == "b" else down(ask)

    flow = workflow(FALLS, "{a: {value: a.text}, c: {value: c.text}, "
                    "f: {type: boolean, value: a.fell_back and c.fell_back}}")  # fmt: skip
    ended, journal = await ran(flow, Scripted(script))
    assert ended.outputs == {"a": "b", "c": "none", "f": True}
    assert ended.cost_micro_usd == 3 * COST  # what failed has cost as well
    again, _ = await ran(flow, Scripted(echo), Memory(journal.entries))
    assert again.outputs == ended.outputs  # a failure is replayed as one


BRANCHES = """
  - {id: a, kind: chat, when: words(inputs.topic) > 1, prompt: long}
  - {id: b, kind: chat, when: words(inputs.topic) <= 1, prompt: short}
  - {id: c, kind: chat, prompt: "{{ a.text }}"}
  - {id: d, kind: transform, values: {t: "first(c.text, b.text)"}}
"""


@pytest.mark.parametrize(("topic", "out"), [("one", "short"), ("one two", "long")])
async def test_what_reads_of_a_skipped_step_is_skipped_unless_it_says_first(
    topic: str, out: str
) -> None:
    flow = workflow(BRANCHES, "{t: {value: d.t}, c: {value: c.text}}")
    ended, _ = await ran(flow, Scripted(echo), topic=topic)
    assert ended.outputs["t"] == out and (ended.outputs["c"] is None) == (out == "short")


LOOP = """
  - id: a
    kind: loop
    most: 4
    keep: KEEP
    carry:
      n: {type: integer, start: "0", next: loop.n + 1}
      s: {type: number, start: "0", next: b.s}
    until: loop.n >= UNTIL
    steps:
      - {id: b, kind: transform, values: {s: "2 if loop.turn == 2 else 1"}}
"""


@pytest.mark.parametrize(
    ("keep", "until", "n", "turns", "reached"),
    [("last", "3", 3, 3, True), ("last", "9", 4, 4, False), ("{best: s}", "4", 2, 4, True)],
    ids=["until", "most", "best"],
)
async def test_a_loop_ends_by_its_condition_or_its_turns(
    keep: str, until: str, n: int, turns: int, reached: bool
) -> None:
    text = LOOP.replace("KEEP", keep).replace("UNTIL", until)
    flow = workflow(text, "{n: {type: integer, value: a.n}, t: {type: integer, value: a.turns}, "
                    "r: {type: boolean, value: a.reached}}")  # fmt: skip
    ended, _ = await ran(flow, Scripted(echo))
    assert ended.outputs == {"n": n, "t": turns, "r": reached}


async def test_a_map_goes_on_without_items_that_fail_where_it_may() -> None:
    def script(ask: Ask) -> Mapping[str, Any] | HeadgateError:
        return down(ask) if "bad" in ask.body["messages"][-1]["content"] else echo(ask)

    steps = ('  - {id: a, kind: chat, prompt: "{{ index }} {{ item }}", '
             "map: {over: inputs.items, at_once: 2, least: LEAST}}")  # fmt: skip
    outputs = "{t: {type: list, value: a.text}, i: {type: list, value: a.indices}}"
    items = ["x", "bad", "y"]
    calls = Scripted(script)
    ended, _ = await ran(workflow(steps.replace("LEAST", "2"), outputs), calls, items=items)
    assert ended.outputs == {"t": ["0 x", "2 y"], "i": [0, 2]} and calls.most <= 2
    ended, _ = await ran(workflow(steps.replace("LEAST", "3"), outputs), calls, items=items)
    assert (ended.status, ended.code, ended.step) == ("failed", "too_few_items", "a")
