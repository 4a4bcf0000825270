"""Passages of documents that fit a query best by their words.

BM25 (Robertson and Zaragoza 2009), k1 = 1.5, b = 0.75, over passages of bounded length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from service.orchestration.workflows.asks import StepFailed

K1, B = 1.5, 0.75
MOST_WORDS = 500_000
MOST_DOCUMENTS = 2_000


def fitting(query: str, documents: Sequence[Any], top: int, words: int) -> list[dict[str, Any]]:
    """The best passages, the best first: id, text and score each; raises StepFailed. Ids are those
    of the documents, or their places from 1; of a document in several passages with ``.1``, ``.2``.
    """
    passages = _passages(documents, words)
    bags = [Counter(_words(text)) for _, text in passages]
    if not passages:
        return []
    mean = sum(bag.total() for bag in bags) / len(bags) or 1.0
    spread = Counter(word for bag in bags for word in bag)
    wanted = set(_words(query))
    scored: list[dict[str, Any]] = []
    for (name, text), bag in zip(passages, bags, strict=True):
        total = 0.0
        for word in wanted & bag.keys():
            rare = math.log(1.0 + (len(bags) - spread[word] + 0.5) / (spread[word] + 0.5))
            often = bag[word]
            total += rare * often * (K1 + 1) / (often + K1 * (1 - B + B * bag.total() / mean))
        scored.append({"id": name, "text": text, "score": round(total, 6)})
    scored.sort(key=lambda each: float(each["score"]), reverse=True)
    return [each for each in scored[:top] if each["score"] > 0.0]


def _passages(documents: Sequence[Any], words: int) -> list[tuple[str, str]]:
    if not isinstance(documents, list) or len(documents) > MOST_DOCUMENTS:
        raise StepFailed("value", f"documents takes a list of at most {MOST_DOCUMENTS}")
    found: list[tuple[str, str]] = []
    total = 0
    for place, each in enumerate(documents, 1):
        text = each.get("text") if isinstance(each, dict) else each
        if not isinstance(text, str):
            raise StepFailed("value", f"document {place} is neither a text nor has one")
        name = str(each.get("id") or place) if isinstance(each, dict) else str(place)
        parts = text.split()
        total += len(parts)
        if total > MOST_WORDS:
            raise StepFailed("value", f"documents of more than {MOST_WORDS} words")
        pieces = [" ".join(parts[at : at + words]) for at in range(0, len(parts), words)]
        several = len(pieces) > 1
        found += [(f"{name}.{n}" if several else name, piece) for n, piece in enumerate(pieces, 1)]
    return found


def _words(text: str) -> list[str]:
    kept = "".join(sign if sign.isalnum() else " " for sign in text.casefold())
    return kept.split()
