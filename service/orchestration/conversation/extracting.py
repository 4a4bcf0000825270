"""What of a turn is worth keeping: sentences that say something, preferences, and what is named.

By rules alone and bounded, so that it costs no call. What is found is material and never an order:
sentences that speak to whoever reads them are left out, and preferences come from the user alone.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from service.domain.conversations import ASSISTANT, FACT, PREFERENCE, TOOL, USER, Note

MOST_READ = 20_000  # characters of a message
MOST_SENTENCES = 200
LONGEST = 320  # characters of a note
MOST_NOTES = 10  # of a turn
MOST_ENTITIES = 40
LEAST_WEIGHT = 0.0  # what says anything is kept; which notes are sent is decided by their rank

_SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bSt\.)(?<!\bNo\.)(?<!\bvs\.)"
    r"(?<!\bProf\.)(?<!\be\.g\.)(?<!\bi\.e\.)\s+|\n+|(?<=;)\s+"
)
_NUMBER = re.compile(r"\d")
_WRITTEN = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|"
    r"hundred|thousand|million|dozen|half|double|twice|first|second|third|monday|tuesday|wednesday|"
    r"thursday|friday|saturday|sunday|january|february|march|april|june|july|august|september|"
    r"october|november|december|spring|summer|autumn|winter|noon|midnight|weekly|monthly|daily)\b",
    re.I,
)
_NAME = re.compile(r"(?<=[a-z,;:'’)] )[A-Z][\w'’-]+|\b[A-Z]{2,}\b|\b[A-Z][a-z]+[A-Z]\w*\b")
_MARKED = re.compile(r"[\"“”`«»]|\w[@/\\_]\w|https?://|\w\.\w")
_OWN = re.compile(r"\b(?:i|i'm|i’m|i've|i’ve|my|mine|we|we're|we've|our|ours)\b", re.I)
_SETTLED = re.compile(
    r"\b(?:decid|agree|chose|choos|pick|settl|confirm|schedul|deadline|due|budget|must|never|"
    r"always|only|except|instead|allerg|require|need|prefer|called|named|lives?|works?|moved?|"
    r"born|owns?|uses?|runs?|costs?|starts?|ends?|expires?|closed?|opens?|approv|reject|cancel|"
    r"switch|renam|replac|password|address|account|contract|limit|version|plan to|going to|will be|"
    r"cannot|can't|can’t|don't|don’t|won't|won’t|no longer|not allowed|responsible|lead|report to|"
    r"located|stored|kept|set to|stands for|means|because)\w*",
    re.I,
)
_TOLD = re.compile(r"\b(?:is|are|was|were|has|have|had)\b", re.I)
_CHATTER = re.compile(
    r"^(?:hi|hello|hey|thanks?|thank you|ok|okay|great|sure|of course|certainly|absolutely|sounds "
    r"good|got it|good|nice|perfect|you're welcome|you’re welcome|let me know|happy to|i hope|"
    r"glad|no problem|noted|understood|great question|i see)\b",
    re.I,
)
_WISH = re.compile(
    r"^(?:please|can|could|would|will|should|do|does|what|how|why|which|who)\b", re.I
)
# What speaks to whoever reads it, or plays another part, is no fact.
_ORDER = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:above|previous|prior|earlier|all|"
    r"any|your|instructions?|rules?|prompts?)\b|\bsystem prompt\b|\byou are now\b|\bact as\b|"
    r"\bpretend (?:to|you)\b|\bdeveloper mode\b|\bnew instructions?\b|\bfrom now on,? you\b|"
    r"\breveal\b.{0,40}\b(?:prompt|secret|key|password|instructions?)\b|\bdo not (?:tell|mention|"
    r"reveal)\b|<\|[^|]{0,40}\|>|^\s*(?:system|assistant|developer)\s*:|\[/?(?:inst|system)\]|"
    r"^\s*#{1,6}\s*(?:system|instructions?)\b|\bjailbreak\b",
    re.I,
)
_PREFERENCES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("name", re.compile(r"\b(?:call me|my name is|my name's|i go by)\b", re.I)),
    ("language", re.compile(r"\b(?:answer|reply|respond|write|speak)(?: to me)? in [A-Z]\w+")),
    ("length", re.compile(
        r"\b(?:keep|make) (?:it|them|answers?|replies|your answers?) (?:short|brief|long|concise|"
        r"detailed)|\b(?:short|brief|concise|detailed) (?:answers?|replies)\b", re.I)),
    ("units", re.compile(r"\b(?:metric|imperial|celsius|fahrenheit|24-hour|12-hour)\b", re.I)),
    ("", re.compile(
        r"\bi(?:'d| would|’d)? (?:really |much |strongly )?(?:prefer|rather|like|love|hate|dislike|"
        r"avoid|favou?r)\b|\bi (?:don't|do not|don’t|never|always|can't|cannot|can’t) (?:eat|drink|"
        r"like|want|use|work|take|travel|fly|read)\b|\bplease (?:always|never)\b|\bmy favou?rite\b|"
        r"\ballergic\b|\bi am (?:a )?(?:vegan|vegetarian)\b|\bi'm (?:a )?(?:vegan|vegetarian)\b",
        re.I)),
)  # fmt: skip
_ENTITIES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,63}){1,4}")),
    ("address", re.compile(r"https?://[^\s\"'<>)]{1,200}")),
    ("money", re.compile(
        r"[$€£]\s?\d[\d,.]{0,15}(?:\s?(?:k|m|million|thousand))?\b|\b\d[\d,.]{0,15}\s?(?:dollars|"
        r"euros?|pounds|USD|EUR|GBP)\b", re.I)),
    ("date", re.compile(
        r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}(?:st|nd|rd|th)?(?: of)? (?:January|February|March|April|"
        r"May|June|July|August|September|October|November|December)(?: \d{4})?\b|\b(?:January|"
        r"February|March|April|May|June|July|August|September|October|November|December) \d{1,2}"
        r"(?:st|nd|rd|th)?(?:, \d{4})?\b")),
    ("time", re.compile(r"\b\d{1,2}:\d{2}(?:\s?[ap]m)?\b|\b\d{1,2}\s?[ap]m\b", re.I)),
    ("code", re.compile(r"\b[A-Z]{1,6}-?\d{2,12}(?:-\d{1,8})?\b|\b[A-Z]{2,6}-[A-Z0-9]{2,12}\b")),
    ("name", re.compile(
        r"(?:(?<=[a-z,;:] )|(?<=^))[A-Z][a-zà-ÿ'’-]+(?: [A-Z][a-zà-ÿ'’-]+){1,3}")),
)  # fmt: skip


class Found(NamedTuple):
    """What a turn is remembered by."""

    notes: tuple[Note, ...]
    entities: tuple[tuple[str, str], ...]


def of_turn(messages: tuple[bytes, ...]) -> Found:
    """The notes and entities of a turn's messages, bounded; the notes in the order of the text."""
    notes: list[tuple[int, Note]] = []
    entities: dict[tuple[str, str], None] = {}
    for raw in messages:
        message: dict[str, Any] = msgspec.json.decode(raw)
        said_by = {"tool": TOOL, "assistant": ASSISTANT}.get(message["role"], USER)
        text = words_of(message.get("content"))[:MOST_READ]
        for sentence in sentences(text):
            note = noted(sentence, said_by)
            if note is not None:
                notes.append((len(notes), note))
                named(sentence, entities)
    best = sorted(notes, key=lambda each: (-each[1].weight, each[0]))[:MOST_NOTES]
    return Found(tuple(note for _, note in sorted(best, key=lambda each: each[0])), tuple(entities))


