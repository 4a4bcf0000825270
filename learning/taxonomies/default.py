"""The default taxonomy: its tasks in words, its classifier, and the prompts that this came from."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learning.features import RequestShape, Signals, inspect
from learning.snapshot import thaw
from learning.taxonomy import OTHER, Classifier, classifier_features

VERSION = "default-1"
HERE = Path(__file__).parent
CLASSIFIER, PROMPTS = HERE / "default.classifier", HERE / "default.prompts.gz"


@dataclass(frozen=True, slots=True)
class Task:
    """A class of requests: no request is of two, and what is of no other is ``other``."""

    name: str
    description: str
    examples: tuple[str, ...]


TASKS: tuple[Task, ...] = (
    Task("code", "Programs, queries, commands and configuration: written, explained or mended.",
         ("Write a Go function that merges two sorted slices.",
          "Why does this query return duplicates? SELECT ...")),
    Task("maths", "A number, a formula or a proof is asked for, and has to be worked out.",
         ("What is 12% of 365?", "Find the derivative of x^3 ln x.")),
    Task("reasoning", "Conclusions from what is given: puzzles, logic, arguments and their flaws.",
         ("One of three always lies. Whom do you ask?",
          "Which assumption does this argument hide?")),
    Task("knowledge", "What is known of the world: facts, definitions, explanations of how it is.",
         ("What is the capital of Kenya?", "How does a heat pump work?")),
    Task("writing", "A new text of some length: articles, stories, letters, speeches, poems.",
         ("Write a blog post about night trains.", "Draft a letter to my landlord.")),
    Task("social_post", "A short text for a social network, with captions and hashtags.",
         ("Write a tweet about our new lamp.", "Instagram caption for a photo of a cake.")),
    Task("rewriting", "A given text put otherwise in its own language: tone, grammar, length.",
         ("Make this more polite: Send me the files now.", "Correct my English: ...")),
    Task("summarising", "A given text made short: its gist, its key points, its abstract.",
         ("Summarise this in three sentences: ...", "TL;DR: ...")),
    Task("translation", "Words or texts carried into another language.",
         ("Translate to Polish: Where is the station?", "How do you say 'thanks' in Korean?")),
    Task("extraction", "What stands in a given text pulled out of it, as a list, fields or JSON.",
         ("List all dates in this letter: ...", "Get the order number from this message: ...")),
    Task("classification", "A given text or thing put under one of several labels.",
         ("Is this review positive or negative? ...", "Tag this ticket as bug or question: ...")),
    Task("planning", "Steps, schedules, itineraries and checklists for something to be done.",
         ("Plan three days in Lisbon.", "Make a training plan for ten kilometres.")),
    Task("data_analysis", "Figures read and explained: tables, surveys, experiments, charts.",
         ("Which month stands out? Jan 12, Feb 14, Mar 31", "Is this A/B difference significant?")),
    Task("conversation", "Talk for its own sake: greetings, feelings, jokes, roles.",
         ("Hello, how are you?", "Pretend that you are a pirate.")),
    Task(OTHER, "What is none of these: images and sound, devices, fragments, what makes no sense.",
         ("Draw a picture of a lighthouse.", "asdf")),
)  # fmt: skip
NAMES = tuple(task.name for task in TASKS)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Labelled prompts, the number of the template that each came from, and what each weighs."""

    tasks: tuple[str, ...]
    templates: tuple[int, ...]
    texts: tuple[str, ...]
    weights: tuple[float, ...]

    def features(self) -> NDArray[np.float32]:
        """What the classifier sees of them, [n, width]."""
        return np.stack([classifier_features(signals_of(text)) for text in self.texts])


def signals_of(text: str) -> Signals:
    """A bare prompt as it would come: one message of the user."""
    return inspect(RequestShape(text=text, tokens_in=len(text.encode()) // 4 + 1))


@cache
def classifier() -> Classifier:
    """The classifier that ships."""
    return Classifier.of(thaw(CLASSIFIER.read_bytes()))


def prompts() -> Prompts:
    """The prompts that it was fitted from; a plan's own classifier begins with them."""
    lines = gzip.decompress(PROMPTS.read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    return Prompts(
        *(tuple(row[key] for row in rows) for key in ("task", "template", "text", "weight"))
    )
