"""How simulated deployments behave: seeded latency, errors, token counts and quality by task."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from learning.features import RequestShape, inspect

TASKS = ("code", "maths", "other")


@dataclass(frozen=True, slots=True)
class Character:
    """One simulated deployment.

    ``latency_s`` is the median of a log-normal with ``spread`` (sigma of the log);
    ``quality`` gives the mean by task for an easy prompt, ``slope`` what a hard one loses;
    prices are US dollars per million tokens.
    """

    model: str
    latency_s: float
    spread: float
    error_rate: float
    tokens_out: int
    price_in: float
    price_out: float
    quality: Mapping[str, float]
    slope: float


CHARACTERS = (
    Character("brook", 0.09, 0.35, 0.004, 90, 0.10, 0.40,
              {"code": 0.55, "maths": 0.50, "other": 0.80}, 0.25),
    Character("mill", 0.16, 0.30, 0.004, 120, 0.40, 1.60,
              {"code": 0.86, "maths": 0.62, "other": 0.74}, 0.15),
    Character("river", 0.22, 0.30, 0.005, 160, 1.00, 4.00,
              {"code": 0.80, "maths": 0.86, "other": 0.85}, 0.08),
    Character("fall", 0.35, 0.25, 0.006, 220, 8.00, 32.00,
              {"code": 0.90, "maths": 0.92, "other": 0.91}, 0.03),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Weather:
    """What may change while it runs: slower, failing, worse."""

    latency_factor: float = 1.0
    error_rate: float | None = None
    quality_shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """One simulated answer. ``status`` 200, or the HTTP error; tokens; ``quality`` in [0, 1]."""

    status: int
    latency_s: float
    tokens_in: int
    tokens_out: int
    quality: float
    text: str | None = None


class Behaviour(Protocol):
    """What the simulated providers do with a call."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names that are served."""

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        """What a call shows; the same call at the same weather shows the same."""

    def set_weather(self, model: str, weather: Weather) -> None:
        """Change a deployment from now on."""


def _uniforms(seed: int, *parts: str) -> list[float]:
    """Four numbers in (0, 1), fixed by the seed and the parts."""
    key = "\x1f".join((str(seed), *parts)).encode("utf-8", "replace")
    data = hashlib.blake2b(key, digest_size=32).digest()
    return [(int.from_bytes(data[i : i + 8], "big") + 0.5) / 2.0**64 for i in range(0, 32, 8)]


def _normal(u: float, v: float) -> float:
    return math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)


@dataclass(slots=True)
class Stream:
    """The default behaviour: characters, a seed, and the weather of each deployment."""

    seed: int = 7
    characters: tuple[Character, ...] = CHARACTERS
    speed: float = 1.0
    weather: dict[str, Weather] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """The names that are served."""
        return tuple(each.model for each in self.characters)

    def set_weather(self, model: str, weather: Weather) -> None:
        """Change a deployment from now on."""
        self.weather[model] = weather

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        """What a call shows; raises KeyError for an unknown model."""
        who = {each.model: each for each in self.characters}[model]
        weather = self.weather.get(model, Weather())
        a, b, c, d = _uniforms(self.seed, model, prompt)
        error_rate = who.error_rate if weather.error_rate is None else weather.error_rate
        latency_s = who.latency_s * math.exp(who.spread * _normal(a, b)) * weather.latency_factor
        tokens_out = max(8, round(who.tokens_out * (0.6 + 0.8 * c)))
        quality = self.quality(who, prompt, d) + weather.quality_shift
        return Simulated(
            status=503 if c < error_rate else 200,
            latency_s=latency_s / self.speed,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            quality=min(max(quality, 0.0), 1.0),
        )

    def quality(self, who: Character, prompt: str, luck: float) -> float:
        """Mean by task, less for a long prompt, with a little luck."""
        signals = inspect(RequestShape(text=prompt, tokens_in=1))
        hard = min(signals.word_count / 80.0, 1.0)
        return who.quality[task_of(prompt)] - who.slope * hard + 0.16 * (luck - 0.5)


def task_of(prompt: str) -> str:
    """The simulated world's own idea of a prompt's task."""
    signals = inspect(RequestShape(text=prompt, tokens_in=1))
    if signals.has_code:
        return "code"
    return "maths" if signals.has_maths else "other"


_TOPICS = {
    "code": ("Write a Python function that {} a list of {} and returns it.",
             "Find the bug in this code: def f(x): return {}(x, {})",
             "Explain what this SQL does: SELECT {} FROM {} GROUP BY 1"),
    "maths": ("Calculate {} percent of {} and show the steps.",
              "Solve the equation {}x + {} = 0 for x.",
              "What is the probability that {} of {} fair coins land heads?"),
    "other": ("Write a friendly note to {} about {}.",
              "Give three ideas for {} with {}.",
              "Describe {} to a child who likes {}."),
}  # fmt: skip
_WORDS = ("rivers", "gardens", "old maps", "trains", "bread", "winter", "chess", "lanterns",
          "orchards", "letters", "tides", "violins", "markets", "storms", "bridges",
          "kites")  # fmt: skip


def prompts(seed: int, count: int) -> list[str]:
    """Prompts of all tasks, some short, some long; our own text."""
    made = []
    for index in range(count):
        a, b, c, d = _uniforms(seed, "prompt", str(index))
        task = TASKS[int(a * len(TASKS))]
        pattern = _TOPICS[task][int(b * 3)]
        if task == "maths":
            words = (str(2 + int(c * 97)), str(3 + int(d * 800)))
        else:
            words = (_WORDS[int(c * len(_WORDS))], _WORDS[int(d * len(_WORDS))])
        text = pattern.format(*words)
        if d > 0.6:
            extra = " ".join(_WORDS[(index * 7 + i * 3) % len(_WORDS)] for i in range(60))
            text += f" Keep in mind: {extra}."
        made.append(f"{text} (request {index})")
    return made
