"""Which task is this? From hashed words, pairs of words and structure to probabilities, in numpy.

The features are a count sketch (a signed random projection with one entry a gram, Charikar, Chen
and Farach-Colton 2002; Weinberger and others 2009): words, their first letters and pairs of words,
of the opening, the head, the body and the tail of a text. The text cannot be had back from them.
The probabilities are a multinomial logistic regression's, at a temperature (Guo and others 2017).
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.cues import GROUPS, words_of_cues
from learning.errors import SnapshotSchema
from learning.features import STRUCTURE, Embedder, Signals, structure_of
from learning.interaction import Vector
from learning.regression import Matrix
from learning.snapshot import Frozen

OTHER = "other"
SCHEMA = "grams-1"
KIND, ROWS_KIND, REFUSED_KIND = "task_classifier", "labelled_rows", "task_classifier_refused"
THRESHOLD = 0.75
UNREAD, UNREAD_ROWS, MOSTLY = "unread_rows", 10, 0.5  # so many rows like it, and it can be told
OPENING, HEAD, BODY, TAIL = 128, 384, 256, 128  # buckets of each part, powers of two
HEAD_WORDS, BODY_WORDS, TAIL_WORDS = 16, 64, 8
PREFIX = 5
FORM = (
    "colon", "colon_at", "given", "ends_asking", "quoted", "digits_first", "one_line", "bare",
    "choices",
)  # fmt: skip
FIRST, LAST, ANYWHERE = len(GROUPS), len(GROUPS), len(GROUPS)  # cues, by where they stand
_PLAIN, _HINTS = len(STRUCTURE) + len(FORM), FIRST + LAST + ANYWHERE
_BEYOND = STRUCTURE.index("beyond_ascii")
DENSE = _PLAIN + _HINTS
WIDTH = DENSE + OPENING + HEAD + BODY + TAIL
STRUCTURE_SCALE, CUE_SCALE, OPENING_SCALE = 0.25, 0.5, 0.6
MEMO_WORDS = 65_536
NEVER = -1e3  # the intercept of a task of which no example is known

_DIGIT = re.compile("[0-9]")
_PLAIN_FLOATS = struct.Struct(f"{_PLAIN}f")
# Words that say nothing of the task: who asks politely asks the same.
_POLITE = frozenset(
    b"please pls kindly could can would will you u i d like want need to me my for us help with a "
    b"an the some hi hello hey thanks thank just now so ok okay quick quickly give let s".split()
)
_SKETCH = OPENING + HEAD + BODY + TAIL
_OPENING_AT, _HEAD_AT, _BODY_AT, _TAIL_AT = 0, OPENING, OPENING + HEAD, OPENING + HEAD + BODY
_CUES_AT = 2 * _SKETCH  # what hints at a task is counted behind the grams
_ANYWHERE_AT = _CUES_AT + FIRST + LAST
_CUES = words_of_cues()
_CUE_WORDS = frozenset(_CUES)
# A place is written as its two bytes, so that those of a request are joined, not converted one by
# one; each is one object, however many words are counted there.
_PLACES = tuple(place.to_bytes(2, sys.byteorder) for place in range(_CUES_AT + _HINTS))
_ANYWHERE = {
    word: b"".join([_PLACES[_ANYWHERE_AT + group] for group in hints])
    for word, hints in _CUES.items()
}
# A pair of words is counted by 31 times the first's hash and the second's. Where, is told by the
# rest of that by 3,072, a multiple of the buckets and of 1,024 (the sign is the tenth bit).
_PAIRS = 3_072


def _pair_places(at: int, size: int) -> tuple[bytes, ...]:
    """Where a pair is counted, by the sum of the two rests."""
    rests = [rest % _PAIRS for rest in range(2 * _PAIRS)]
    return tuple(_PLACES[at + rest % size + (rest >> 9 & 1) * _SKETCH] for rest in rests)


_HEAD_PAIRS, _TAIL_PAIRS = _pair_places(_HEAD_AT, HEAD), _pair_places(_TAIL_AT, TAIL)


def _place(hashed: int, at: int, size: int) -> bytes:
    """Where a gram is counted: a bucket of its part, or its like among the negative ones."""
    return _PLACES[at + hashed % size + (_SKETCH if hashed >> 20 & 1 else 0)]


@dataclass(frozen=True, slots=True)
class _End:
    """Of a word at an end of a text: its rests as the first and the second of a pair (``left``,
    ``right``), and where it is counted: in the opening by itself (``opening``) and by its first
    letters (``letters``), in the ``head`` and in the ``tail`` with what it hints at (``hints``).
    """

    left: int
    right: int
    opening: bytes
    letters: bytes
    head: bytes
    hints: bytes
    tail: bytes


class _Body(dict[bytes, bytes]):
    """Where words that were seen before are counted in the body; bounded."""

    def __missing__(self, word: bytes) -> bytes:
        if len(self) > MEMO_WORDS:
            self.clear()
        found = self[word] = _place(zlib.crc32(word) >> 3, _BODY_AT, BODY)
        return found


class _Ends(dict[bytes, "_End"]):
    """The same of the words at the ends."""

    def __missing__(self, word: bytes) -> _End:
        if len(self) > MEMO_WORDS:
            self.clear()
        found = self[word] = _end(word)
        return found


def _end(word: bytes) -> _End:
    whole, first = zlib.crc32(word), zlib.crc32(word[:PREFIX], 7)
    groups = _CUES.get(word, ())
    hints = b"".join([_PLACES[_CUES_AT + group] for group in groups])
    late = b"".join([_PLACES[_CUES_AT + FIRST + group] for group in groups])
    return _End(
        left=whole * 31 % _PAIRS,
        right=whole % _PAIRS,
        opening=_place(whole * 0x9E3779B1 >> 11, _OPENING_AT, OPENING),
        letters=_place(first * 0x9E3779B1 >> 11, _OPENING_AT, OPENING),
        head=_place(whole, _HEAD_AT, HEAD) + _place(first, _HEAD_AT, HEAD) + hints,
        hints=hints,
        tail=_place(whole >> 5, _TAIL_AT, TAIL) + late,
    )


_body_of, _end_of = _Body().__getitem__, _Ends().__getitem__  # a map over these is the quickest


def classifier_features(signals: Signals, embedder: Embedder | None = None) -> NDArray[np.float32]:
    """All that the classifier sees of a request: float32, shape [WIDTH], and the embedding behind
    it if there is an embedder. Stateless apart from a bounded memo of the words' hashes.
    """
    out = np.empty(WIDTH + (embedder.dimension if embedder else 0), np.float32)
    structure = [STRUCTURE_SCALE * each for each in structure_of(signals)]
    _PLAIN_FLOATS.pack_into(out.data, 0, *structure, *_form(signals))
    _gather(out, signals)
    if embedder is not None:
        out[WIDTH:] = embedder.embed(signals.shape.text)
    return out


def unread(x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Of features [..., width]: whether most of the text is in another script than Latin, and
    nothing in it hints at a task. What was fitted from English knows nothing of it.
    """
    found: NDArray[np.bool_] = (x[..., _BEYOND] > MOSTLY) & ~x[..., _PLAIN:DENSE].any(axis=-1)
    return found


