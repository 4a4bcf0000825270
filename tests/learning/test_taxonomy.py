"""The task classifier in numpy: what it sees, what it says, and how it rests."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from learning.errors import SnapshotSchema
from learning.features import STRUCTURE, RequestShape, inspect
from learning.snapshot import freeze, thaw
from learning.taxonomies import default
from learning.taxonomies.default import signals_of
from learning.taxonomy import (
    _HEAD_PAIRS,
    _TAIL_PAIRS,
    BODY,
    DENSE,
    FORM,
    HEAD,
    OPENING,
    TAIL,
    THRESHOLD,
    UNREAD,
    UNREAD_ROWS,
    WIDTH,
    Classifier,
    LabelledRows,
    _body_of,
    _end_of,
    classifier_features,
)

TEXTS = ("", "a", "Translate to Polish: good night", "word " * 4_000, "¿Qué? 🙂\n\n\tx", "\x00\x01")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_features_are_of_one_width_finite_and_probabilities_sum_to_one(text: str) -> None:
    x = classifier_features(signals_of(text))
    assert x.shape == (WIDTH,) and x.dtype == np.float32 and np.isfinite(x).all()
    p = default.classifier().probabilities(signals_of(text))
    assert p.shape == (len(default.NAMES),) and (p >= 0.0).all()
    assert p.sum() == pytest.approx(1.0, abs=1e-12)


def test_what_is_seen_depends_on_no_process_and_on_no_order_of_a_set() -> None:
    code = (
        "from learning.taxonomies.default import signals_of\n"
        "from learning.taxonomy import classifier_features\n"
        f"x = classifier_features(signals_of({TEXTS[2]!r} * 9))\n"
        "import hashlib; print(hashlib.sha256(x.tobytes()).hexdigest())\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


@pytest.mark.parametrize(
    "text", ["请把这段话翻译成英文：你好", "привет, как дела?", "مرحبا كيف حالك"]
)
def test_a_script_that_it_cannot_read_leaves_it_unsure_until_it_learns_some(text: str) -> None:
    made, x = default.classifier(), classifier_features(signals_of(text))
    assert made.of_features(x).max() > 0.9  # as sure as it is wrong
    assert made.read(x).max() < THRESHOLD and made.read(x).sum() == pytest.approx(1.0)
    assert made.read(x).argmax() == made.of_features(x).argmax()
    taught = replace(made, about=made.about | {UNREAD: UNREAD_ROWS})
    assert taught.read(x).tolist() == made.of_features(x).tolist()
    wish = classifier_features(signals_of("Translate to English: " + text))  # of this it reads
    assert made.read(wish).tolist() == made.of_features(wish).tolist()


def test_an_embedder_is_read_behind_the_rest() -> None:
    class Length:
        dimension = 2

        def embed(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
            return np.array([len(text), 1.0], np.float32)

    signals = signals_of("four")
    x = classifier_features(signals, Length())
    assert x[WIDTH:].tolist() == [4.0, 1.0]
    assert (x[:WIDTH] == classifier_features(signals)).all()


def test_a_trace_is_that_of_many_words_so_that_no_word_can_be_read_from_it() -> None:
    """Of 20,000 words, many leave each of its traces."""
    body, head = Counter[bytes](), Counter[bytes]()
    for number in range(20_000):
        word = f"zz{number}qq".encode()
        body[_body_of(word)] += 1
        head[_end_of(word).head[:2]] += 1
    assert len(body) == 2 * BODY and len(head) == 2 * HEAD
    assert min(head.values()) >= 8 and min(body.values()) >= 15


def test_a_pair_is_counted_where_31_times_the_first_and_the_second_say() -> None:
    """The tables of rests against the whole hashes, for every bucket and both signs."""
    words = [f"w{number}".encode() for number in range(3_000)]
    for one, two in pairwise(words):
        pair = zlib.crc32(one) * 31 + zlib.crc32(two)
        rest = _end_of(one).left + _end_of(two).right
        for table, at, size in ((_HEAD_PAIRS, OPENING, HEAD), (_TAIL_PAIRS, -TAIL, TAIL)):
            wanted = at % (WIDTH - DENSE) + pair % size + (pair >> 9 & 1) * (WIDTH - DENSE)
            assert int.from_bytes(table[rest], sys.byteorder) == wanted


@pytest.mark.parametrize(
    ("text", "digits", "given", "choices"),
    [
        ("x\u00b2", 1.0, 0.0, 0.0), ("a 7", 1.0, 0.0, 0.0), ("a" * 60 + "7", 0.0, 0.0, 0.0),
        ("what?\n(a) x\n(b) y", 0.0, 1.0, 1.0), ("A) x B) y", 0.0, 0.0, 1.0),
        ("xB) y", 0.0, 0.0, 0.0), ("line\n", 0.0, 0.0, 0.0), ("\n- x", 0.0, 1.0, 1.0),
    ],
)  # fmt: skip
def test_how_a_wish_is_put(text: str, digits: float, given: float, choices: float) -> None:
    form = classifier_features(signals_of(text))[len(STRUCTURE) :][: len(FORM)]
    told = dict(zip(FORM, form.tolist(), strict=True))
    assert (told["digits_first"], told["given"], told["choices"]) == (digits, given, choices)


def test_it_rests_and_wakes_the_same_and_refuses_another_kind() -> None:
    classifier = default.classifier()
    again = Classifier.of(thaw(freeze(classifier.state())))
    assert freeze(again.state()) == freeze(classifier.state())
    signals = signals_of("Plan a trip to Oslo")
    assert (again.probabilities(signals) == classifier.probabilities(signals)).all()
    with pytest.raises(SnapshotSchema, match="not of a task classifier"):
        Classifier.of(replace(classifier.state(), kind="quality"))
    about = dict(classifier.state().about) | {"schema": "grams-0"}
    with pytest.raises(SnapshotSchema, match="grams-0"):
        Classifier.of(replace(classifier.state(), about=about))


def test_labelled_rows_rest_and_wake_the_same() -> None:
    x = np.zeros((3, WIDTH), np.float32)
    rows = LabelledRows(("a", "other"), x, np.array([0, 1, 0]), np.ones(3))
    again = LabelledRows.of(thaw(freeze(rows.state())))
    assert again.tasks == rows.tasks and (again.y == rows.y).all() and len(again) == 3
    assert again.groups.tolist() == [0, 1, 2]
    assert again.take(np.array([2])).groups.tolist() == [2]
    with pytest.raises(SnapshotSchema):
        LabelledRows.of(default.classifier().state())


def test_the_words_in_their_order_are_those_that_were_counted() -> None:
    signals = inspect(RequestShape("B a, b! C", 3))
    assert list(signals.sequence) == [b"b", b"a", b"b", b"c"]
    assert frozenset(signals.sequence) == signals.words
