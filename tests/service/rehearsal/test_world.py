"""The world: the same call tells the same truth, trouble comes and goes by the clock."""

from __future__ import annotations

from service.providers.simulated import Weather
from service.rehearsal.world import Text, Trouble, World


def test_truth_is_fixed_and_trouble_passes() -> None:
    now = [0.0]
    trouble = Trouble("river", 100.0, 200.0, Weather(error_rate=1.0), "away")
    world = World(5, lambda: now[0], (trouble,))
    world.texts["a post"] = Text("social_post", 60, 0.2)
    assert world.fair("river", "a post", 9) == World(5, lambda: 0.0).__class__.fair(
        world, "river", "a post", 9
    )
    shown = [world.answer("river", "a post", 9) for _ in range(40)]
    assert {each.quality for each in shown} == {world.fair("river", "a post", 9).quality}
    assert len({each.latency_s for each in shown}) > 30
    now[0] = 150.0
    assert {world.answer("river", "a post", 9).status for _ in range(20)} == {503}
    now[0] = 200.0
    assert 200 in {world.answer("river", "a post", 9).status for _ in range(20)}
    assert world.weather("river") == Weather()
    world.set_weather("river", Weather(latency_factor=3.0))
    assert world.weather("river").latency_factor == 3.0


def test_the_strong_are_better_where_they_should_be() -> None:
    world = World(1, lambda: 0.0)
    world.texts["long"] = Text("long_article", 900, 0.9)
    best, middle, least = (world.fair(m, "long", 50).quality for m in ("fall", "river", "brook"))
    assert best > middle > least
    assert world.models == ("fall", "river", "brook")
    assert world.quality("pigment", "a mug") > world.quality("charcoal", "a mug")


def test_pictures_and_voices_live_by_the_same_clock() -> None:
    now = [0.0]
    trouble = Trouble("herald", 10.0, 20.0, Weather(error_rate=1.0), "no voice")
    world = World(3, lambda: now[0], (trouble,))
    fair = [world.studio.shown("speech", "herald", "hello") for _ in range(20)]
    assert 200 in {each.status for each in fair} and len({each.latency_s for each in fair}) > 15
    now[0] = 10.0
    assert world.studio.shown("speech", "herald", "hello").status == 503
    assert set(world.studio.models) == {"pigment", "charcoal", "herald"}
