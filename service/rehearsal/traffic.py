"""A day's requests of a content studio: when they come, from whom, and what they ask for."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from service.rehearsal.world import Text

DAY_S = 86_400.0
REFUSED = "simulate a refusal"  # words that the simulated providers refuse
# How busy each hour of the day is, the night first.
HOURS = (2, 1, 1, 1, 1, 2, 4, 8, 14, 19, 21, 20, 16, 19, 22, 21, 18, 13, 9, 8, 7, 6, 4, 3)
SHARES: Mapping[str, float] = {
    "blog_post": 0.01, "long_article": 0.14, "social_post": 0.40, "photo_text": 0.06,
    "illustration_text": 0.04, "voice_script": 0.08, "product_photo": 0.14, "illustration": 0.08,
    "voice_over": 0.05,
}  # fmt: skip
TYPES: Mapping[str, str] = {
    "long_article": "article", "photo_text": "product_photo", "illustration_text": "illustration",
}  # fmt: skip
LENGTHS = {"long_article": 900, "social_post": 60, "photo_text": 80, "illustration_text": 90,
           "voice_script": 130}  # fmt: skip
PATHS = {"product_photo": "/v1/images/generations", "illustration": "/v1/images/generations",
         "voice_over": "/v1/audio/speech"}  # fmt: skip
CHAT = "/v1/chat/completions"
FLOW, FLOW_MODEL = "blog_post", "workflow:blog-post"  # several calls for one answer
PREMIUM, UNTYPED, REPEATED, REFUSALS, RATED = 0.3, 0.12, 0.12, 0.003, 0.3
# Which share of a kind nobody waits for: product texts for tomorrow's shop, and articles that are
# not read as they are written.
PATIENT: Mapping[str, float] = {"photo_text": 0.75, "long_article": 0.5}
_THINGS = ("a ceramic mug", "our new sneakers", "a beeswax candle", "the blue kettle",
           "olive oil from Crete", "a leather bag", "the oak table", "a linen shirt", "rye bread",
           "a garden lamp", "the folding bike", "hand-made soap")  # fmt: skip
_PLACES = ("Lisbon", "the workshop", "our shop in Ghent", "the harbour", "a small office",
           "the orchard", "the winter market", "a quiet street", "the reading room")  # fmt: skip
_MOODS = ("warm", "calm", "playful", "plain", "proud", "curious", "festive")
_PIECES: Mapping[str, tuple[str, ...]] = {
    "product_photo": ("Product photo of {thing} at {place}, {mood} light",),
    "illustration": ("Illustration of {thing} and {place}, {mood}, two colours",),
    "voice_over": ("Look at {thing}. We found it in {place}, and it stayed.",),
}
_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "blog_post": ("A post for our blog about {thing} and {place}, {mood}",),
    "long_article": ("Write a long article about {thing} and {place}, with five sections, {mood}",
                     "A post for our blog of about nine hundred words: what {thing} has to do with "
                     "{place}; keep it {mood}"),
    "social_post": ("A short post for the networks on {thing}, {mood}, with two hashtags",
                    "Tell our followers in two sentences about {thing} at {place}"),
    "photo_text": ("Prompt for a product photo of {thing} at {place}, {mood} light",
                   "Caption below the photo of {thing}, {mood}"),
    "illustration_text": ("Illustration of {thing} in {place}, flat colours, {mood}",
                          "Draw {thing} as a woodcut, with {place} behind it"),
    "voice_script": ("Voice-over script of twenty seconds on {thing}, {mood} voice",
                     "What the narrator says while the camera crosses {place}: {thing}"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """A request of the day. ``at_s``: seconds after midnight; ``typed``: whether the caller says of
    which type it is; ``repeats``: whether the same was asked before; ``patient``: whether nobody
    waits for it, so that it may go into a batch.
    """

    number: int
    at_s: float
    task: str
    prompt: str
    tier: str
    typed: bool
    stream: bool
    repeats: bool
    refused: bool
    rates: bool
    noise: float  # of the rating, in stars
    patient: bool = False

    @property
    def type(self) -> str:
        """The type that the caller gives, empty where they give none."""
        return TYPES.get(self.task, self.task) if self.typed else ""

    @property
    def path(self) -> str:
        """Where it is sent."""
        return PATHS.get(self.task, CHAT)

    @property
    def written(self) -> bool:
        """Whether one call of one writer is its answer."""
        return self.path == CHAT and not self.flows

    @property
    def queues(self) -> bool:
        """Whether it asks for a ticket where nobody can answer: whole answers of chat alone can."""
        return self.path == CHAT and not self.stream and not self.flows

    @property
    def flows(self) -> bool:
        """Whether a workflow answers it."""
        return self.task == FLOW

    def body(self) -> dict[str, object]:
        """As it is sent."""
        labels = {
            "tenant": f"studio-{self.tier}", "feature": self.task,
        } | ({"type": self.type} if self.typed else {})  # fmt: skip
        made: dict[str, object] = {"model": "auto", "user": self.user, "metadata": labels}
        if not self.flows:  # a workflow takes no options of single calls
            made["headgate"] = {"tier": self.tier} | ({"queue": True} if self.queues else {})
        if self.task == "voice_over":
            return made | {"input": self.prompt, "voice": "alloy", "response_format": "wav"}
        if self.path != CHAT:
            return made | {"prompt": self.prompt, "size": "64x64"}
        made["messages"] = [{"role": "user", "content": self.prompt}]
        if self.flows:
            return made | {"model": FLOW_MODEL}
        made["max_tokens"] = max(2 * LENGTHS[self.task], 64)
        return made | ({"stream": True} if self.stream else {})

    @property
    def custom_id(self) -> str:
        """Its name in the file of a batch."""
        return f"wish-{self.number}"

    def line(self) -> dict[str, object]:
        """As it stands in the file of a batch, where all wait: it asks for no ticket."""
        body = self.body() | {"headgate": {"tier": self.tier}}
        return {"custom_id": self.custom_id, "method": "POST", "url": self.path, "body": body}

    @property
    def user(self) -> str:
        """Who asks."""
        return f"user-{self.number % 400}"


@dataclass(slots=True)
class Day:
    """The wishes in the order of their time, and what the world is to know of their prompts."""

    wishes: list[Wish] = field(default_factory=list)
    texts: dict[str, Text] = field(default_factory=dict)


def day(count: int, seed: int) -> Day:
    """So many requests over a day by the curve of its hours; the same for the same seed."""
    chance, made = random.Random(f"day:{seed}"), Day()
    patience = random.Random(f"patience:{seed}")
    asked: dict[str, list[str]] = {task: [] for task in SHARES}
    for number, at_s in enumerate(times(count, seed)):
        task = chance.choices(list(SHARES), list(SHARES.values()))[0]
        before = asked[task]
        repeats = bool(before) and chance.random() < REPEATED / (1.0 - SHARES["long_article"])
        repeats = repeats and task not in ("long_article", FLOW)
        refused = chance.random() < REFUSALS
        prompt = chance.choice(before[-200:]) if repeats else _prompt(task, number, chance)
        refused = refused or (task in PATHS and task != "voice_over" and chance.random() < 0.01)
        refused = refused and not repeats
        if refused:
            prompt += f" ({REFUSED})"
        if not repeats:
            before.append(prompt)
        hard, length = chance.random(), LENGTHS.get(task, 0) * (0.6 + 0.8 * chance.random())
        made.texts.setdefault(prompt, Text(task, round(length), hard))
        patient = patience.random() < PATIENT.get(task, 0.0) and not repeats
        wish = Wish(
            number, at_s, task, prompt,
            "premium" if chance.random() < PREMIUM else "basic",
            chance.random() >= UNTYPED or task in PATHS or task == FLOW,
            task == "long_article" and chance.random() < 0.6,
            repeats, refused, chance.random() < RATED, chance.gauss(0.0, 0.35),
        )  # fmt: skip
        made.wishes.append(replace(wish, patient=patient and not wish.stream))
    return made


def times(count: int, seed: int) -> Sequence[float]:
    """When requests come, in seconds after midnight: drawn by the hours' curve, sorted."""
    rng = np.random.default_rng([seed, 24])
    shares = np.array(HOURS, dtype=np.float64) / sum(HOURS)
    hours = rng.choice(24, size=count, p=shares)
    found: list[float] = np.sort((hours + rng.random(count)) * 3600.0).tolist()
    return found


def _prompt(task: str, number: int, chance: random.Random) -> str:
    pattern = chance.choice(({**_PATTERNS, **_PIECES})[task])
    text = pattern.format(
        thing=chance.choice(_THINGS), place=chance.choice(_PLACES), mood=chance.choice(_MOODS)
    )
    return f"{text} (no. {number})"
