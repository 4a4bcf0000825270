"""The simulated world is seeded: the same call shows the same, and weather changes it."""

from __future__ import annotations

import numpy as np

from service.providers.simulated import TASKS, Stream, Weather, prompts, task_of


def test_the_same_call_shows_the_same() -> None:
    one, two, other = Stream(seed=1), Stream(seed=1), Stream(seed=2)
    for text in prompts(1, 30):
        assert one.answer("mill", text, 9) == two.answer("mill", text, 9)
    texts = prompts(1, 30)
    assert [one.answer("mill", t, 9) for t in texts] != [other.answer("mill", t, 9) for t in texts]


def test_latency_errors_and_quality_are_as_declared() -> None:
    """2,000 seeded calls: median latency within 6 %, error rate within 0.5 points."""
    stream = Stream(seed=3)
    who = next(c for c in stream.characters if c.model == "river")
    shown = [stream.answer("river", text, 9) for text in prompts(3, 2_000)]
    latency = np.median([s.latency_s for s in shown])
    assert abs(latency / who.latency_s - 1.0) < 0.06
    failed = np.mean([s.status != 200 for s in shown])
    assert abs(failed - who.error_rate) < 0.005
    assert all(0.0 <= s.quality <= 1.0 for s in shown)


def test_weather_changes_a_deployment_and_passes() -> None:
    stream, text = Stream(seed=4), "Describe the tide."
    fair = stream.answer("fall", text, 9)
    stream.set_weather("fall", Weather(latency_factor=3.0, error_rate=0.0, quality_shift=-0.2))
    foul = stream.answer("fall", text, 9)
    assert foul.latency_s / fair.latency_s == 3.0
    assert abs(fair.quality - foul.quality - 0.2) < 1e-9
    stream.set_weather("fall", Weather())
    assert stream.answer("fall", text, 9) == fair


def test_prompts_cover_every_task() -> None:
    assert {task_of(text) for text in prompts(5, 60)} == set(TASKS)
    assert len(set(prompts(5, 500))) == 500