def _form(signals: Signals) -> tuple[float, ...]:
    """Whether a text is given with the wish, and how the wish is put."""
    text = signals.shape.text
    at, size, line = text.find(":", 0, 400), len(text) or 1, text.find("\n")
    start = text[:400]
    colon = 0 <= at < size - 1
    return (
        1.0 if colon else 0.0,
        at / size if colon else 0.0,
        1.0 if (colon and size - at > 40) or 0 <= line < size - 1 else 0.0,
        1.0 if text[-40:].rstrip().endswith("?") else 0.0,
        1.0 if "'" in start or '"' in start else 0.0,
        1.0 if _digits_in(start[:60]) else 0.0,
        0.0 if line >= 0 else 1.0,
        1.0 if signals.word_count < 4 else 0.0,
        1.0 if _choices_in(text, line >= 0) else 0.0,
    )


def _choices_in(text: str, lines: bool) -> bool:
    """Whether there is the second of several answers; looked for as what it is in most texts."""
    if lines and ("\nB" in text or "\n- " in text or "\n(b)" in text or "\nb)" in text):
        return True
    return "B)" in text and ("(B)" in text or " B) " in text)


def _digits_in(text: str) -> bool:
    """Whether any character of it is a digit, of any script."""
    if text.isascii():
        return _DIGIT.search(text) is not None
    return any(map(str.isdigit, text))


def _gather(out: NDArray[np.float32], signals: Signals) -> None:
    """Count what the words hint at, and the grams; each part of these has length about one."""
    words = signals.sequence[:BODY_WORDS]
    if not words:
        out[_PLAIN:WIDTH] = 0.0
        return
    opening = [word for word in words[: 2 * HEAD_WORDS] if word not in _POLITE][:HEAD_WORDS]
    head = list(map(_end_of, opening if len(opening) >= 3 else words[:HEAD_WORDS]))
    tail = list(map(_end_of, signals.sequence[-TAIL_WORDS:]))
    at = list(map(_body_of, words))
    at += [each.opening for each in head[:2]]
    at.append(head[0].letters)
    at += [each.hints for each in head[:5]]
    at += [each.head for each in head]
    at += [each.tail for each in tail]
    at += _HEAD_PAIRS[head[0].right], _TAIL_PAIRS[tail[0].right]
    at += [_HEAD_PAIRS[one.left + two.right] for one, two in pairwise(head)]
    at += [_TAIL_PAIRS[one.left + two.right] for one, two in pairwise(tail)]
    at += [_ANYWHERE[word] for word in signals.words & _CUE_WORDS]
    places = np.frombuffer(b"".join(at), np.int16)
    counted = np.bincount(places, minlength=_CUES_AT + _HINTS).astype(np.float32)
    np.multiply(counted[_CUES_AT:], _cue_scales(len(signals.words)), out[_PLAIN:DENSE])
    sketch = out[DENSE:WIDTH]
    np.subtract(counted[:_SKETCH], counted[_SKETCH:_CUES_AT], sketch)
    sketch *= _scales(len(head), len(words), len(tail))


