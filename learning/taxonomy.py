"""Which task is this? From hashed words, pairs of words and structure to probabilities, in numpy.

The features are a count sketch (a signed random projection with one entry a gram, Charikar, Chen
and Farach-Colton 2002; Weinberger and others 2009): words, their first letters and pairs of words,
of the opening, the head, the body and the tail of a text. The text cannot be had back from them.
The probabilities are a multinomial logistic regression's, at a temperature (Guo and others 2017).
"""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass
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

_CHOICES = ("\nB", "(B)", " B) ", "\n(b)", "\nb)", "\n- ")  # the second of several answers
# Words that say nothing of the task: who asks politely asks the same.
_POLITE = frozenset(
    b"please pls kindly could can would will you u i d like want need to me my for us help with a "
    b"an the some hi hello hey thanks thank just now so ok okay quick quickly give let s".split()
)
_SKETCH = OPENING + HEAD + BODY + TAIL
_OPENING_AT, _HEAD_AT, _BODY_AT, _TAIL_AT = 0, OPENING, OPENING + HEAD, OPENING + HEAD + BODY
_CUES_AT = 2 * _SKETCH  # what hints at a task is counted behind the grams
_CUES = words_of_cues()
_ANYWHERE = {
    word: tuple(_CUES_AT + FIRST + LAST + group for group in hints) for word, hints in _CUES.items()
}
_CUE_WORDS = frozenset(_CUES)
_Many = tuple[int, ...]
_Places = tuple[int, int, int, int, _Many, _Many]


def _place(hashed: int, at: int, size: int) -> int:
    """Where a gram is counted: a bucket of its part, or its like among the negative ones."""
    return at + hashed % size + (_SKETCH if hashed >> 20 & 1 else 0)


def _places(word: bytes) -> _Places:
    """A word's hash for pairs, and where it is counted: in the opening by itself and by its first
    letters, in the body; in the head and in the tail, with what it hints at.
    """
    whole, first = zlib.crc32(word), zlib.crc32(word[:PREFIX], 7)
    hints = _CUES.get(word, ())
    return (
        whole,
        _place(whole * 0x9E3779B1 >> 11, _OPENING_AT, OPENING),
        _place(first * 0x9E3779B1 >> 11, _OPENING_AT, OPENING),
        _place(whole >> 3, _BODY_AT, BODY),
        (
            _place(whole, _HEAD_AT, HEAD), _place(first, _HEAD_AT, HEAD),
            *(_CUES_AT + group for group in hints),
        ),
        (_place(whole >> 5, _TAIL_AT, TAIL), *(_CUES_AT + FIRST + group for group in hints)),
    )  # fmt: skip


class _Memo(dict[bytes, _Places]):
    """The places of words that were seen before; bounded."""

    def __missing__(self, word: bytes) -> _Places:
        if len(self) > MEMO_WORDS:
            self.clear()
        found = self[word] = _places(word)
        return found


_memo = _Memo()


def classifier_features(signals: Signals, embedder: Embedder | None = None) -> NDArray[np.float32]:
    """All that the classifier sees of a request: float32, shape [WIDTH], and the embedding behind
    it if there is an embedder. Stateless apart from a bounded memo of the words' hashes.
    """
    out = np.empty(WIDTH + (embedder.dimension if embedder else 0), np.float32)
    structure = structure_of(signals)
    out[:_PLAIN] = structure + _form(signals)
    out[: len(structure)] *= STRUCTURE_SCALE
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


def _form(signals: Signals) -> list[float]:
    """Whether a text is given with the wish, and how the wish is put."""
    text = signals.shape.text
    at, size = text.find(":", 0, 400), len(text) or 1
    stripped = text[-40:].rstrip()
    colon = at >= 0 and at < size - 1
    return [
        1.0 if colon else 0.0,
        at / size if colon else 0.0,
        1.0 if (colon and size - at > 40) or "\n" in text[:-1] else 0.0,
        1.0 if stripped.endswith("?") else 0.0,
        1.0 if "'" in text[:400] or '"' in text[:400] else 0.0,
        1.0 if any(map(str.isdigit, text[:60])) else 0.0,
        0.0 if "\n" in text else 1.0,
        1.0 if signals.word_count < 4 else 0.0,
        1.0 if any(mark in text for mark in _CHOICES) else 0.0,
    ]


def _gather(out: NDArray[np.float32], signals: Signals) -> None:
    """Count what the words hint at, and the grams; each part of these has length about one."""
    memo, words = _memo, signals.sequence[:BODY_WORDS]
    if not words:
        out[_PLAIN:WIDTH] = 0.0
        return
    opening = [word for word in words[: 2 * HEAD_WORDS] if word not in _POLITE][:HEAD_WORDS]
    head = [memo[word] for word in (opening if len(opening) >= 3 else words[:HEAD_WORDS])]
    tail = [memo[word] for word in signals.sequence[-TAIL_WORDS:]]
    at = [memo[word][3] for word in words]
    at += [each[1] for each in head[:2]]
    at.append(head[0][2])
    before = 0
    for whole, _, _, _, places, _ in head:
        pair = before * 31 + whole
        at.append(_HEAD_AT + pair % HEAD + (pair >> 9 & 1) * _SKETCH)
        at += places
        before = whole
    for each in head[:5]:
        at += each[4][2:]
    before = 0
    for whole, _, _, _, _, places in tail:
        pair = before * 31 + whole
        at.append(_TAIL_AT + pair % TAIL + (pair >> 9 & 1) * _SKETCH)
        at += places
        before = whole
    for word in signals.words & _CUE_WORDS:
        at += _ANYWHERE[word]
    counted = np.bincount(np.frombuffer(array("q", at), np.int64), minlength=_CUES_AT + _HINTS)
    cues = out[_PLAIN:DENSE]
    np.multiply(counted[_CUES_AT:], 0.5 * CUE_SCALE, out=cues, casting="unsafe")
    cues[FIRST + LAST :] *= 8.0 / (4.0 + len(signals.words)) ** 0.5
    sketch = out[DENSE:WIDTH]
    np.subtract(counted[:_SKETCH], counted[_SKETCH:_CUES_AT], out=sketch, casting="unsafe")
    sketch[:_HEAD_AT] *= OPENING_SCALE
    sketch[_HEAD_AT:_BODY_AT] *= 1.0 / (3.0 * len(head)) ** 0.5
    sketch[_BODY_AT:_TAIL_AT] *= 1.0 / len(words) ** 0.5
    sketch[_TAIL_AT:] *= 1.0 / (2.0 * len(tail)) ** 0.5


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
        scores = self.coef @ x.astype(np.float64)
        scores += self.intercept
        scores /= self.temperature
        scores -= scores.max()
        np.exp(scores, out=scores)
        scores /= scores.sum()
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
