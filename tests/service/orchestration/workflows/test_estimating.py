"""Estimates: right in the mean once learned, exact where the inputs tell, of no calls."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from service.domain.records import Usage
from service.orchestration.workflows.asks import Entry
from service.orchestration.workflows.estimating import Estimator, Foreseen, learn
from service.orchestration.workflows.inputs import checked
from service.orchestration.workflows.learned import Learned, Mean, segments
from service.orchestration.workflows.steps import Step, Workflow
from tests.service.orchestration.workflows.scripted import workflow

PRICES = {"small": (1.0, 4.0), "great": (8.0, 32.0)}  # micro-dollars a token
STEPS = """
  - {id: a, kind: chat, prompt: "Say {{ inputs.topic }}"}
  - {id: b, kind: chat, prompt: "{{ a.text }} {{ item }}", map: {over: inputs.items, at_once: 2}}
  - {id: c, kind: chat, prompt: "x {{ a.text }}", when: words(a.text) > 3}
  - id: l
    kind: loop
    most: 4
    carry: {t: {start: a.text, next: d.text}}
    until: words(loop.t) > 9
    steps: [{id: d, kind: chat, prompt: "{{ loop.t }}"}]
"""
OUT = "{x: {type: list, value: '[b.text, first(c.text, l.t)]'}}"


class World:
    """Calls that cost and last with a scatter: lengths +-50 %, times with a spread of 40 %."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def price_micro_usd(self, deployment: str, tokens_in: float, tokens_out: float) -> float:
        into, out = PRICES.get(deployment, (0.0, 0.0))
        return tokens_in * into + tokens_out * out

    def foresee(self, step: Step, tokens_in: int) -> Foreseen:
        return Foreseen({"small": 0.5, "great": 0.5}, 1.0)

    def entry(self, path: str, step: str, mean_out: float, size: int) -> Entry:
        name = "small" if self.chance.random() < 0.7 else "great"
        tokens_in, out = 20 + size // 4, int(mean_out * self.chance.uniform(0.5, 1.5))
        cost = int(self.price_micro_usd(name, tokens_in, out))
        lasts = self.chance.gammavariate(6.25, out / 100.0 / 6.25)
        used = Usage(tokens_in, out, 0, cost)
        return Entry(path, step, "chat", "done", {"text": ""}, usage=used, deployment=name, calls=1,
                     latency_s=lasts)  # fmt: skip

    def run(self, topic: str, items: int) -> tuple[list[Entry], float, float]:
        """Entries, cost and time of a run: c in half of them, d one to three times."""
        made = [self.entry("a", "a", 100, len(topic))]
        made += [self.entry(f"b@{n}", "b", 50, 40) for n in range(items)]
        extra = self.chance.random() < 0.5
        if extra:
            made.append(self.entry("c", "c", 200, 40))
        turns = self.chance.choice((1, 2, 3))
        made += [self.entry(f"l#{n + 1}/d", "d", 80, 40) for n in range(turns)]
        lasts = {each.path: each.latency_s for each in made}
        busy = [0.0, 0.0]
        for n in range(items):
            first = busy.index(min(busy))
            busy[first] += lasts[f"b@{n}"]
        loop = sum(lasts[f"l#{n + 1}/d"] for n in range(turns))
        time_s = lasts["a"] + max(max(busy), lasts.get("c", 0.0), loop)
        return made, sum(e.usage.cost_micro_usd for e in made) / 1e6, time_s


def inputs_of(flow: Workflow, topic: str, items: int) -> dict[str, Any]:
    return checked(flow, {"topic": topic, "items": ["x"] * items})


def test_once_learned_the_mean_is_within_a_tenth_of_what_comes() -> None:
    """300 runs seen, 400 foretold with other inputs; errors of the means below 10 %."""
    flow, learned, world = workflow(STEPS, OUT), Learned(), World(7)
    for at in range(300):
        topic, items = "t" * (40 + at % 7 * 100), at % 5
        entries, _, _ = world.run(topic, items)
        learn(learned, flow, inputs_of(flow, topic, items), entries)
    topic, items = "t" * 900, 7
    found = Estimator(flow, inputs_of(flow, topic, items), learned, world).estimate()
    runs = [world.run(topic, items)[1:] for _ in range(400)]
    cost, lasts = (sum(each[at] for each in runs) / len(runs) for at in (0, 1))
    assert found.cost_usd == pytest.approx(cost, rel=0.1)
    assert found.time_s == pytest.approx(lasts, rel=0.1)
    assert found.time_low_s < lasts < found.time_high_s and found.learned_from == 300
    counts = {each.step: each.executions for each in found.steps}
    assert counts["a"] == 1 and counts["b"] == 7
    assert 0.3 < counts["c"] < 0.7 and 1.5 < counts["d"] < 2.5


def test_before_anything_is_learned_the_router_is_asked_and_the_inputs_are_worked_out() -> None:
    flow = workflow(STEPS.replace("words(a.text) > 3", "len(inputs.items) > 5"), OUT)
    few, many = (
        Estimator(flow, inputs_of(flow, "t", n), Learned(), World(1)).estimate() for n in (2, 6)
    )
    assert {e.step: e.executions for e in few.steps}["c"] == 0
    assert {e.step: e.executions for e in many.steps}["c"] == 1
    assert 0 < few.cost_usd < many.cost_usd and few.learned_from == 0


def test_other_prices_change_an_estimate_at_once() -> None:
    flow, learned, world = workflow(STEPS, OUT), Learned(), World(3)
    given = inputs_of(flow, "t", 2)
    for _ in range(20):
        learn(learned, flow, given, world.run("t", 2)[0])
    before = Estimator(flow, given, learned, world).estimate().cost_usd
    twice = World(3)
    twice.price_micro_usd = lambda *given: 2.0 * World.price_micro_usd(twice, *given)  # type: ignore[method-assign]
    assert Estimator(flow, given, learned, twice).estimate().cost_usd == pytest.approx(2 * before)


def test_a_mean_forgets_and_a_path_is_read() -> None:
    mean = Mean()
    for value in [10.0] * 50 + [20.0] * 100:
        mean.add(value)
    assert mean.value == pytest.approx(20.0, abs=0.1)
    assert [tuple(each) for each in segments("a@2#1/b@0~")] == [("a", 2, 1), ("b", 0, -1)]
    entry = replace(World(1).entry("a", "a", 10, 10), calls=0)
    learned = Learned()
    learned.take("d", {"a": ""}, {}, [entry])
    assert learned.of("d")["a"].calls.n == 0 and learned.of("none") == {}