@lru_cache(maxsize=4_096)
def _cue_scales(distinct: int) -> NDArray[np.float32]:
    """By what the counts of the cues are multiplied, where there are so many distinct words."""
    found = np.full(_HINTS, 0.5 * CUE_SCALE, np.float32)
    found[FIRST + LAST :] *= 8.0 / (4.0 + distinct) ** 0.5
    return found


@lru_cache(maxsize=1_024)
def _scales(head: int, body: int, tail: int) -> NDArray[np.float32]:
    """By what the counts of each part are multiplied, [buckets], by how many words it has."""
    of_parts = OPENING_SCALE, *(1.0 / each**0.5 for each in (3.0 * head, body, 2.0 * tail))
    return np.repeat(np.array(of_parts, np.float32), (OPENING, HEAD, BODY, TAIL))


@dataclass(frozen=True, slots=True)
class Classifier:
    """``coef`` [T, width] and ``intercept`` [T] of the regression, one row a task in the order of
    ``tasks`` (``other`` among them), and its ``temperature``. ``version`` names what it was fitted
    from; ``about`` tells of the fit: rows, held-out accuracy and calibration error.
    """

    tasks: tuple[str, ...]
    version: str
    coef: Matrix
    intercept: Vector
    temperature: float
    about: dict[str, Any]

    @property
    def width(self) -> int:
        """How many features it reads."""
        return int(self.coef.shape[1])

    def probabilities(self, signals: Signals, embedder: Embedder | None = None) -> Vector:
        """Of each task, [T]; they sum to 1."""
        return self.read(classifier_features(signals, embedder))

    def of_features(self, x: NDArray[np.float32]) -> Vector:
        """The same from the features of one request, [width]."""
        scores: Vector = np.dot(self.coef, x.astype(np.float64))
        scores += self.intercept
        scores *= 1.0 / self.temperature
        scores -= max(scores.tolist())
        np.exp(scores, scores)
        scores *= 1.0 / np.add.reduce(scores)
        return scores

    def read(self, x: NDArray[np.float32]) -> Vector:
        """``of_features``; of a text that it cannot read half of that is nobody's word, [T]."""
        found = self.of_features(x)
        if x[_BEYOND] <= MOSTLY or self.width != WIDTH or not unread(x):
            return found
        if self.about.get(UNREAD, 0) < UNREAD_ROWS:
            found = 0.5 * found + 0.5 / len(found)
        return found

    def state(self) -> Frozen:
        """The classifier at rest."""
        about = {
            "schema": SCHEMA, "tasks": list(self.tasks), "version": self.version,
            "temperature": self.temperature, "about": self.about,
        }  # fmt: skip
        return Frozen(KIND, about, {"coef": self.coef, "intercept": self.intercept})

    @classmethod
    def of(cls, frozen: Frozen) -> Classifier:
        """The classifier that was frozen; raises SnapshotSchema where it is of another kind."""
        if frozen.kind != KIND:
            raise SnapshotSchema(f"a snapshot of {frozen.kind!r}, not of a task classifier")
        about = frozen.about
        if about["schema"] != SCHEMA:
            raise SnapshotSchema(f"a classifier of {about['schema']!r}; this reads {SCHEMA!r}")
        return cls(
            tuple(about["tasks"]), about["version"], frozen.arrays["coef"].astype(np.float64),
            frozen.arrays["intercept"].astype(np.float64), about["temperature"],
            dict(about["about"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Requests whose task is known: features [n, width], the index of the task [n], the weight
    [n]; and what belongs together [n] (rows of one template, of one caller), so that it is held
    out together. Without ``group`` each row stands alone.
    """

    tasks: tuple[str, ...]
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    weight: Vector
    group: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def groups(self) -> NDArray[np.int64]:
        """The group of each row."""
        return np.arange(len(self.y)) if self.group is None else self.group

    def take(self, at: NDArray[Any]) -> LabelledRows:
        """Some of the rows."""
        group = None if self.group is None else self.group[at]
        return LabelledRows(self.tasks, self.x[at], self.y[at], self.weight[at], group)

    def state(self) -> Frozen:
        """The rows at rest, for the process that fits them."""
        arrays: dict[str, NDArray[Any]] = {
            "x": self.x.astype(np.float32), "y": self.y.astype(np.int64), "weight": self.weight,
            "group": self.groups.astype(np.int64),
        }  # fmt: skip
        return Frozen(ROWS_KIND, {"schema": SCHEMA, "tasks": list(self.tasks)}, arrays)

    @classmethod
    def of(cls, frozen: Frozen) -> LabelledRows:
        """The rows that were frozen."""
        if frozen.kind != ROWS_KIND or frozen.about["schema"] != SCHEMA:
            raise SnapshotSchema(f"a snapshot of {frozen.kind!r}, not of rows of {SCHEMA!r}")
        found = frozen.arrays
        tasks = tuple(frozen.about["tasks"])
        return cls(tasks, found["x"], found["y"], found["weight"], found["group"])
