"""A request to its context: structure, hashed words, code and maths, and the task."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemv

from learning.topics import TOPICS, words_of_topics

HEAD_BYTES = 6_000
TAIL_BYTES = 2_000
WORD_ROWS = 4_096
WORD_DIMENSIONS = 16
WORD_SCALE, TOPIC_SCALE = 0.3, 1.5  # what a ridge of one strength may use of them
MEMO_WORDS = 65_536
SCHEMA = "structure-words-topics-2"

_CODE_WORDS = frozenset(
    b"python javascript typescript java rust golang sql regex def traceback stacktrace compiler "
    b"code function bug debug snippet html css json yaml kubernetes dockerfile bash".split()
)
# Each mark after its rarest byte: most texts are done with by looking for that.
_CODE_MARKS = tuple(
    (ord(rare), mark.encode())
    for rare, mark in (("`", "```"), (";", "();"), ("<", "</"), (">", "=>"), ("#", "#include"))
)
_MATHS_WORDS = frozenset(
    b"calculate equation equations probability solve prove percent derivative integral arithmetic "
    b"algebra theorem polynomial matrix hypotenuse".split()
)
_MATHS_MARKS = tuple((ord("\\"), mark) for mark in (b"\\frac", b"\\sum", b"\\int"))
_HOW, _HOW_MUCH = b"ow m", (b"ow many", b"ow much")
_STOP_WORDS = frozenset(
    b"a about after all also am an and any are as at be because been before being both but by can "
    b"could did do does done each for from had has have he her here him his how i if in into is it "
    b"its just like make may me more most my no not now of on one only or other our out over "
    b"please said same she should so some such than that the their them then there these they this "
    b"those through to too two up us use very was we were what when where which while who will "
    b"with would you your".split()
)

_CLASSES = ("digits", "upper", "beyond_ascii", "maths_signs", "code_signs", "newlines", "questions")
STRUCTURE = (
    "log_bytes", "log_words", "log_lines", "digits", "upper", "beyond_ascii", "maths_signs",
    "code_signs", "asks", "distinct_words", "word_length", "has_code", "has_maths", "log_turns",
    "tools", "images", "json_mode", "log_tokens_in", "log_tokens_out_limit", "system",
)  # fmt: skip


def _class_matrix() -> NDArray[np.float64]:
    matrix = np.zeros((256, len(_CLASSES)))
    for byte in range(256):
        char = chr(byte)
        matrix[byte, 0] = byte < 128 and char.isdigit()
        matrix[byte, 1] = byte < 128 and char.isupper()
        matrix[byte, 2] = byte >= 128
        matrix[byte, 3] = char in "+-*/=<>^%$"
        matrix[byte, 4] = char in "(){}[];:_\\#`"
        matrix[byte, 5] = char == "\n"
        matrix[byte, 6] = char == "?"
    return matrix


_MATRIX = _class_matrix()
_WORD_BYTES = bytes(
    c if c >= 128 or chr(c).isalnum() else 32 for c in bytes(range(256)).lower()
)  # letters and digits lowered, the rest a space


def _word_rows() -> tuple[NDArray[np.float32], dict[bytes, int]]:
    """What each word adds, [rows, words + topics]; and the rows of the words that are known."""
    lexicon = words_of_topics()
    rows = np.zeros((WORD_ROWS + 1 + len(lexicon), WORD_DIMENSIONS + len(TOPICS)))
    hashed = np.random.default_rng(20260101).standard_normal((WORD_ROWS, WORD_DIMENSIONS))
    rows[:WORD_ROWS, :WORD_DIMENSIONS] = WORD_SCALE * hashed
    known = dict.fromkeys(_STOP_WORDS, WORD_ROWS)  # a row of zeros
    for at, (word, topics) in enumerate(lexicon.items(), start=WORD_ROWS + 1):
        if word not in _STOP_WORDS:
            rows[at] = rows[zlib.crc32(word) % WORD_ROWS]
        rows[at, [WORD_DIMENSIONS + topic for topic in topics]] = TOPIC_SCALE
        known[word] = at
    return rows.astype(np.float32), known


class Embedder(Protocol):
    """Anything that turns a text into a fixed number of floats. None is needed."""

    dimension: int

    def embed(self, text: str) -> NDArray[np.float32]:
        """The embedding of ``text``, shape [dimension]."""


@dataclass(frozen=True, slots=True)
class RequestShape:
    """What the featurizer may see of a request. ``text`` is the last user message."""

    text: str
    tokens_in: int
    system: bool = False
    turns: int = 1
    tools: int = 0
    images: int = 0
    json_mode: bool = False
    tokens_out_limit: int = 0


@dataclass(frozen=True, slots=True)
class Signals:
    """What a glance at the text tells; rules read these names too."""

    shape: RequestShape
    bytes_seen: int
    words: frozenset[bytes]
    word_count: int
    counts: NDArray[np.float64]
    has_code: bool
    has_maths: bool
    sequence: Sequence[bytes] = ()  # the words in their order


def inspect(shape: RequestShape) -> Signals:
    """Look at the text once. Long texts are seen at their head and tail only."""
    data, whole = _seen(shape.text)
    words = data.translate(_WORD_BYTES).split()
    distinct = frozenset(words)
    histogram = np.bincount(np.frombuffer(data, np.uint8), minlength=256).astype(np.float64)
    return Signals(
        shape=shape,
        bytes_seen=len(data),
        words=distinct,
        word_count=len(words) if whole == len(data) else round(len(words) * whole / len(data)),
        counts=dgemv(1.0, _MATRIX.T, histogram),
        has_code=not _CODE_WORDS.isdisjoint(distinct) or _has(data, _CODE_MARKS),
        has_maths=not _MATHS_WORDS.isdisjoint(distinct)
        or _has(data, _MATHS_MARKS)
        or (_HOW in data and any(mark in data for mark in _HOW_MUCH)),
        sequence=words,
    )


def _seen(text: str) -> tuple[bytes, int]:
    """The bytes that are looked at, and how many bytes there are (estimated for a long text, of
    which no more than the two ends is encoded).
    """
    if len(text) <= HEAD_BYTES + TAIL_BYTES:
        data = text.encode("utf-8", "replace")
        whole = len(data)
    else:
        ends = text[:HEAD_BYTES] + text[-TAIL_BYTES:]
        data = ends.encode("utf-8", "replace")
        whole = round(len(text) * len(data) / len(ends))
    if whole > HEAD_BYTES + TAIL_BYTES:
        data = data[:HEAD_BYTES] + b" " + data[-TAIL_BYTES:]
    return data, whole


def _has(data: bytes, marks: Sequence[tuple[int, bytes]]) -> bool:
    for rare, mark in marks:  # a plain loop: a generator costs more  # noqa: SIM110
        if rare in data and mark in data:
            return True
    return False


class Featurizer:
    """Signals and a task to a feature vector of fixed length.

    Layout: structure, hashed words (a signed random projection of the distinct words, Weinberger
    et al. 2009 with dense rows), how many of them belong to each topic of the lexicon (both over
    the root of their number), the embedding if there is an embedder, one indicator a task, and
    the constant 1. Stateless apart from a bounded memo of word hashes.
    """

    def __init__(self, tasks: Sequence[str], embedder: Embedder | None = None) -> None:
        self.tasks = tuple(tasks)
        self._task_index = {name: i for i, name in enumerate(self.tasks)}
        self._embedder = embedder
        self._rows, self._known = _word_rows()
        self._memo: dict[bytes, int] = dict(self._known)
        self._words_at = len(STRUCTURE)
        self._embedding_at = self._words_at + WORD_DIMENSIONS + len(TOPICS)
        self._tasks_at = self._embedding_at + (embedder.dimension if embedder else 0)
        self.dimension = self._tasks_at + len(self.tasks) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """One name a feature, in order; a policy is thawed only into the space it knew."""
        width = self._tasks_at - self._embedding_at
        return (
            *STRUCTURE,
            *(f"word_{i}" for i in range(WORD_DIMENSIONS)),
            *(f"topic:{name}" for name in TOPICS),
            *(f"embedding_{i}" for i in range(width)),
            *(f"task:{name}" for name in self.tasks),
            "constant",
        )

    def vector(self, signals: Signals, task: str) -> NDArray[np.float32]:
        """The features of one request: float32, shape [dimension]."""
        out = np.zeros(self.dimension, dtype=np.float32)
        out[: self._words_at] = structure_of(signals)
        if signals.words:
            found = np.array(self._lookup(signals.words))
            found.sort()  # a set's order differs between processes; sums must not
            rows = self._rows.take(found, axis=0)
            out[self._words_at : self._embedding_at] = np.add.reduce(rows, 0) / math.sqrt(
                len(signals.words)
            )
        if self._embedder is not None:
            out[self._embedding_at : self._tasks_at] = self._embedder.embed(signals.shape.text)
        index = self._task_index.get(task)
        if index is not None:
            out[self._tasks_at + index] = 1.0
        out[-1] = 1.0
        return out

    def _lookup(self, words: Collection[bytes]) -> list[int]:
        memo = self._memo
        try:
            return [memo[word] for word in words]
        except KeyError:
            if len(memo) > MEMO_WORDS:
                self._memo = memo = dict(self._known)
            for word in words:
                if word not in memo:
                    memo[word] = zlib.crc32(word) % WORD_ROWS
            return [memo[word] for word in words]


def structure_of(signals: Signals) -> list[float]:
    """The features named in STRUCTURE, in their order."""
    shape = signals.shape
    size = signals.bytes_seen + 1.0
    words = signals.word_count
    digits, upper, beyond, maths, code, lines, questions = signals.counts.tolist()
    log = math.log1p
    return [
        log(size) / 4.0 - 1.5,
        log(words) / 3.0 - 1.3,
        log(lines) / 2.0,
        min(10.0 * digits / size, 3.0),
        min(10.0 * upper / size, 3.0),
        min(4.0 * beyond / size, 3.0),
        min(20.0 * maths / size, 3.0),
        min(20.0 * code / size, 3.0),
        1.0 if questions else 0.0,
        len(signals.words) / (words + 1.0),
        min(size / (words + 1.0), 20.0) / 5.0 - 1.2,
        1.0 if signals.has_code else 0.0,
        1.0 if signals.has_maths else 0.0,
        log(max(shape.turns - 1, 0)),
        1.0 if shape.tools else 0.0,
        1.0 if shape.images else 0.0,
        1.0 if shape.json_mode else 0.0,
        log(shape.tokens_in) / 4.0 - 1.2,
        log(shape.tokens_out_limit) / 8.0,
        1.0 if shape.system else 0.0,
    ]
