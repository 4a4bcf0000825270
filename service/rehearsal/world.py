"""The simulated world of the day: how its deployments answer, fail and slow down, and in truth."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.providers.simulated import Simulated, Weather
from service.providers.simulated_modal import ModalWorld

UNKNOWN = 120  # tokens of an answer to a prompt that the world did not write


@dataclass(frozen=True, slots=True)
class Writer:
    """A simulated writer: seconds to the first token, tokens a second, quality by task for an easy
    request and what the hardest loses of it, and the share of calls that fail.
    """

    first_s: float
    tokens_per_s: float
    error_rate: float
    quality: Mapping[str, float]
    slope: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """From ``since_s`` to ``until_s`` of the day a deployment's model fails, or is slower."""

    model: str
    since_s: float
    until_s: float
    weather: Weather
    told: str


@dataclass(frozen=True, slots=True)
class Text:
    """What the world knows of a prompt: its true task, the answer's length, how hard, 0 to 1."""

    task: str
    tokens_out: int
    hard: float


WRITERS: Mapping[str, Writer] = {
    "fall": Writer(0.45, 120.0, 0.004, {
        "long_article": 0.92, "social_post": 0.90, "photo_text": 0.89,
        "illustration_text": 0.90, "voice_script": 0.91}, 0.06),
    "river": Writer(0.25, 220.0, 0.004, {
        "long_article": 0.84, "social_post": 0.88, "photo_text": 0.86,
        "illustration_text": 0.85, "voice_script": 0.87}, 0.12),
    "brook": Writer(0.15, 300.0, 0.003, {
        "long_article": 0.62, "social_post": 0.82, "photo_text": 0.78,
        "illustration_text": 0.74, "voice_script": 0.76}, 0.25),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Maker:
    """A simulated painter or speaker: median seconds of a piece, share of failures, quality."""

    latency_s: float
    error_rate: float
    quality: float


MAKERS: Mapping[str, Maker] = {
    "pigment": Maker(3.5, 0.005, 0.90), "charcoal": Maker(1.4, 0.008, 0.72),
    "herald": Maker(1.1, 0.004, 0.88),
}  # fmt: skip


class Studio(ModalWorld):
    """Pictures and voices by the day's clock."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(MAKERS)

    def shown(self, modality: str, model: str, prompt: str) -> Simulated:
        maker, weather = MAKERS[model], self._world.weather(model)
        luck, pace = self._world.turn(model, prompt)
        rate = maker.error_rate if weather.error_rate is None else weather.error_rate
        seconds = maker.latency_s * math.exp(0.5 * (2.0 * pace - 1.0)) * weather.latency_factor
        return Simulated(503 if luck < rate else 200, seconds, 0, 0, maker.quality)


class World:
    """What the simulated providers do on the day's clock. ``now_s``: seconds of the day."""

    def __init__(
        self, seed: int, now_s: Callable[[], float], troubles: tuple[Trouble, ...] = ()
    ) -> None:
        self.seed, self._now_s, self.troubles = seed, now_s, troubles
        self.texts: dict[str, Text] = {}
        self._laid: dict[str, Weather] = {}
        self._turns: dict[tuple[str, str], int] = {}
        self.studio = Studio(self)

    @property
    def models(self) -> tuple[str, ...]:
        """The names that are served."""
        return tuple(WRITERS)

    def set_weather(self, model: str, weather: Weather) -> None:
        """Change a deployment from now on, beside the day's own troubles."""
        self._laid[model] = weather

    def weather(self, model: str) -> Weather:
        """What it is like now."""
        now_s = self._now_s()
        for each in self.troubles:
            if each.model == model and each.since_s <= now_s < each.until_s:
                return each.weather
        return self._laid.get(model, Weather())

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        """What a call shows now; the same call again may fail or last otherwise, not be better."""
        shown, weather = self.fair(model, prompt, tokens_in), self.weather(model)
        luck, pace = self.turn(model, prompt)
        rate = WRITERS[model].error_rate if weather.error_rate is None else weather.error_rate
        spread = math.exp(0.3 * (2.0 * pace - 1.0))
        return Simulated(
            503 if luck < rate else 200, shown.latency_s * spread * weather.latency_factor,
            shown.tokens_in, shown.tokens_out, shown.quality,
        )  # fmt: skip

    def fair(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        """What a call would show in fair weather: the truth that savings are held against."""
        writer, text = WRITERS[model], self.texts.get(prompt, Text("other", UNKNOWN, 0.5))
        a, b = self._uniforms("text", model, prompt)[:2]
        tokens_out = max(4, round(text.tokens_out * (0.8 + 0.4 * a)))
        level = writer.quality.get(text.task, min(writer.quality.values()))
        quality = level - writer.slope * text.hard + 0.10 * (b - 0.5)
        latency_s = writer.first_s + tokens_out / writer.tokens_per_s
        return Simulated(200, latency_s, tokens_in, tokens_out, min(max(quality, 0.0), 1.0))

    def quality(self, model: str, prompt: str) -> float:
        """The true quality of what a model makes of a prompt, 0 to 1."""
        if model in WRITERS:
            return self.fair(model, prompt, 1).quality
        luck = self._uniforms("piece", model, prompt)[0]
        return min(max(MAKERS[model].quality + 0.10 * (luck - 0.5), 0.0), 1.0)

    def turn(self, model: str, prompt: str) -> tuple[float, float]:
        """Two lots of this call, others than those of the call before."""
        turn = self._turns[model, prompt] = self._turns.get((model, prompt), -1) + 1
        luck, pace = self._uniforms("turn", model, prompt, str(turn))[:2]
        return luck, pace

    def _uniforms(self, *parts: str) -> list[float]:
        key = "\x1f".join((str(self.seed), *parts)).encode("utf-8", "replace")
        data = hashlib.blake2b(key, digest_size=32).digest()
        return [(int.from_bytes(data[i : i + 8], "big") + 0.5) / 2.0**64 for i in range(0, 32, 8)]