def words_of(content: Any) -> str:
    """The words of a message's content, its parts joined."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def sentences(text: str) -> list[str]:
    """A text's sentences, the first ones; a long one is cut."""
    found = []
    for each in _SENTENCE.split(text)[:MOST_SENTENCES]:
        plain = " ".join(each.split()).strip("-*•> ")
        if plain:
            found.append(plain[:LONGEST])
    return found


def noted(sentence: str, said_by: str) -> Note | None:
    """The sentence as a note, where it says enough and orders nothing."""
    if _ORDER.search(sentence):
        return None
    if said_by == USER:
        for slot, pattern in _PREFERENCES:
            if pattern.search(sentence):
                return Note(PREFERENCE, said_by, sentence, 6.0 + weight_of(sentence) / 10.0, slot)
    weight = weight_of(sentence)
    if said_by != USER:
        weight -= 0.5  # what the user says is seldom said again
    return Note(FACT, said_by, sentence, weight) if weight > LEAST_WEIGHT else None


def weight_of(sentence: str) -> float:
    """How much a sentence says that another one could not."""
    weight = 0.7 if len(sentence.split()) < 25 else 0.2
    weight += 2.0 * bool(_NUMBER.search(sentence)) + 1.0 * bool(_WRITTEN.search(sentence))
    weight += min(1.5 * len(_NAME.findall(sentence)), 3.0)
    weight += 1.5 * bool(_MARKED.search(sentence)) + 1.0 * bool(_OWN.search(sentence))
    weight += min(1.5 * len(_SETTLED.findall(sentence)), 3.0)
    weight += 0.5 * bool(_TOLD.search(sentence))
    if sentence.endswith("?"):
        weight -= 2.5
    if _CHATTER.search(sentence):
        weight -= 2.0
    if _WISH.search(sentence):
        weight -= 1.0
    if len(sentence.split()) < 3:
        weight -= 1.5
    return weight


def named(sentence: str, found: dict[tuple[str, str], None]) -> None:
    """Add what a sentence names, by kind."""
    for kind, pattern in _ENTITIES:
        for match in pattern.finditer(sentence):
            if len(found) >= MOST_ENTITIES:
                return
            found[(kind, match[0].strip(" .,")[:200])] = None
