"""Simulated examinees: right as often as their quality says."""

from __future__ import annotations

import numpy as np

from service.benchmarking.prompts import packaged
from service.benchmarking.pupils import Pupils, truths
from service.providers.simulated import Stream, Weather
from tests.service.benchmarking.rig import prompts

FILE = prompts(200, ("a",))


def test_they_are_right_as_often_as_they_should() -> None:
    world = Pupils(Stream(seed=5), FILE.items)
    for model in world.models:
        right = np.mean([world.right(model, each) for each in FILE.items])
        want = truths(world, FILE.items)[model, "a"]
        assert abs(right - want) <= 4.0 * np.sqrt(want * (1 - want) / 200)


def test_they_give_the_examples_and_else_the_worlds_answer() -> None:
    world = Pupils(Stream(seed=5), FILE.items)
    item = FILE.items[0]
    asked = str(item.messages[0]["content"])
    shown = world.answer("brook", asked, 10)
    assert shown.text == ("yes" if world.right("brook", item) else "no")
    assert shown == world.answer("brook", asked, 10)
    assert world.answer("brook", "something else", 10) == world.world.answer(
        "brook", "something else", 10
    )
    world.set_weather("brook", Weather(quality_shift=-1.0))
    assert world.chance("brook", item) == 0.0 and world.answer("brook", asked, 10).text == "no"


def test_without_an_example_the_world_answers() -> None:
    world = Pupils(Stream(seed=5), packaged().items)
    item = next(each for each in packaged().items if each.right is None)
    assert world.answer("fall", str(item.messages[0]["content"]), 10).text is None
