"""Simulated deployments that sit an examination: right as often as their quality says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.benchmarking.prompts import Item
from service.providers.simulated import Simulated, Stream, Weather


class Pupils:
    """A simulated world that knows a prompt file's example answers. To a prompt of it a deployment
    gives the right one with a probability that is its quality there, drawn by the world's seed,
    and else the wrong one; so what a benchmark should find is known. All else is the world's.
    """

    def __init__(self, world: Stream, items: Sequence[Item]) -> None:
        self.world = world
        self._items = {_asked(each): each for each in items if each.right is not None}

    @property
    def models(self) -> tuple[str, ...]:
        """The names that are served."""
        return self.world.models

    def set_weather(self, model: str, weather: Weather) -> None:
        """Change a deployment from now on."""
        self.world.set_weather(model, weather)

    def chance(self, model: str, item: Item) -> float:
        """How likely a deployment answers a prompt rightly: its true quality there."""
        who = {each.model: each for each in self.world.characters}[model]
        weather = self.world.weather.get(model, Weather())
        shown = self.world.quality(who, _asked(item), 0.5) + weather.quality_shift
        return min(max(shown, 0.0), 1.0)

    def right(self, model: str, item: Item) -> bool:
        """Whether it is right this time; the same at every call."""
        key = f"{self.world.seed}\x1f{model}\x1f{item.id}\x1fright".encode()
        drawn = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2.0**64
        return drawn < self.chance(model, item)

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        """What a call shows; raises KeyError for an unknown model."""
        shown = self.world.answer(model, prompt, tokens_in)
        item = self._items.get(prompt)
        if item is None:
            return shown
        right = self.right(model, item)
        return replace(shown, text=item.right if right else item.wrong or "no idea",
                       quality=float(right))  # fmt: skip


def truths(pupils: Pupils, items: Sequence[Item]) -> Mapping[tuple[str, str], float]:
    """The mean chance of each deployment at each task, over the prompts given."""
    found = {}
    for task in {each.task for each in items}:
        mine = [each for each in items if each.task == task]
        for model in pupils.models:
            found[model, task] = sum(pupils.chance(model, i) for i in mine) / len(mine)
    return found


def _asked(item: Item) -> str:
    return str(item.messages[-1]["content"])
