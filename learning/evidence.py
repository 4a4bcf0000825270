"""Answers that were rated elsewhere, of many arms on the same prompts, as the sums they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from learning.errors import InvalidInteraction, SnapshotSchema
from learning.interaction import Vector
from learning.length import LengthModel
from learning.regression import Matrix, Sums
from learning.snapshot import Frozen

KIND = "evidence"
LAYOUT = 1
CONTEXTS = 256  # of the requests a sample is kept, for the pacing of a budget


@dataclass(frozen=True, slots=True)
class Answers:
    """Rated answers in any order: whose (index into ``arms``) [n], the features [n, d] (the last
    is the constant), quality in [0, 1] [n], tokens of the prompt [n] and of the answer [n]
    (not a number where nobody knows).
    """

    arms: tuple[str, ...]
    features: tuple[str, ...]
    arm: NDArray[np.int64]
    x: Matrix
    quality: Vector
    tokens_in: Vector
    tokens_out: Vector

    def __post_init__(self) -> None:
        count = len(self.arm)
        for name in ("x", "quality", "tokens_in", "tokens_out"):
            if len(getattr(self, name)) != count:
                raise InvalidInteraction(f"{name} has another length than arm ({count})")
        if self.x.ndim != 2 or self.x.shape[1] != len(self.features):
            raise InvalidInteraction(f"x must be [n, {len(self.features)}], not {self.x.shape}")
        if not (np.isfinite(self.x).all() and np.isfinite(self.quality).all()):
            raise InvalidInteraction("features and quality must be finite")
        if count and (self.quality.min() < 0.0 or self.quality.max() > 1.0):
            raise InvalidInteraction("quality lies in [0, 1]")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What answers of before this policy come to, as of ``at_s`` (seconds since the epoch).

    Of the quality ``gram`` [K, d, d], ``moment`` [K, d], ``square`` [K] and ``count`` [K], as in
    ``regression.Sums``. Of the length: ``length`` [K, 5], ``length_gram`` [d, d] and
    ``length_moment`` [d], as in ``LengthModel``. ``contexts`` [m, d] and ``tokens_in`` [m]: a
    sample of the requests.
    """

    arms: tuple[str, ...]
    features: tuple[str, ...]
    at_s: float
    gram: Matrix
    moment: Matrix
    square: Vector
    count: Vector
    length: Matrix
    length_gram: Matrix
    length_moment: Vector
    contexts: Matrix
    tokens_in: Vector

    @classmethod
    def of(cls, answers: Answers, at_s: float) -> Self:
        """The sums of answers that count as given at ``at_s``."""
        arms, dimension = len(answers.arms), len(answers.features)
        sums, lengths = Sums.of(arms, dimension), LengthModel(arms, dimension)
        for at in range(arms):
            mine = answers.arm == at
            x, y = answers.x[mine], answers.quality[mine]
            sums.gram[at], sums.moment[at] = x.T @ x, x.T @ y
            sums.square[at], sums.count[at] = float(y @ y), float(len(y))
        for row in np.flatnonzero(answers.tokens_out > 0.0):  # not a number: nobody knows
            at, tokens = int(answers.arm[row]), float(answers.tokens_out[row])
            lengths.learn(at, np.ascontiguousarray(answers.x[row]), tokens, 1.0, 1.0)
        first = np.sort(np.unique(answers.x, axis=0, return_index=True)[1])
        if len(first) > CONTEXTS:
            first = first[np.linspace(0, len(first) - 1, CONTEXTS).astype(np.int64)]
        return cls(
            answers.arms, answers.features, at_s, sums.gram, sums.moment, sums.square, sums.count,
            np.array(lengths.usual.sums), lengths.gram, lengths.moment, answers.x[first],
            answers.tokens_in[first],
        )  # fmt: skip

    def add_to(
        self, sums: Sums, places: Mapping[str, int], features: Sequence[str], weight: float = 1.0
    ) -> list[tuple[int, int]]:
        """Add the answers to a policy's sums, whose arms stand at ``places``; the place there and
        here of every arm that both know.
        """
        known, was = self.columns(features)
        both = [(places[name], at) for at, name in enumerate(self.arms) if name in places]
        for there, here in both:
            gram = self.gram[here][np.ix_(was, was)]
            sums.gram[there][np.ix_(known, known)] += weight * gram
            sums.moment[there][known] += weight * self.moment[here][was]
            sums.square[there] += weight * self.square[here]
            sums.count[there] += weight * self.count[here]
        return both

    def columns(self, features: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the features that both know stand with ``features``, and where here."""
        here = {name: at for at, name in enumerate(self.features)}
        known = [at for at, name in enumerate(features) if name in here]
        return np.array(known, dtype=np.int64), np.array(
            [here[features[at]] for at in known], dtype=np.int64
        )

    def state(self) -> Frozen:
        """The evidence at rest."""
        about = {
            "layout": LAYOUT, "arms": list(self.arms), "features": list(self.features),
            "at_s": self.at_s,
        }  # fmt: skip
        return Frozen(KIND, about, {name: getattr(self, name) for name in _arrays()})

    @classmethod
    def thawed(cls, frozen: Frozen) -> Self:
        """The evidence that was frozen; raises SnapshotSchema for anything else."""
        about: Any = frozen.about
        if frozen.kind != KIND or about.get("layout") != LAYOUT:
            raise SnapshotSchema(f"a snapshot of {frozen.kind!r}, not of evidence")
        arrays = {name: frozen.arrays[name] for name in _arrays()}
        return cls(tuple(about["arms"]), tuple(about["features"]), about["at_s"], **arrays)


def _arrays() -> list[str]:
    return [each.name for each in fields(Evidence)][3:]
