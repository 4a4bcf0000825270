"""The featurizer: fixed length, deterministic, bounded, and it sees code and sums."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.features import Featurizer, RequestShape, inspect

FEATURIZER = Featurizer(["code", "other"])


def vector(text: str, task: str = "other") -> np.ndarray:
    return FEATURIZER.vector(inspect(RequestShape(text=text, tokens_in=len(text) // 4)), task)


@given(st.text(max_size=3_000))
def test_any_text_gives_finite_features_of_one_length(text: str) -> None:
    found = vector(text)
    assert found.shape == (FEATURIZER.dimension,) and found.dtype == np.float32
    assert np.isfinite(found).all() and np.abs(found).max() < 40.0
    assert found[-1] == 1.0


def test_names_match_the_vector() -> None:
    assert len(FEATURIZER.names) == FEATURIZER.dimension == len(set(FEATURIZER.names))
    found = dict(zip(FEATURIZER.names, vector("x", "code"), strict=True))
    assert found["task:code"] == 1.0 and found["task:other"] == 0.0


@pytest.mark.parametrize(
    ("text", "code", "maths"),
    [
        ("Write a Python function that merges intervals.", True, False),
        ("```\nfor i in range(3): pass\n```", True, False),
        ("Calculate 15 percent of 80.", False, True),
        ("How many apples are left?", False, True),
        ("Describe the sea to a child.", False, False),
        *((f"a {mark} b", True, False) for mark in ("```", "();", "</", "=>", "#include")),
        *((f"a {mark} b", False, True) for mark in ("\\frac", "\\sum", "\\int", "how much")),
        ("a `` b; (c) < d / e = f > g # includes h", False, False),
        ("a \\ frac \\in, somehow mad", False, False),
    ],
)
def test_code_and_maths_are_seen(text: str, code: bool, maths: bool) -> None:
    signals = inspect(RequestShape(text=text, tokens_in=5))
    assert (signals.has_code, signals.has_maths) == (code, maths)


def test_a_long_text_is_seen_at_head_and_tail_only() -> None:
    text = "alpha " * 40_000 + "omega"
    signals = inspect(RequestShape(text=text, tokens_in=10))
    assert signals.bytes_seen < 9_000 and b"omega" in signals.words
    assert signals.word_count == pytest.approx(40_001, rel=0.01)


def test_the_same_in_another_process() -> None:
    """Word hashes do not depend on Python's hash seed: a restart sees the same features."""
    text = "Explain rivers, tides and bridges to a visitor"
    code = (
        "from learning.features import *; f = Featurizer(['code', 'other']);"
        f"print(f.vector(inspect(RequestShape(text={text!r}, tokens_in={len(text) // 4})), 'other')"
        ".tobytes().hex())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == vector(text).tobytes().hex()


def test_the_memo_is_bounded() -> None:
    featurizer = Featurizer([])
    for start in range(0, 140_000, 1_000):
        words = " ".join(f"w{i}" for i in range(start, start + 1_000))
        featurizer.vector(inspect(RequestShape(text=words, tokens_in=1)), "")
    assert len(featurizer._memo) < 70_000


def test_an_embedder_adds_its_dimensions() -> None:
    class Length:
        dimension = 2

        def embed(self, text: str) -> np.ndarray:
            return np.array([len(text), 1.0], np.float32)

    featurizer = Featurizer(["a"], Length())
    found = featurizer.vector(inspect(RequestShape(text="four", tokens_in=1)), "a")
    assert found[featurizer.names.index("embedding_0")] == 4.0
