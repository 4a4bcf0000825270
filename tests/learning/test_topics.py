"""The lexicon: plain lower-case words, each topic with its own."""

from __future__ import annotations

from learning.features import Featurizer, RequestShape, inspect
from learning.topics import TOPICS, words_of_topics


def _loudest(text: str) -> str:
    featurizer = Featurizer(())
    vector = featurizer.vector(inspect(RequestShape(text, 20)), "")
    at = featurizer.names.index(f"topic:{TOPICS[0]}")
    return TOPICS[int(vector[at : at + len(TOPICS)].argmax())]


def test_words_are_lower_case_and_name_their_topics() -> None:
    words = words_of_topics()
    assert all(word == word.lower() and topics for word, topics in words.items())
    assert {topic for topics in words.values() for topic in topics} == set(range(len(TOPICS)))


def test_a_text_is_loudest_in_its_own_topic() -> None:
    assert (
        _loudest("The defendant breached the contract; may the plaintiff claim damages?") == "law"
    )
    assert (
        _loudest("A patient with fever and chronic pain: which diagnosis is likely?") == "medicine"
    )
    assert _loudest("Sort a linked list in Python and analyse the algorithm") == "computing"
    assert _loudest("Which enzyme copies DNA when the cell divides its chromosomes?") == "life"
