"""How like two texts are: by words and their pieces, the same in every process."""

from __future__ import annotations

import numpy as np

from learning.likeness import DIMENSION, likeness


def like(one: str, other: str) -> float:
    return float(likeness(one) @ likeness(other))


def test_it_is_of_unit_length_and_finds_wordings_of_one_wish_nearer() -> None:
    wish = "How do I reset my password?"
    vector = likeness(wish)
    assert vector.shape == (DIMENSION,) and vector.dtype == np.float32
    assert abs(float(vector @ vector) - 1.0) < 1e-5
    assert like(wish, "how can I reset the password of my account") > 0.7
    assert like(wish, "What does shipping to Norway cost?") < 0.2
    assert like(wish, "PLEASE tell me how to reset my password!") > 0.9


def test_texts_without_words_are_like_nothing() -> None:
    for text in ("", "?!", " \n"):
        assert float(np.abs(likeness(text)).sum()) == 0.0
    assert like("the", "the") > 0.99
    assert like("naïve café", "naïve café") > 0.99


def test_it_is_the_same_in_every_process() -> None:
    found = likeness("the capital of France")
    assert [int(each) for each in np.argsort(-np.abs(found))[:3]] == [191, 123, 407]
