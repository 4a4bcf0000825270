"""Prompts to features for a replay: as the service makes them, or fitted on the unscored text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from experiments.errors import CannotSay
from experiments.offline.outcomes import Outcomes
from learning.features import Featurizer, RequestShape, inspect

KINDS = ("svd25", "headgate", "none")
SVD_DIMENSIONS = 25
CLIP = 6.0
WORD_OR_MARK = r"(?u)\b\w+\b|[^\w\s]"


def build(kind: str, outcomes: Outcomes) -> NDArray[np.float32]:
    """Features of every prompt, [n, d], the trailing one the constant 1.

    ``svd25``: TF-IDF of words and word pairs, truncated SVD to 25, standardised; all fitted on
    the text of the unscored prompts. ``headgate``: what the service computes, no fit.
    ``none``: the constant alone.
    """
    if kind == "none":
        return np.ones((len(outcomes.prompts), 1), dtype=np.float32)
    if kind == "headgate":
        return _headgate(outcomes)
    if kind == "svd25":
        return _svd(outcomes.prompts, ~outcomes.scored)
    raise CannotSay(f"unknown features {kind!r}; known: {', '.join(KINDS)}")


def _headgate(outcomes: Outcomes) -> NDArray[np.float32]:
    featurizer = Featurizer(())
    shapes = zip(outcomes.prompts, outcomes.tokens_in.tolist(), strict=True)
    return np.stack(
        [featurizer.vector(inspect(RequestShape(text, tokens)), "") for text, tokens in shapes]
    )


def _svd(prompts: Sequence[str], fit_on: NDArray[np.bool_]) -> NDArray[np.float32]:
    vectorizer = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), min_df=2, max_features=60_000,
        token_pattern=WORD_OR_MARK,
    )  # fmt: skip
    text = [prompt for prompt, use in zip(prompts, fit_on, strict=True) if use]
    counts = vectorizer.fit_transform(text)
    size = min(SVD_DIMENSIONS, counts.shape[1] - 1)
    svd = TruncatedSVD(size, random_state=0, n_iter=4).fit(counts)
    found = svd.transform(vectorizer.transform(prompts))
    mean, deviation = found[fit_on].mean(0), found[fit_on].std(0) + 1e-9
    scaled = np.clip((found - mean) / deviation, -CLIP, CLIP)
    return np.hstack([scaled, np.ones((len(prompts), 1))]).astype(np.float32)
