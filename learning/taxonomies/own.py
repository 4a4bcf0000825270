"""A taxonomy of somebody's own: the default's prompts, put under its tasks, and its examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.interaction import Vector
from learning.taxonomies import default
from learning.taxonomies.default import prompts, signals_of
from learning.taxonomy import OTHER, SCHEMA, LabelledRows, classifier_features

EXAMPLES_WEIGH = 0.5  # of all that a task's rows weigh, where it has prompts of the default's too


@dataclass(frozen=True, slots=True)
class Wanted:
    """``tasks`` with ``other`` among them; ``places``: under which of them each of the default's
    tasks falls (``other`` where it is not named); ``examples``: task and text.
    """

    version: str
    tasks: tuple[str, ...]
    places: Mapping[str, str]
    examples: tuple[tuple[str, str], ...]

    def told(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "version": self.version, "tasks": list(self.tasks),
            "places": dict(sorted(self.places.items())),
            "examples": [list(each) for each in self.examples],
        }  # fmt: skip

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Wanted:
        """What was told."""
        examples = tuple((task, text) for task, text in told["examples"])
        return cls(told["version"], tuple(told["tasks"]), dict(told["places"]), examples)

    @property
    def digest(self) -> str:
        """Of all that the classifier is fitted from."""
        base = hashlib.sha256(default.PROMPTS.read_bytes()).hexdigest()
        text = json.dumps([SCHEMA, default.VERSION, base, self.told()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def rows(self) -> LabelledRows:
        """What it is fitted from: an example stands alone, a template's prompts together."""
        base = prompts()
        known = [self.places.get(task, OTHER) for task in base.tasks]
        tasks = known + [task for task, _ in self.examples]
        x = base.features()
        if self.examples:
            own = [classifier_features(signals_of(text)) for _, text in self.examples]
            x = np.concatenate([x, np.stack(own)])
        y = np.array([self.tasks.index(task) for task in tasks], np.int64)
        first = max(base.templates) + 1
        group = np.array([*base.templates, *range(first, first + len(self.examples))], np.int64)
        return LabelledRows(self.tasks, x, y, self._weights(y, base.weights), group)

    def _weights(self, y: NDArray[np.int64], base: tuple[float, ...]) -> Vector:
        """The examples of a task weigh half of what its rows weigh, however many they are."""
        weight = np.array([*base, *(1.0 for _ in self.examples)])
        example = np.arange(len(y)) >= len(base)
        for task in np.unique(y[example]):
            mine = y == task
            theirs = weight[mine & ~example].sum()
            if theirs:
                share = EXAMPLES_WEIGH / (1.0 - EXAMPLES_WEIGH)
                weight[mine & example] = share * theirs / (mine & example).sum()
        return weight
